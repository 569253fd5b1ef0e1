"""Protobuf messages out of pieces: what the hot path writes itself instead of building a message object.

A serialised message is the fields one behind another, in any order, and a repeated field may stand in any number of
places. So the pieces that many messages share are serialised once and joined. Only encoding is here; what the numbers
mean is the caller's. (https://protobuf.dev/programming-guides/encoding/)
"""

from __future__ import annotations

from typing import Final

_SMALL: Final = tuple([bytes((value,)) for value in range(0x80)])


def varint(value: int) -> bytes:
    """A number of 0 or more: seven bits a byte, the lowest first."""
    if value < 0x80:
        return _SMALL[value]
    if value < 0x4000:
        return bytes((value & 0x7F | 0x80, value >> 7))
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def block(tag: bytes, content: bytes) -> bytes:
    """A length-delimited field: text, bytes or a message. `tag` is the field's number << 3 | 2, as one byte."""
    return tag + varint(len(content)) + content
