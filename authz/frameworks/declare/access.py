"""What may be said at three levels: an API, a class of it, a method. The nearest one that says anything holds."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from authz.frameworks.declare import checks
from authz.frameworks.service import Security
from authz.frameworks.types import OAuth2Scope

_log = logging.getLogger("authz.frameworks")


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Who may call, as one level says it. None is silence; an empty list is a value, and clears what is above."""

    audiences: checks.Audiences | None = None
    scopes: tuple[OAuth2Scope, ...] | None = None
    allowed_client_ids: tuple[str, ...] | None = None
    auth_level: int | None = None
    api_key_required: bool | None = None
    use_request_uri: bool | None = None
    optional_auth: bool | None = None

    @classmethod
    def of(cls, place: str, said: Mapping[str, Any]) -> Access:
        """The checked arguments of one level."""
        if said["auth_level"] is not None:
            _log.warning("%s: auth_level never had an effect, and has none here", place)
        return cls(
            audiences=checks.audiences(place, said["audiences"]),
            scopes=checks.scopes(place, said["scopes"]),
            allowed_client_ids=checks.client_ids(place, said["allowed_client_ids"]),
            auth_level=checks.auth_level(place, said["auth_level"]),
            api_key_required=checks.flag(place, "api_key_required", said["api_key_required"]),
            use_request_uri=checks.flag(place, "use_request_uri", said.get("use_request_uri")),
            optional_auth=checks.flag(place, "optional_auth", said["optional_auth"]),
        )

    def listed_audiences(self) -> list[str] | dict[str, list[str]] | None:
        """The audiences in lists, as people write them."""
        if isinstance(self.audiences, Mapping):
            return {name: list(one) for name, one in self.audiences.items()}
        return None if self.audiences is None else list(self.audiences)

    def over(self, above: Access) -> Access:
        """What the level says itself, else what the one above it does. Lists and dicts are not merged."""
        names = (field.name for field in fields(self))
        return Access(**{n: getattr(above, n) if getattr(self, n) is None else getattr(self, n) for n in names})

    def security(self) -> Security:
        """What remains when all levels have spoken."""
        return Security(
            audiences=self.audiences,
            client_ids=self.allowed_client_ids,
            scopes=None if self.scopes is None else tuple(one.scope for one in self.scopes),
            api_key_required=self.api_key_required or False,
            optional=self.optional_auth or False,
        )
