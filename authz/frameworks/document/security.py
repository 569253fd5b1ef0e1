"""Who may call, as security schemes and requirements: a scheme for every issuer and set of audiences.

The names of the schemes are part of what deployed clients and gateways know, so they are as they always were: the
issuer's name and eight digits of a hash of the audiences.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from authz.frameworks.exceptions import ApiConfigurationError
from authz.frameworks.service import Api, Method, Security
from authz.frameworks.types import EMAIL_DESCRIPTION, EMAIL_SCOPE, Issuer

_log = logging.getLogger("authz.frameworks")

API_KEY: Final = "api_key"
GOOGLE: Final = "google_id_token"
GOOGLE_ISSUER: Final = Issuer("https://accounts.google.com", "https://www.googleapis.com/oauth2/v3/certs")

Write: TypeAlias = Callable[[Issuer, Sequence[str], Mapping[str, str]], dict[str, Any]]
"""How a dialect writes a scheme: of an issuer, audiences, and scopes with their descriptions."""


def issuers(api: Api) -> Mapping[str, Issuer]:
    """The issuers of an API; Google's if it names none."""
    return api.issuers or {GOOGLE: GOOGLE_ISSUER}


def accepted(api: Api, method: Method) -> Mapping[str, tuple[str, ...]]:
    """The audiences that a method accepts, by the issuer's name. Empty: no token is asked for.

    Raises:
        ApiConfigurationError: a list of audiences, which means Google's issuer, beside other issuers.
        TypeError: audiences of an issuer that the API does not have.
    """
    audiences, known = method.security.audiences, issuers(api)
    place = f"{method.owner}.{method.name}"
    if not audiences:
        return {}
    if not isinstance(audiences, Mapping):
        if set(known) != {GOOGLE}:
            message = (
                f"{place}: audiences is a list, which means the issuer '{GOOGLE}', but api '{api.name}' has "
                f"{', '.join(known)}; write a dict of issuers and their audiences"
            )
            raise ApiConfigurationError(message)
        return {GOOGLE: audiences}
    unknown = next((name for name in audiences if name not in known), None)
    if unknown is not None:
        message = (
            f"{place}: audiences names the issuer '{unknown}', but issuers of api '{api.name}' has {', '.join(known)}"
        )
        raise TypeError(message)
    return audiences


class Schemes:
    """The security schemes of one document, found while its methods are written."""

    def __init__(self, api: Api, write: Write) -> None:
        self.api = api
        self._write = write
        self._used: dict[tuple[str, str], dict[str, str]] = {}
        self._has_key = False

    def requirement(self, method: Method) -> list[dict[str, list[str]]] | None:
        """The alternatives of a method; [] is open and says so, None says nothing."""
        security = method.security
        tokens = [
            {self._name(issuer, audiences, scopes): scopes}
            for issuer, audiences in accepted(self.api, method).items()
            for scopes in _alternatives(security)
        ]
        if not security.api_key_required:
            return tokens if tokens or security.audiences is not None else None
        self._has_key = True
        if security.optional or not tokens:
            tokens = [*tokens, {}]
        return [{API_KEY: [], **token} for token in tokens]

    def extensions(self, method: Method) -> dict[str, Any]:
        """What OpenAPI has no words for."""
        security, found = method.security, dict[str, Any]()
        clients = security.client_ids
        if idle := _without_effect(security):
            place = f"{method.owner}.{method.name}"
            _log.warning("%s: %s restrict nobody: no audiences ask for a token; name some", place, " and ".join(idle))
        if accepted(self.api, method) and clients is not None and "*" not in clients:
            found["x-authz-client-ids"] = list(clients)
        if security.is_optional and security.audiences:
            found["x-authz-optional"] = True
        return found

    def _name(self, issuer: str, audiences: Sequence[str], scopes: Sequence[str]) -> str:
        joined = ",".join(sorted(audiences))
        said = self._used.setdefault((issuer, joined), {})
        said.update((scope, self._description(scope)) for scope in scopes)
        return _hashed(issuer, joined)

    def _description(self, scope: str) -> str:
        """What people read of a scope, if the API says it."""
        found = next((one.description for one in self.api.scopes if one.scope == scope), "")
        return found or (EMAIL_DESCRIPTION if scope == EMAIL_SCOPE else scope)

    def bases(self) -> dict[str, dict[str, Any]]:
        """The issuers by themselves. No operation refers to them; they are what the old generator began with."""
        return {name: self._write(issuer, (), {}) for name, issuer in issuers(self.api).items()}

    def used(self) -> dict[str, dict[str, Any]]:
        """The schemes that operations refer to."""
        known = issuers(self.api)
        found = {
            _hashed(issuer, joined): self._write(known[issuer], joined.split(","), scopes)
            for (issuer, joined), scopes in self._used.items()
        }
        return found | ({API_KEY: {"type": "apiKey", "name": "key", "in": "query"}} if self._has_key else {})


def _without_effect(security: Security) -> list[str]:
    """What is said of tokens where none is asked for. Empty audiences say that this is meant."""
    if security.audiences is not None:
        return []
    said = {
        "scopes": security.scopes and security.scopes != (EMAIL_SCOPE,),
        "allowed_client_ids": security.client_ids is not None and "*" not in security.client_ids,
    }
    return [name for name, is_said in said.items() if is_said]


def _hashed(issuer: str, joined: str) -> str:
    digest = hashlib.md5(joined.encode(), usedforsecurity=False).hexdigest()
    return f"{issuer}-{digest[:8]}"


def _alternatives(security: Security) -> list[list[str]]:
    """Scopes of which any list will do, and of that all. Exactly the e-mail scope is what ID tokens have anyway."""
    if not security.scopes or security.scopes == (EMAIL_SCOPE,):
        return [[]]
    split = [list(dict.fromkeys(words.split())) for words in security.scopes]
    return list({frozenset(words): words for words in reversed(split)}.values())[::-1]
