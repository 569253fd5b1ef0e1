"""The other end of a connection, byte by byte: frames made by hand, answers read with a decoder of another make."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 2, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1

NO_ERROR, PROTOCOL_ERROR, REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM = 0, 1, 7, 8, 11

REQUEST = {
    ":method": "POST", ":scheme": "http", ":path": "/test.Echo/Echo", ":authority": "here",
    "te": "trailers", "content-type": "application/grpc",
}  # fmt: skip


def frame(kind: int, payload: bytes = b"", stream: int = 0, flags: int = 0) -> bytes:
    """RFC 9113, 4.1."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def block(fields: Mapping[str, str]) -> bytes:
    """A header block of literals that touch no dynamic table: any block can be left out or repeated."""
    out = b""
    for name, value in fields.items():
        out += b"\x00" + _string(name) + _string(value)
    return out


def _string(text: str) -> bytes:
    data = text.encode("latin-1")
    size = len(data)
    if size < 127:
        return bytes([size]) + data
    head, size = b"\x7f", size - 127
    while size >= 128:
        head, size = head + bytes([size % 128 + 128]), size // 128
    return head + bytes([size]) + data


def headers(stream: int, *, end: bool = False, **changes: str | None) -> bytes:
    """A request's HEADERS frame; `_` in a name stands for `-`, None leaves a field out, `method` means `:method`."""
    fields = dict(REQUEST)
    for name, value in changes.items():
        key = f":{name}" if f":{name}" in REQUEST else name.replace("_", "-")
        if value is None:
            fields.pop(key)
        else:
            fields[key] = value
    return frame(HEADERS, block(fields), stream, END_HEADERS | (END_STREAM if end else 0))


def message(data: bytes, *, compressed: bool = False) -> bytes:
    return bytes([compressed]) + len(data).to_bytes(4, "big") + data


def data(stream: int, payload: bytes, *, end: bool = True) -> bytes:
    return frame(DATA, payload, stream, END_STREAM if end else 0)


def call(stream: int, body: bytes, **changes: str | None) -> bytes:
    """A whole unary request."""
    return headers(stream, **changes) + data(stream, message(body))


def reset(stream: int, code: int = CANCEL) -> bytes:
    return frame(RST_STREAM, code.to_bytes(4, "big"), stream)


@dataclass
class Answer:
    """What came back on one stream."""

    fields: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    ended: bool = False
    reset: int | None = None

    @property
    def status(self) -> int:
        return int(self.fields.get("grpc-status", -1))

    @property
    def message(self) -> bytes:
        size = int.from_bytes(self.body[1:5], "big")
        assert self.body[:1] == b"\0", self
        assert len(self.body) == size + 5, self
        return self.body[5:]


class Reader:
    """What a server says, frame by frame."""

    def __init__(self) -> None:
        self.answers: dict[int, Answer] = {}
        self.frames: list[tuple[int, int, int, bytes]] = []
        self.goaway: tuple[int, int] | None = None
        self.rest = b""
        self._decoder = hpack.Decoder()

    def feed(self, out: bytes) -> None:
        self.rest += out
        for kind, flags, stream, payload in self._split():
            self.frames.append((kind, flags, stream, payload))
            if kind == GOAWAY:
                self.goaway = int.from_bytes(payload[:4], "big"), int.from_bytes(payload[4:8], "big")
            elif stream:
                self._answer(kind, flags, self.answers.setdefault(stream, Answer()), payload)

    def _split(self) -> Iterator[tuple[int, int, int, bytes]]:
        while len(self.rest) >= 9 and len(self.rest) >= (end := 9 + int.from_bytes(self.rest[:3], "big")):
            frame, self.rest = self.rest[:end], self.rest[end:]
            yield frame[3], frame[4], int.from_bytes(frame[5:9], "big"), frame[9:]

    def _answer(self, kind: int, flags: int, answer: Answer, payload: bytes) -> None:
        if kind == RST_STREAM:
            answer.reset = int.from_bytes(payload, "big")
        if kind == HEADERS:
            assert not answer.ended
            answer.fields.update((str(name), str(value)) for name, value in self._decoder.decode(payload))
        if kind == DATA:
            assert not answer.ended
            answer.body += payload
        answer.ended |= bool(kind in {DATA, HEADERS} and flags & END_STREAM)


class Wire(asyncio.Transport):
    """A connection's transport without a socket: what is written is read at once, or kept while `stalled`."""

    def __init__(self, protocol: asyncio.Protocol, *, extra: Mapping[str, object] | None = None) -> None:
        super().__init__(dict(extra or {}))
        self.protocol = protocol
        self.reader = Reader()
        self.writes = 0
        self.raw = b""
        self.kept = b""
        self.stalled = self.paused = self.closing = self.aborted = False
        protocol.connection_made(self)

    def send(self, *parts: bytes) -> None:
        """What one read brings."""
        assert not self.paused
        if not self.closing:
            self.protocol.data_received(b"".join(parts))

    def greet(self, settings: bytes = b"") -> None:
        self.send(PREFACE + frame(SETTINGS, settings))

    def write(self, data: bytes) -> None:  # type: ignore[override]
        assert not self.closing
        self.writes += 1
        if self.stalled:
            self.kept += data
            self.protocol.pause_writing()
            return
        self.raw += data
        self.reader.feed(data)

    def read_on(self) -> None:
        """The peer reads what has been kept from it."""
        self.stalled = False
        data, self.kept = self.kept, b""
        self.raw += data
        self.reader.feed(data)
        self.protocol.resume_writing()

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        if not self.closing:
            self.closing = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    def abort(self) -> None:
        self.aborted = True
        self.close()

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def goaway_code(self) -> int | None:
        return self.reader.goaway[1] if self.reader.goaway else None

    def answer(self, stream: int) -> Answer:
        return self.reader.answers.get(stream, Answer())
