"""One HTTP/2 connection of a gRPC server: takes bytes, runs handlers, gives bytes back.

Theory of operation. libnghttp2 (`ngh2`) parses all that one read brought and tells of it as a list of events. Each
event is handled in turn; a handler that answers at once is answered on the spot, into libnghttp2's queue, and what all
of them put there leaves in a single write. Only a handler that waits costs a task.

What libnghttp2 guards is left to it, with the numbers of `Limits`: framing, HPACK, flow control, header lists, streams
at once, floods of CONTINUATION, RST_STREAM, PING, SETTINGS, PRIORITY and empty DATA frames. What it cannot know is
guarded here: requests that never end, the memory they hold, frames that ask for nothing, peers that do not read.
There are no timers: the owner of the connections calls `tick` once a second, and ages are counted in ticks.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, ClassVar, Final, cast

import ngh2
from ngh2 import ErrorCode, NGH2Error, Setting

from authz.transport import framing
from authz.transport.calls import STOPPED, Call, Method, Request, Shared
from authz.transport.framing import Headers, Rejected
from authz.transport.limits import Limits

_GOODBYE: Final = b"draining"
"""Payload of the ping behind the first GOAWAY: its answer says that the peer has read both (RFC 9113, 6.8)."""

_GOAWAY: Final = bytes([0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7F, 0xFF, 0xFF, 0xFF])
"""A GOAWAY frame up to its error code. It says that any stream may have been handled, so that none is tried again."""

_WHAT_WE_SPEAK: Final = b"Only gRPC over HTTP/2 is spoken here.\n"
_HTTP1: Final = (
    b"HTTP/1.1 505 HTTP Version Not Supported\r\nconnection: close\r\ncontent-type: text/plain\r\n"
    b"content-length: %d\r\n\r\n%s" % (len(_WHAT_WE_SPEAK), _WHAT_WE_SPEAK)
)
_SAYS: Final = "HTTP/2 engine error: "
_NEVER_ENDED: Final = framing.refusal(framing.DEADLINE_EXCEEDED, "the request did not arrive in time")
_TOO_LATE: Final = framing.refusal(framing.DEADLINE_EXCEEDED, "the answer was not there in time")

_REMEMBERED: Final = 2
"""Header lists of a connection: Envoy's for a Check and for a RateLimit, each the same for every call."""
_REMEMBERED_BYTES: Final = 1000


