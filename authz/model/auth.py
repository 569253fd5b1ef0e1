"""How a caller proves who it is: places, providers, requirements, consumers and keys."""

from __future__ import annotations

import enum
import hashlib
from dataclasses import dataclass, field


class PlaceKind(enum.Enum):
    """Where in a request a credential may stand (OpenAPI `in`, google.api.JwtLocation)."""

    HEADER = "header"
    QUERY = "query"
    COOKIE = "cookie"


@dataclass(frozen=True, slots=True)
class Place:
    """One place of a credential. Header names are lower case; `prefix` is for headers only."""

    kind: PlaceKind
    name: str
    prefix: str = ""


DEFAULT_KEY_PLACES = (
    Place(PlaceKind.QUERY, "key"),
    Place(PlaceKind.QUERY, "api_key"),
    Place(PlaceKind.HEADER, "x-api-key"),
)
DEFAULT_TOKEN_PLACES = (
    Place(PlaceKind.HEADER, "authorization", "Bearer "),
    Place(PlaceKind.HEADER, "x-goog-iap-jwt-assertion"),
    Place(PlaceKind.QUERY, "access_token"),
)


@dataclass(frozen=True, slots=True)
class JwtProvider:
    """google.api.AuthProvider: an issuer whose tokens a service accepts.

    `jwks_uri` empty means OpenID Connect discovery from the issuer. `audiences` empty means the default,
    `https://SERVICE`. `file` and `line` tell where it was declared, for messages about its key set.
    """

    id: str
    issuer: str
    jwks_uri: str = ""
    audiences: tuple[str, ...] = ()
    places: tuple[Place, ...] = DEFAULT_TOKEN_PLACES
    authorization_url: str = ""
    file: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True)
class JwtRequirement:
    """A token of one provider. `audiences` (of the requirement) replace the provider's when not empty.

    All `scopes` are needed, from claim `scope` (space-separated string) or `scp`. Where there are
    `client_ids`, `azp`, `client_id` or, failing those, one `aud` of the token must be among them; () is nobody.
    """

    provider: str
    audiences: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    client_ids: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Alternative:
    """One OpenAPI Security Requirement Object: all of what it names. Empty means no credential at all."""

    needs_key: bool = False
    key_places: tuple[Place, ...] = ()
    jwt: JwtRequirement | None = None


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a caller must present: any one alternative. No alternatives means an open operation.

    `optional`: a call without any credential passes; one that presents a credential must still satisfy an
    alternative.
    """

    alternatives: tuple[Alternative, ...] = ()
    optional: bool = False

    @property
    def is_open(self) -> bool:
        """Whether nothing is ever asked."""
        return not self.alternatives

    @property
    def needs_key(self) -> bool:
        """google.api.UsageRule's view: every way in needs an API key."""
        return bool(self.alternatives) and not self.optional and all(a.needs_key for a in self.alternatives)


OPEN = Requirement()


class ConsumerKind(enum.Enum):
    """google.api.servicecontrol.v1.CheckResponse.ConsumerInfo.ConsumerType, as far as it applies."""

    PROJECT = "PROJECT"
    APP = "APP"


class ConsumerStatus(enum.Enum):
    """Whether a consumer may call at all."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Consumer:
    """Who is counted. `number` is what upstreams see in `…-Consumer-Number` and what counters are keyed by."""

    number: int
    name: str
    kind: ConsumerKind = ConsumerKind.PROJECT
    status: ConsumerStatus = ConsumerStatus.ACTIVE


@dataclass(frozen=True, slots=True)
class AndroidApp:
    """One app of google.api.apikeys.v2.AndroidKeyRestrictions."""

    package: str
    sha1: str


@dataclass(frozen=True, slots=True)
class ApiTarget:
    """google.api.apikeys.v2.ApiTarget: a service, and methods in full, in short, or ending in `*`."""

    service: str
    methods: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Restrictions:
    """google.api.apikeys.v2.Restrictions. At most one kind of client restriction; empty means none."""

    allow_ips: tuple[str, ...] = ()
    allow_referrers: tuple[str, ...] = ()
    android_apps: tuple[AndroidApp, ...] = ()
    ios_bundles: tuple[str, ...] = ()
    api_targets: tuple[ApiTarget, ...] = ()


def key_digest(text: str) -> bytes:
    """What a key is kept and looked up by: equal for equal texts, and no way back."""
    return hashlib.sha256(text.encode()).digest()


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A consumer's key. `digest` is the SHA-256 of its text (32 bytes); the text itself is kept nowhere.

    `services` empty means every service. Times are Unix seconds; `expires_at` 0 means never, `revoked_at` 0
    means not revoked. `hint` is what lists show, enough to recognise a key by and too little to use.
    """

    uid: str
    digest: bytes
    consumer: Consumer
    hint: str = ""
    display_name: str = ""
    services: tuple[str, ...] = ()
    restrictions: Restrictions = field(default_factory=Restrictions)
    created_at: float = 0.0
    expires_at: float = 0.0
    revoked_at: float = 0.0

    def is_live(self, now: float) -> bool:
        """Whether the key is neither revoked nor expired at `now` (Unix seconds)."""
        return (not self.revoked_at or now < self.revoked_at) and (not self.expires_at or now < self.expires_at)
