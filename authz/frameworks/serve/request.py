"""A request as methods need it: query and body out of bytes, within bounds. No server's interface is known here."""

from __future__ import annotations

import functools
import json
import re
import zlib
from collections.abc import Mapping
from itertools import accumulate
from typing import Any, Final, NoReturn
from urllib.parse import parse_qsl

from authz.frameworks.exceptions import InvalidValue, RequestEntityTooLargeException, ServiceException
from authz.frameworks.service import ABSENT
from authz.frameworks.users import Call, User

FORM: Final = "application/x-www-form-urlencoded"
_MOST_PAIRS: Final = 1000
_PIECE: Final = 4096
_PLAIN: Final = re.compile(r"[\x20-\x24\x26-\x2a\x2c-\x7e]*").fullmatch
"""ASCII without `%` and `+`."""
_STEPS: Final = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_STRUCTURE: Final = b'[]{}"'
_REST: Final = bytes(set(range(256)) - set(_STRUCTURE))


class UnsupportedEncoding(ServiceException):
    """415: a body in a coding that is not read."""

    http_status = 415


class LengthRequired(ServiceException):
    """411: a body whose end cannot be told."""

    http_status = 411


class Request(Call):
    """One request: a `Call` with what routing and binding need. `path` is decoded, `raw` is as it came, if known."""

    __slots__ = ("method", "path", "query", "raw", "scheme")

    def __init__(
        self,
        method: str,
        path: str,
        query: str,
        headers: Mapping[str, str],
        *,
        raw: str | None = None,
        address: str | None = None,
        user: User | None = None,
        scheme: str = "http",
    ) -> None:
        super().__init__(headers, address, user)
        self.method = method
        self.path = path
        self.raw = raw
        self.query = query
        self.scheme = scheme


def pairs(text: str, where: str = "query") -> list[tuple[str, str]]:
    """Names and values as they came, decoded.

    Raises:
        InvalidValue: it is not UTF-8, or has too many of them.
    """
    if _PLAIN(text) and text.count("&") < _MOST_PAIRS:
        # Nothing to decode: what `parse_qsl` gives, at a third of its price.
        parts = [part.partition("=") for part in text.split("&") if part]
        return [(name, value) for name, _, value in parts]
    try:
        if where == "query" and not text.isascii():
            text = text.encode("latin-1").decode()  # bytes in the guise of text, as servers give them
        return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_MOST_PAIRS)
    except UnicodeDecodeError:
        raise InvalidValue(f"The {where} is not UTF-8.") from None
    except ValueError:
        raise InvalidValue(f"The {where} has more than {_MOST_PAIRS} parameters.") from None


def announced(length: str | None, most: int) -> int | None:
    """The length that a request says its body has, None if it says none.

    Raises:
        InvalidValue: it is no length.
        RequestEntityTooLargeException: it is more than this server reads.
    """
    if length is None or not length:
        return None
    if not (length.isascii() and length.isdigit()):
        raise InvalidValue("Content-Length is not a number.")
    if len(length) > 18 or int(length) > most:
        raise too_large(most)
    return int(length)


def too_large(most: int) -> RequestEntityTooLargeException:
    """The refusal of a body."""
    return RequestEntityTooLargeException(f"The body is larger than {most} bytes.")


def content(body: bytes, headers: Mapping[str, str], *, most: int, depth: int, objects: bool = True) -> object:
    """What a body says: parsed JSON whatever its type is said to be, or the fields of a form; ABSENT if it is empty.

    `objects`: JSON that is anything but an object is refused.

    Raises:
        ServiceException: it cannot be read.
    """
    if not body:
        return ABSENT
    coding = headers.get("content-encoding")
    if coding and coding.strip().lower() != "identity":
        body = _unpacked(body, coding.strip().lower(), most)
    kind = headers.get("content-type", "")
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise InvalidValue("The body is not UTF-8.") from None
    # What curl sends by itself calls all a form. A form's own braces and brackets are percent-encoded.
    if kind and kind.partition(";")[0].strip().lower() == FORM and text.lstrip()[:1] not in {"{", "["}:
        return _form(text)
    return _json(text, body, kind, depth, objects=objects)


def _json(text: str, body: bytes, kind: str, depth: int, *, objects: bool) -> object:
    try:
        if body.count(b"[") + body.count(b"{") > depth and _depth(body) > depth:
            raise InvalidValue(f"The body has arrays and objects more than {depth} deep in each other.")
        said = _decode(text)
    except RecursionError:
        raise InvalidValue("The body has too many arrays and objects in each other.") from None
    except ValueError as wrong:
        raise InvalidValue(_not_json(wrong, kind)) from None
    if objects and not isinstance(said, dict):
        raise InvalidValue("The body is not a JSON object.")
    return said


def _no_number(name: str) -> NoReturn:
    raise InvalidValue(f"The body has {name}, which is no JSON.")


_decode: Final = json.JSONDecoder(parse_constant=_no_number).decode


def _not_json(wrong: ValueError, kind: str) -> str:
    place = f" (line {wrong.lineno}, column {wrong.colno})" if isinstance(wrong, json.JSONDecodeError) else ""
    remedy = f"; send application/json instead of {kind[:100]}" if kind and "json" not in kind.lower() else ""
    return f"The body is not JSON{place}{remedy}."


def _depth(body: bytes) -> int:
    """How deep brackets stand in each other, in text that may be JSON; without a loop in Python over its strings."""
    plain = body.replace(b"\\\\", b"").replace(b'\\"', b"").translate(None, _REST)
    outside = b"".join(plain.split(b'"')[::2])
    return max(accumulate(map(_STEPS.__getitem__, outside)), default=0)


def _form(text: str) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in pairs(text, "form"):
        if name not in fields:
            fields[name] = value
        elif isinstance(fields[name], list):
            fields[name].append(value)
        else:
            fields[name] = [fields[name], value]
    return fields


def _unpacked(body: bytes, coding: str, most: int) -> bytes:
    if coding not in {"gzip", "x-gzip"}:
        raise UnsupportedEncoding("The body's Content-Encoding is not gzip, which is the only one that is read.")
    parts, size, stream = [], 0, _gzip()
    # In pieces: what follows the end of a member is copied, and a body may be made of nothing but ends.
    for at in range(0, len(body), _PIECE):
        piece = body[at : at + _PIECE]
        while piece:
            stream = _gzip() if stream.eof else stream
            try:
                part = stream.decompress(piece, most - size + 1)
            except zlib.error:
                raise InvalidValue("The body is not gzip, as its Content-Encoding says.") from None
            size += len(part)
            if size > most:
                raise too_large(most)
            parts.append(part)
            piece = stream.unused_data
    if not stream.eof:
        raise InvalidValue("The body's gzip data ends too early.")
    return b"".join(parts)


_gzip: Final = functools.partial(zlib.decompressobj, zlib.MAX_WBITS | 16)