class Connection(asyncio.Protocol):
    """The server's side of one connection. `closed` is done when it is over."""

    _transport: asyncio.Transport
    _http2: ngh2.Connection

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._limits = shared.limits
        self._loop = asyncio.get_running_loop()
        self._most = shared.limits.message + framing.PREFIX
        self._known: deque[tuple[Headers, Request]] = deque(maxlen=_REMEMBERED)
        self._asked: dict[int, Request] = {}  # by stream, until the first part of the body
        self._calls: dict[int, Call] = {}
        self._cut: list[int] = []
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self._greeted = self._active = self._ending = self._blocked = self._flushing = False
        self._controls = self._queued = 0
        self._age = self._idle = self._stalled = 0

    # -- what asyncio calls -----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet, if there is room and the peer means HTTP/2."""
        self._transport = cast("asyncio.Transport", transport)
        tls = transport.get_extra_info("ssl_object")
        if self._shared.stopping:
            self._transport.abort()
        elif len(self._shared.connections) >= self._limits.connections:
            self._abort("found too many connections")
        elif tls is not None and tls.selected_alpn_protocol() != "h2":
            self._abort("did not choose HTTP/2 in its TLS handshake")
        else:
            self._shared.connections.add(self)
            self._http2 = _session(self._limits)
            self._flush()

    def data_received(self, data: bytes) -> None:
        """Handle all that one read brought; answer in one write."""
        self._active = True
        http2 = self._http2
        try:
            http2.receive_data(data)
        except NGH2Error as error:
            self._break(error, data)
            return
        for event in http2.events():
            if isinstance(event, ngh2.DataReceived):
                self._take(event.stream_id, event.data, event.end_stream)
            elif isinstance(event, ngh2.RequestReceived):
                self._on_request(event)
            elif isinstance(event, ngh2.StreamClosed):
                if self._asked or self._calls:  # else all that were asked are answered
                    self._drop(event.stream_id)  # nothing is left of it where it has been answered
            elif (act := self.RARE.get(type(event))) is not None:
                act(self, event)
        self._flush()

    def pause_writing(self) -> None:
        """The peer does not read: make nothing more for it, and take nothing more from it."""
        self._blocked = True
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """The peer reads again."""
        self._blocked = False
        self._stalled = 0
        if not self._transport.is_closing():
            self._transport.resume_reading()
            self._flush()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - it makes no difference
        """Nobody waits for the answers any more."""
        self._shared.connections.discard(self)
        for stream in self._open():
            self._drop(stream)
        if not self.closed.done():
            self.closed.set_result(None)

    # -- what HTTP/2 brings -----------------------------------------------------------------------------------

    def _on_request(self, event: ngh2.RequestReceived) -> None:
        self._controls = 0
        stream, headers = event.stream_id, event.headers
        for known, request in self._known:
            if known == headers:
                self._asked[stream] = request
                break
        else:
            try:
                self._asked[stream] = self._understood(headers)
            except Rejected as rejected:
                self._refuse(stream, rejected.headers, ended=event.end_stream)
                return
        if event.end_stream:
            self._take(stream, b"", True)

    def _understood(self, headers: Headers) -> Request:
        """What headers mean; remembered, because a peer says the same again and again.

        Raises:
            Rejected: they begin no call.
        """
        fields = dict(headers)
        method = self._shared.methods.get(fields.get(b":path", b""))
        framing.check_request(fields, known=method is not None)
        request = Request(cast("Method", method), fields.get(b"grpc-timeout"))
        if sum(len(name) + len(value) for name, value in headers) < _REMEMBERED_BYTES:
            self._known.append((headers, request))
        return request

    def _on_trailers(self, event: ngh2.TrailersReceived) -> None:
        self._take(event.stream_id, b"", True)

    def _on_settings(self, event: ngh2.SettingsReceived) -> None:
        self._greeted = True
        self._on_control(event)

    def _on_control(self, event: ngh2.Event) -> None:  # noqa: ARG002 - all of these are only counted
        self._controls += 1
        if self._controls == self._limits.controls:
            self._complain("sent too many frames that ask for nothing")
            self._end(ErrorCode.ENHANCE_YOUR_CALM)

    def _on_pong(self, event: ngh2.PingAcknowledged) -> None:
        """The peer knows that we leave; all that it asked before it knew is here."""
        if self._ending and event.opaque_data == _GOODBYE:
            self._http2.send_goaway()

    def _on_goaway(self, event: ngh2.GoAwayReceived) -> None:  # noqa: ARG002 - why it leaves is its affair
        self._ending = True

    # -- calls ------------------------------------------------------------------------------------------------

    def _take(self, stream: int, data: bytes, ended: bool) -> None:
        """A part of a request's body, mostly all of it."""
        request = self._asked.pop(stream, None)
        try:
            if request is not None and ended and len(data) <= self._most and framing.is_message(data):
                reply: bytes | Awaitable[bytes] | None = request.method.ask(data[framing.PREFIX :])
            else:
                if request is not None:
                    self._begun(stream, request)
                call = self._calls.get(stream)
                reply = call.take(data, ended) if call is not None else None
        except Rejected as rejected:
            self._drop(stream)
            self._refuse(stream, rejected.headers, ended=ended)
            return
        if isinstance(reply, bytes):
            self._calls.pop(stream, None)
            self._answer(stream, reply)
        elif reply is not None:
            call = self._calls.get(stream) or self._begun(stream, cast("Request", request))
            call.wait(reply, partial(self._settled, stream), partial(self._late, stream))

    def _begun(self, stream: int, request: Request) -> Call:
        """From here on there is more to a stream than what its headers say."""
        call = self._calls[stream] = Call(request)
        return call

    def _settled(self, stream: int, done: asyncio.Future[bytes]) -> None:
        """A handler that waited is done."""
        call = self._calls.pop(stream, None)
        if call is None:  # dropped meanwhile; asked for, lest an exception be reported as overlooked
            done.cancelled() or done.exception()
            return
        try:
            self._answer(stream, call.outcome(done))
        except Rejected as rejected:
            self._refuse(stream, rejected.headers, ended=True)
        self._flush_soon()

    def _late(self, stream: int) -> None:
        self._drop(stream)
        self._refuse(stream, _TOO_LATE, ended=True)
        self._flush_soon()

    def _drop(self, stream: int) -> None:
        self._asked.pop(stream, None)
        if (call := self._calls.pop(stream, None)) is not None:
            call.drop()

    def _open(self) -> list[int]:
        """The streams without an answer."""
        return [*self._asked, *self._calls]

    def _answer(self, stream: int, message: bytes) -> None:
        http2 = self._http2
        try:
            http2.send_response(stream, framing.RESPONSE)
            http2.send_data(stream, framing.prefixed(message))
            http2.send_trailers(stream, framing.OK)
        except NGH2Error:  # its caller has left, in this very read
            return

    def _refuse(self, stream: int, headers: framing.Headers, *, ended: bool) -> None:
        """Answer without a message. `ended`: the peer sends nothing more on this stream; else it is told to stop."""
        try:
            self._http2.send_response(stream, headers, end_stream=True)
        except NGH2Error:
            return
        if not ended:
            self._cut.append(stream)

    # -- writing ----------------------------------------------------------------------------------------------

    def _flush_soon(self) -> None:
        """Handlers that waited for the same thing are answered in one write, too."""
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        http2, transport = self._http2, self._transport
        if self._blocked or transport.is_closing():
            return
        out = http2.data_to_send()
        if self._cut:
            out += self._cut_short()
        if out:
            transport.write(out)
        if not (http2.want_read or http2.want_write):
            if not self._ending:
                self._complain("broke the rules of HTTP/2")
            transport.close()

    def _cut_short(self) -> bytes:
        """Tell the peer not to go on with requests that have been answered (RFC 9113, 8.1).

        Only now that the answers have left libnghttp2: a reset overtakes what is queued for its stream.
        """
        for stream in self._cut:
            with contextlib.suppress(NGH2Error):  # it has ended meanwhile
                self._http2.reset_stream(stream, ErrorCode.NO_ERROR)
        self._cut.clear()
        return self._http2.data_to_send()

    def _break(self, error: NGH2Error, data: bytes) -> None:
        """The connection is beyond use and libnghttp2 writes no more: say why in bytes of our own."""
        if not self._greeted and b" HTTP/1." in data[:4096].split(b"\r\n", 1)[0]:
            self._complain("speaks HTTP/1")
            self._transport.write(_HTTP1)
        elif isinstance(error, ngh2.DenialOfServiceError):
            self._complain(f"went beyond a limit: {str(error).removeprefix(_SAYS)}")
            self._transport.write(_GOAWAY + ErrorCode.ENHANCE_YOUR_CALM.to_bytes(4, "big"))
        else:
            self._complain("does not speak HTTP/2")
            self._transport.write(_GOAWAY + ErrorCode.PROTOCOL_ERROR.to_bytes(4, "big"))
        self._transport.close()

    # -- what the owner calls ---------------------------------------------------------------------------------

    def tick(self) -> None:
        """One second has passed."""
        limits = self._limits
        stuck = self._blocked or self._transport.is_closing() or self._is_stuck()
        self._stalled = self._stalled + 1 if stuck else 0
        self._idle = 0 if self._active or self._asked or self._calls else self._idle + 1
        self._age += 1
        self._controls, self._active = 0, False
        if self._stalled > limits.stalled:
            self._abort("does not read its answers")
        elif not self._greeted and self._age > limits.greeting:
            self._abort("sent no HTTP/2 greeting in time")
        elif self._idle > limits.idle + limits.greeting:
            self._end()
        elif self._idle == limits.idle:
            self.drain()
        else:
            self._end_old_requests()

    def _is_stuck(self) -> bool:
        """Whether answers wait for the peer's flow control and not one byte of them has left since the last tick."""
        before, self._queued = self._queued, self._http2.queued_body_size()
        return bool(before) and self._queued >= before

    def _end_old_requests(self) -> None:
        while self._asked:  # ages are kept by calls
            self._begun(*self._asked.popitem())
        for stream, call in list(self._calls.items()):
            call.age += 1
            if call.arriving and call.age > self._limits.request:
                self._drop(stream)
                self._refuse(stream, _NEVER_ENDED, ended=False)
        self._flush()

    def drain(self) -> None:
        """Ask for no more calls; those under way may end, then the connection does."""
        self._ending = True
        with contextlib.suppress(NGH2Error):  # the peer leaves already
            self._http2.send_shutdown_notice()
            self._http2.ping(_GOODBYE)
        self._flush()

    def stop(self) -> None:
        """End what runs, saying so, and the connection."""
        for stream in self._open():
            self._drop(stream)
            self._refuse(stream, STOPPED, ended=True)
        self._flush()
        self._end()
        if self._blocked:
            self._transport.abort()

    def abort(self) -> None:
        """End the connection, whatever is left to say."""
        self._transport.abort()

    def _end(self, code: ErrorCode = ErrorCode.NO_ERROR) -> None:
        self._ending = True
        with contextlib.suppress(NGH2Error):
            self._http2.terminate_connection(code)
        self._flush()

    def _abort(self, why: str) -> None:
        self._complain(why)
        self._transport.abort()

    def _complain(self, why: str) -> None:
        self._shared.complaints.add(self._transport.get_extra_info("peername"), why)

    RARE: ClassVar[dict[type, Callable[[Connection, Any], None]]] = {
        ngh2.TrailersReceived: _on_trailers,
        ngh2.SettingsReceived: _on_settings,
        ngh2.PingReceived: _on_control,
        ngh2.WindowUpdated: _on_control,
        ngh2.PriorityUpdateReceived: _on_control,
        ngh2.PingAcknowledged: _on_pong,
        ngh2.GoAwayReceived: _on_goaway,
    }


def _session(limits: Limits) -> ngh2.Connection:
    """libnghttp2's part of a connection, its greeting ready to be sent."""
    session = ngh2.Connection(
        ngh2.Role.SERVER,
        ngh2.Configuration(
            max_inbound_header_list_size=limits.header_bytes,
            max_continuations=limits.continuations,
            stream_reset_rate_limit=limits.resets,
            max_outbound_ack=limits.unread,
        ),
    )
    most = {Setting.MAX_CONCURRENT_STREAMS: limits.streams, Setting.MAX_HEADER_LIST_SIZE: limits.header_bytes}
    session.initiate_connection(most)
    return session
