"""The small records that decorators take: issuers, limits, namespaces, scopes; and those of App Engine, not read.

They keep what they are given. Whether it fits is checked where a decorator takes them, which can say for which API.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

EMAIL_SCOPE: Final = "https://www.googleapis.com/auth/userinfo.email"
API_EXPLORER_CLIENT_ID: Final = "292824132082.apps.googleusercontent.com"
SKIP_CLIENT_ID_CHECK: Final = ["*"]
"""As `allowed_client_ids`: any client may call."""
EMAIL_DESCRIPTION: Final = "Know which e-mail address you use"


@dataclass(slots=True)
class Issuer:
    """Who signs tokens: the `iss` claim, and where the keys are (None: OpenID discovery)."""

    issuer: str
    jwks_uri: str | None


@dataclass(frozen=True, slots=True)
class LimitDefinition:
    """How much of a metric one consumer may use each minute."""

    metric_name: str
    display_name: str
    default_limit: int


@dataclass(frozen=True, slots=True)
class Namespace:
    """Whose API it is, for discovery clients."""

    owner_domain: str
    owner_name: str
    package_path: str | None


@dataclass(frozen=True, slots=True)
class OAuth2Scope:
    """An OAuth 2.0 scope, and what people read of it."""

    scope: str
    description: str

    def __post_init__(self) -> None:
        for name in ("scope", "description"):
            if not isinstance(getattr(self, name), str):
                message = f"{name} of an OAuth2Scope is not a string, but {getattr(self, name)!r}"
                raise TypeError(message)


class AUTH_LEVEL(enum.IntEnum):  # noqa: N801 -- the old library's name
    """What App Engine's legacy API server was asked to do. Nothing reads it."""

    REQUIRED = 1
    OPTIONAL = 2
    OPTIONAL_CONTINUE = 3
    NONE = 4


@dataclass(frozen=True, slots=True)
class ApiAuth:
    """Options of App Engine's legacy API server. Nothing reads them."""

    allow_cookie_auth: bool | None = None
    blocked_regions: tuple[str, ...] | list[str] | None = None


@dataclass(frozen=True, slots=True)
class ApiFrontEndLimitRule:
    """A limit of App Engine's legacy API server. Nothing reads it; `LimitDefinition` is what a gateway enforces."""

    match: str | None = None
    qps: int | None = None
    user_qps: int | None = None
    daily: int | None = None
    analytics_id: str | None = None


@dataclass(frozen=True, slots=True)
class ApiFrontEndLimits:
    """Limits of App Engine's legacy API server. Nothing reads them."""

    unregistered_user_qps: int | None = None
    unregistered_qps: int | None = None
    unregistered_daily: int | None = None
    rules: tuple[ApiFrontEndLimitRule, ...] | list[ApiFrontEndLimitRule] | None = None
