"""Who calls: the user that a gateway, or a verified token, names, for the length of one request.

Nothing here outlives a request but what a server was told when it was made. The current call is a context variable,
so neither threads nor tasks see each other's. It does not know how requests are read or answered.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import logging
import re
from base64 import urlsafe_b64decode
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from authz import wire
from authz.frameworks.exceptions import InvalidGetUserCall

DEFAULT_PREFIX: Final = wire.DEFAULT_PREFIX
_MOST_CHARS: Final = 64 * 1024
_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]+={0,2}", re.ASCII)
_Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
_log = logging.getLogger("authz.frameworks")


@dataclass(frozen=True, slots=True)
class User:
    """Who calls, in the words of whoever signed the token. Methods as of old, attributes for what they lacked."""

    subject: str | None = None
    issuer: str | None = None
    claims: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """All that the token says."""

    @property
    def audiences(self) -> tuple[str, ...]:
        """Whom the token was made for."""
        said = self.claims.get("aud", ())
        return (said,) if isinstance(said, str) else tuple(said) if isinstance(said, list | tuple) else ()

    def email(self) -> str | None:
        """The e-mail address, if the issuer tells it."""
        return _text(self.claims.get("email"))

    def nickname(self) -> str | None:
        """What stands before the `@` of the e-mail address, or else the subject."""
        address = self.email()
        return address.partition("@")[0] if address else self.subject

    def user_id(self) -> str | None:
        """The subject: never changes, and is unique for an issuer."""
        return self.subject

    def auth_domain(self) -> str | None:
        """What stands after the `@` of the e-mail address."""
        address = self.email()
        return address.partition("@")[2] or None if address else None

    @classmethod
    def of(cls, claims: Mapping[str, Any]) -> User:
        """The user whom verified claims are about."""
        return cls(_text(claims.get("sub")), _text(claims.get("iss")), claims)


def _text(said: object) -> str | None:
    return said if isinstance(said, str) and said else None


class Call:
    """One request while it is handled: who calls, from where, with which headers (names in small letters)."""

    __slots__ = ("address", "headers", "user")

    def __init__(self, headers: Mapping[str, str], address: str | None, user: User | None = None) -> None:
        self.headers = headers
        self.address = address
        self.user = user


current: Final[ContextVar[Call]] = ContextVar("authz.frameworks.call")
"""Servers and adapters set it around each request."""


def get_current_user() -> User | None:
    """Who calls the method that is running; None if nobody proved who they are.

    Raises:
        InvalidGetUserCall: no request is being handled here.
    """
    call = current.get(None)
    if call is None:
        raise InvalidGetUserCall(
            "get_current_user() was called outside of a request: call it in a method that api_server or asgi_server "
            "serves, and in threads of your own only inside contextvars.copy_context().run"
        )
    return call.user


@dataclass(slots=True, kw_only=True)
class Trust:
    """By what a server knows its gateway: the address it comes from, or a secret that it sends. Either will do."""

    networks: tuple[_Network, ...] = ()
    secret: bytes | None = field(default=None, repr=False)
    header: str = (DEFAULT_PREFIX + wire.USER_INFO).lower()
    _warned: bool = False

    @classmethod
    def made(cls, gateways: Sequence[str], secret: str | None, prefix: str = DEFAULT_PREFIX) -> Trust:
        """From what a person wrote.

        Raises:
            ValueError: an address that is none, or a secret that no header can carry.
        """
        return cls(
            networks=tuple(_network(text) for text in gateways),
            secret=_sendable(secret) if secret else None,
            header=(prefix + wire.USER_INFO).lower(),
        )

    def user(self, headers: Mapping[str, str], address: str | None) -> User | None:
        """The user whom the gateway names; None if it names none, or if it is not the gateway who says so."""
        told = headers.get(self.header)
        if told is None:
            return None
        if self._is_gateway(headers.get(wire.GATEWAY_SECRET), address):
            return _user(told)
        if not self._warned:
            self._warned = True
            _log.warning(
                "%s from %s is ignored, since it does not come from a trusted gateway: set trusted_gateways "
                "(AUTHZ_TRUSTED_GATEWAYS) to its address, or gateway_secret (AUTHZ_GATEWAY_SECRET) here and there; "
                "further ones are ignored without a word",
                self.header,
                address or "an unknown address",
            )
        return None

    def _is_gateway(self, secret: str | None, address: str | None) -> bool:
        if self.secret and secret is not None and hmac.compare_digest(secret.encode("latin-1", "replace"), self.secret):
            return True
        return bool(self.networks and address) and _is_in(str(address), self.networks)


def _network(text: str) -> _Network:
    try:
        return ipaddress.ip_network(text.strip())
    except ValueError as wrong:
        raise ValueError(
            f"trusted_gateways: {text!r} is no address and no network such as 10.0.0.0/8: {wrong}"
        ) from None


def _sendable(secret: str) -> bytes:
    if not secret.isascii() or not secret.isprintable() or secret != secret.strip():
        raise ValueError(
            "gateway_secret: no header can carry it as it is; use printable ASCII without spaces or line ends around it"
        )
    return secret.encode()


def _is_in(text: str, networks: Sequence[_Network]) -> bool:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False  # a Unix socket, or a name: no address
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return any(address in network for network in networks)


def _user(told: str) -> User | None:
    """What the header says: base64url of a JSON object. Two of them, joined by a comma, are nobody."""
    try:
        claims = json.loads(urlsafe_b64decode(_strict(told)))
    except (ValueError, RecursionError) as wrong:
        _log.warning("The gateway's user info cannot be read (%s); the call is anonymous", type(wrong).__name__)
        return None
    return User.of(claims) if isinstance(claims, dict) else None


def _strict(told: str) -> str:
    # The decoder skips strange characters, and would read two headers as one.
    if len(told) > _MOST_CHARS or not _BASE64URL.fullmatch(told):
        raise ValueError("not base64url, or too long")
    return told + "=" * (-len(told) % 4)
