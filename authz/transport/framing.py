"""gRPC's own wire rules over HTTP/2, as pure functions: what a request must look like, and what answers consist of.

This module knows bytes and header lists; it knows no connection, no clock and no HTTP/2 library. The rules are those of
gRPC's `PROTOCOL-HTTP2` document.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

Headers = tuple[tuple[bytes, bytes], ...]

DEADLINE_EXCEEDED: Final = 4
RESOURCE_EXHAUSTED: Final = 8
UNIMPLEMENTED: Final = 12
INTERNAL: Final = 13
UNAVAILABLE: Final = 14

_PREFIX: Final = struct.Struct(">BI")
"""What stands before a message: a flag (compressed or not) and the message's length."""
PREFIX: Final = _PREFIX.size

GRPC: Final = b"application/grpc"
RESPONSE: Final[Headers] = ((b":status", b"200"), (b"content-type", GRPC))
OK: Final[Headers] = ((b"grpc-status", b"0"),)

_LONGEST_TIMEOUT: Final = 8  # digits
_UNITS: Final = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_PRINTABLE: Final = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")


class Rejected(Exception):  # noqa: N818 - it is the answer to one call, not an error of the program
    """A request that cannot be a unary gRPC call. `headers` is the whole answer."""

    def __init__(self, headers: Headers) -> None:
        super().__init__(headers)
        self.headers = headers


def refusal(code: int, message: str, *more: tuple[bytes, bytes]) -> Headers:
    """An answer without a message: the status travels in the only header block ("Trailers-Only")."""
    return (*RESPONSE, (b"grpc-status", b"%d" % code), (b"grpc-message", quote(message, _PRINTABLE).encode()), *more)


def check_request(fields: Mapping[bytes, bytes], *, known: bool) -> None:
    """Hold a request's headers against the protocol. `known`: its path names a method.

    Raises:
        Rejected: it is no gRPC request, or names no method.
    """
    if fields.get(b":method") != b"POST":
        raise Rejected(((b":status", b"405"), (b"allow", b"POST")))
    kind = fields.get(b"content-type", b"")
    if not kind.startswith(GRPC) or kind[len(GRPC) :][:1] not in {b"", b"+", b";"}:
        raise Rejected(((b":status", b"415"),))
    if not known:
        raise Rejected(refusal(UNIMPLEMENTED, "this server has no such method"))


def message(body: bytes | bytearray, limit: int, ended: bool) -> bytes | bytearray | None:
    """The only message of a request body; None while more of it must come. `ended`: nothing more will.

    Raises:
        Rejected: the body is not one uncompressed message of at most `limit` bytes.
    """
    size = len(body) - PREFIX
    if size >= 0:
        compressed, announced = _PREFIX.unpack_from(body)
        if compressed:
            raise Rejected(_COMPRESSED)
        if announced > limit:
            raise Rejected(refusal(RESOURCE_EXHAUSTED, f"the message has {announced} bytes; {limit} are allowed"))
        if size > announced:
            raise Rejected(_TOO_MUCH)
        if ended and size == announced:
            return body[PREFIX:]
    if ended:
        raise Rejected(_TRUNCATED)
    return None


def is_message(body: bytes) -> bool:
    """Whether a body is one uncompressed message and nothing else."""
    return body[:PREFIX] == _PREFIX.pack(0, max(len(body) - PREFIX, 0))


def prefixed(reply: bytes) -> bytes:
    """A message as it travels."""
    return _PREFIX.pack(0, len(reply)) + reply


# Status and `grpc-accept-encoding` as the protocol's section on compression says.
_COMPRESSED: Final = refusal(UNIMPLEMENTED, "messages must not be compressed", (b"grpc-accept-encoding", b"identity"))
_TOO_MUCH: Final = refusal(INTERNAL, "the request holds more than one message")
_TRUNCATED: Final = refusal(INTERNAL, "the request ended before its message did")


def timeout(value: bytes | None) -> float | None:
    """Seconds of a `grpc-timeout`. One that is malformed is as good as none, as for gRPC's C core."""
    if value is None:
        return None
    digits, unit = value[:-1], _UNITS.get(value[-1:])
    if unit is None or not digits.isdigit() or len(digits) > _LONGEST_TIMEOUT:
        return None
    return int(digits) * unit
