"""Call: one request as Envoy describes it in a CheckRequest, and what stands in which place of it.

It knows `envoy.service.auth.v3` and how Envoy writes headers and paths into it; it judges nothing. Parts are
read when they are asked for: most calls need two of them.
"""

from __future__ import annotations

import enum
import ipaddress
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from envoy.service.auth.v3 import external_auth_pb2

from authz import wire
from authz.model.auth import Place, PlaceKind
from authz.rulebook.book import OperationKey
from authz.settings import Settings


class Twice(enum.Enum):
    """A credential that came more than once, or under a name in disguise: nobody can say which one counts."""

    TWICE = "twice"


TWICE: Final = Twice.TWICE
Found = str | Twice | None
"""What stands in a place: nothing (None), one value (maybe empty), or more than one."""

_QUERY: Final = PlaceKind.QUERY
_HEADER: Final = PlaceKind.HEADER
_parse = external_auth_pb2.CheckRequest.FromString


class Call:
    """One request. `operation` is (service, config id, selector), as the route's context extensions say; `charges`
    that Check has to charge for it.
    """

    __slots__ = ("_attributes", "_forwarded", "_hops", "charges", "headers", "operation", "path")

    def __init__(self, message: bytes, *, forwarded: bool = False, trusted: int = -1) -> None:
        """Raises google.protobuf.message.DecodeError when the bytes are no CheckRequest.

        `forwarded`: the Forwarded header names the client's address; `trusted` is what `hops` says.
        """
        attributes = self._attributes = _parse(message).attributes
        self._forwarded, self._hops = forwarded, trusted
        context = attributes.context_extensions
        # An absent one reads as "", which names no operation.
        self.operation: OperationKey = (
            context[wire.CONTEXT_SERVICE],
            context[wire.CONTEXT_CONFIG],
            context[wire.CONTEXT_OPERATION],
        )
        self.charges = context[wire.CONTEXT_CHARGE] != ""
        http = attributes.request.http
        self.headers: Mapping[str, str] = http.headers
        self.path: str = http.path

    @property
    def query(self) -> str:
        """The raw query string: Envoy leaves it in `path`, its `query` field is always empty."""
        return self.path.partition("?")[2]

    @property
    def is_grpc(self) -> bool:
        """Whether Envoy will answer as gRPC; its test is the content type (`Grpc::Common::isGrpcRequestHeaders`)."""
        content = self.headers.get("content-type", "")
        return content.startswith("application/grpc") and content[16:17] in {"", "+", ";"}

    @property
    def address(self) -> str:
        """The client's IP address, as far as trusted proxies tell; empty behind a Unix socket."""
        peer: str = self._attributes.source.address.socket_address.address
        if self._forwarded and (said := _forwarded_for(self.headers.get(wire.FORWARDED, ""))):
            return said
        return peer if self._hops < 0 else _behind(self.headers.get(wire.FORWARDED_FOR, ""), self._hops) or peer

    def find(self, places: tuple[Place, ...]) -> Found:
        """The credential in the first place where there is one, even an empty one."""
        for place in places:
            kind = place.kind
            read = _in_query if kind is _QUERY else _in_header if kind is _HEADER else _in_cookie
            if (found := read(self, place)) is not None:
                return found
        return None


def hops(settings: Settings) -> int:
    """How many X-Forwarded-For entries, counted from the right, stand behind the client's; -1: none is looked at.

    Envoy's rule with `use_remote_address` appends the peer before Check sees the header, so that both modes
    read the entry at the same place; with no trusted hop the peer itself is the client.
    """
    return -1 if settings.use_remote_address and not settings.trusted_hops else settings.trusted_hops


def _behind(forwarded_for: str, skip: int) -> str:
    entries = forwarded_for.split(",")
    return _address(entries[-skip - 1]) if len(entries) > skip else ""


def _forwarded_for(header: str) -> str:
    """The last element's `for=` of a Forwarded header (RFC 7239), empty when it is no IP address."""
    for pair in header.rpartition(",")[2].split(";"):
        name, _, value = pair.strip().partition("=")
        if name.lower() == "for":
            return _address(value.strip('"'))
    return ""


def _address(text: str) -> str:
    text = text.strip()
    host = text[1:].partition("]")[0] if text.startswith("[") else text.partition(":")[0] if "." in text else text
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return ""


def _in_header(call: Call, place: Place) -> Found:
    value = call.headers.get(place.name)
    if value is None:
        return None
    prefix = place.prefix.rstrip()
    if not prefix:
        return TWICE if "," in value else value
    # Scheme names of Authorization are case-insensitive (RFC 9110, 11.1); other prefixes are as their author wrote.
    text, prefix = (value.lower(), prefix.lower()) if place.name == wire.AUTHORIZATION else (value, prefix)
    if "," in value and prefix in text:
        # Envoy joins repeated headers with a bare comma, and no credential contains one.
        return TWICE
    if not text.startswith(prefix):
        return None
    rest = value[len(prefix) :]
    return rest.lstrip(" ") if rest[:1] in {"", " "} or not place.prefix.endswith(" ") else None


def _in_query(call: Call, place: Place) -> Found:
    if not (query := call.query):
        return None
    found = _parameter(place.name).findall(query)
    if not found:
        return None
    name, value = found[0]
    return value if len(found) == 1 and name == place.name else TWICE


@lru_cache(maxsize=4096)
def _parameter(name: str) -> re.Pattern[str]:
    """Finds a query parameter under its plain name and under every percent-encoded spelling of it.

    Backends decode names: a gateway that did not see `k%65y` would let a second key past its check.
    """
    return re.compile(rf"(?:\A|&)({''.join(map(_spellings, name))})(?:=([^&]*))?(?![^&])")


def _spellings(char: str) -> str:
    coded = "".join(f"%{byte:02x}" for byte in char.encode())
    return f"(?:{re.escape(char)}|(?i:{coded}){'|[+]' if char == ' ' else ''})"


def _in_cookie(call: Call, place: Place) -> Found:
    values = [
        value.strip()
        for name, equals, value in (part.partition("=") for part in call.headers.get("cookie", "").split(";"))
        if equals and name.strip() == place.name
    ]
    if not values:
        return None
    return values[0] if len(values) == 1 else TWICE
