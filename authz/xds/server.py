"""ADS: snapshots to Envoys, and their answers back.

State of the world, not delta: a snapshot holds a handful of resources (one listener, one route table, one filter
configuration, a cluster per backend), of which only the kinds that changed are sent; delta would save nothing and
would cost a second bookkeeping of names.

`Conversation` decides what to say to one Envoy; it does no I/O. `AdsServer` carries its words over gRPC.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
import grpc.aio
from envoy.service.discovery.v3 import discovery_pb2

from authz.errors import StateError
from authz.tls import Tls
from authz.xds.snapshot import Kind, Resources, Snapshot, bridge

log = logging.getLogger("authz.xds")

METHOD: Final = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"
LINGER_SECONDS: Final = 30.0
"""How long old clusters stay after routes changed: a request may sit in Check, and be retried, for about as long."""
REMEMBERED_SECONDS: Final = 60.0
"""An Envoy whose stream broke still serves what it had, until it is back and was brought up to date, or is gone."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one Envoy made of one snapshot; `message` holds Envoy's own words when it is not `ok`."""

    version: str
    node: str
    ok: bool
    message: str = ""


@dataclass(frozen=True, slots=True)
class _Step:
    """One kind to bring to one state. `wait`: not before Envoy asks for this kind."""

    kind: Kind
    resources: Resources
    wait: bool = True


def make(both: Mapping[Kind, Resources], new: Snapshot) -> tuple[_Step, ...]:
    """What the old routes and the new ones need, then the listener, then the new routes."""
    return (
        _Step(Kind.CLUSTER, both[Kind.CLUSTER]),
        _Step(Kind.EXTENSION, both[Kind.EXTENSION], wait=False),
        _Step(Kind.LISTENER, new.resources[Kind.LISTENER]),
        _Step(Kind.EXTENSION, both[Kind.EXTENSION]),
        _Step(Kind.ROUTES, new.resources[Kind.ROUTES]),
    )


def tidy(current: Snapshot) -> tuple[_Step, ...]:
    """Take away what only routes of the past needed."""
    return tuple(_Step(kind, current.resources[kind]) for kind in (Kind.EXTENSION, Kind.CLUSTER))


@dataclass(slots=True)
class _Channel:
    """What is known of one kind on one stream. `has` is the version Envoy runs, "" when nobody knows."""

    asked: bool = False
    has: str = ""
    nonce: str = ""
    sent: str = ""


Said = tuple[list[discovery_pb2.DiscoveryResponse], list[Outcome]]
"""What to send, and what to report."""


@dataclass(slots=True)
class Conversation:
    """What is said to one Envoy, decided from what it said.

    A snapshot is carried over step by step, each step acknowledged before the next is sent. One that arrives
    meanwhile waits, and replaces another that waits: memory is bounded. What Envoy refuses is never sent again; it is
    brought back to the snapshot it had.

    Make before break: `held` is what Envoy was given and not yet asked to give up. A request that chose its route
    before the change still asks Check with the old headers and then looks its cluster up by name, so both stay until
    somebody calls `tidy`.
    """

    node: str = ""
    current: Snapshot | None = None
    coming: Snapshot | None = None
    waiting: Snapshot | None = None
    held: dict[Kind, Resources] = field(default_factory=dict)
    retiring: frozenset[str] = frozenset()
    _held_before: dict[Kind, Resources] = field(default_factory=dict)
    _steps: deque[_Step] = field(default_factory=deque)
    _channels: dict[Kind, _Channel] = field(default_factory=lambda: {kind: _Channel() for kind in Kind})
    _nonces: int = 0

    @property
    def versions(self) -> frozenset[str]:
        """The snapshots that this Envoy, or a request under way in it, may be using."""
        return frozenset(one.version for one in (self.current, self.coming) if one) | self.retiring

    @property
    def untidy(self) -> bool:
        """Whether Envoy rests, and holds something of the past."""
        if self.current is None or self.coming is not None:
            return False
        mine = self.current.resources
        return bool(self.retiring) or any(one.version != mine[kind].version for kind, one in self.held.items())

    def tidy(self) -> Said:
        """Take away what only the past needed. Nothing while a snapshot is on its way: it tidies up later."""
        if self.current is None or self.coming is not None:
            return [], []
        self.retiring = frozenset()
        self.held = self._held_before = {kind: self.current.resources[kind] for kind in self.held}
        self._steps.extend(tidy(self.current))
        return self._go_on()

    def offer(self, snapshot: Snapshot) -> Said:
        """A snapshot to bring Envoy to."""
        self.waiting = snapshot
        return self._go_on()

    def hear(self, request: discovery_pb2.DiscoveryRequest) -> Said:
        """A request: a subscription, an acknowledgement or a refusal."""
        self.node = request.node.id or self.node
        try:
            channel = self._channels[Kind(request.type_url)]
        except ValueError:
            return [], []
        if not request.response_nonce:
            # A subscription. On a new stream Envoy says what it already has; a version is its content's digest.
            channel.asked, channel.has, channel.sent = True, request.version_info, ""
        elif request.response_nonce != channel.nonce or not channel.sent:
            return [], []  # an answer to what has been overtaken, or a change of names only
        elif request.HasField("error_detail"):
            return self._refused(channel, request.error_detail.message)
        else:
            channel.has, channel.sent = channel.sent, ""
        return self._go_on()

    def _refused(self, channel: _Channel, words: str) -> Said:
        """Back to what was there. Envoy may have taken a part of what it refused, so that kind is sent once more."""
        refused, self.coming = self.coming, None
        self.held = self._held_before
        channel.has, channel.sent = "", ""
        self._steps.clear()
        if refused is None or refused is self.current:  # even the way back is refused: leave it alone
            return self._go_on()
        if self.current is not None:
            self._begin(self.current)
        responses, outcomes = self._go_on()
        return responses, [Outcome(refused.version, self.node, ok=False, message=words.strip()), *outcomes]

    def _begin(self, snapshot: Snapshot) -> None:
        self.coming = snapshot
        self._held_before = self.held
        self.held = bridge(self.held or snapshot.resources, snapshot)
        self._steps.extend(make(self.held, snapshot))

    def _go_on(self) -> Said:
        """Say what is next; when all is said, conclude, and begin with what waits."""
        responses: list[discovery_pb2.DiscoveryResponse] = []
        outcomes: list[Outcome] = []
        while True:
            if self.coming is None and self.waiting is not None:
                self._begin(self.waiting)
                self.waiting = None
            responses += self._advance()
            if self.coming is None or self._steps:
                return responses, outcomes
            if self.coming is not self.current:
                outcomes.append(Outcome(self.coming.version, self.node, ok=True))
                self.retiring |= {self.current.version} if self.current else set()
            self.current, self.coming = self.coming, None
            self.retiring -= {self.current.version}

    def _advance(self) -> list[discovery_pb2.DiscoveryResponse]:
        """The next response, passing over what Envoy has; none while it owes an answer or has yet to ask."""
        while self._steps:
            step = self._steps[0]
            channel = self._channels[step.kind]
            if channel.sent or (step.wait and not channel.asked):
                return []
            if channel.asked and channel.has != step.resources.version:
                return [self._response(step, channel)]
            self._steps.popleft()
        return []

    def _response(self, step: _Step, channel: _Channel) -> discovery_pb2.DiscoveryResponse:
        self._nonces += 1
        channel.nonce, channel.sent = str(self._nonces), step.resources.version
        response = discovery_pb2.DiscoveryResponse(
            version_info=step.resources.version, type_url=step.kind.value, nonce=channel.nonce
        )
        for _, packed in step.resources.items:
            response.resources.add().MergeFromString(packed)
        return response


@dataclass(slots=True, eq=False)
class _Stream:
    """A conversation, the mouth it speaks through, and when to tidy up behind it."""

    talk: Conversation
    broom: asyncio.TimerHandle | None = None
    outbox: asyncio.Queue[discovery_pb2.DiscoveryResponse] = field(default_factory=asyncio.Queue)


class AdsServer:
    """Serves snapshots to every Envoy that connects.

    `on_result` is called once for each snapshot that was brought to an Envoy and taken or refused; a snapshot that
    was overtaken before its turn came is not reported. A new stream gets the latest snapshot that was not refused.
    """

    def __init__(
        self,
        address: str,
        on_result: Callable[[Outcome], None],
        *,
        tls: Tls | None = None,
        linger: float = LINGER_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._address = address
        self._tls = tls
        self._on_result = on_result
        self._linger = linger
        self._clock = clock
        self._server: grpc.aio.Server | None = None
        self._streams: set[_Stream] = set()
        self._departed: dict[str, tuple[float, frozenset[str]]] = {}
        self._latest: Snapshot | None = None
        self._good: Snapshot | None = None

    @property
    def address(self) -> str:
        """Where it listens: `HOST:PORT` with the real port, or `unix:PATH`."""
        return self._address

    async def start(self) -> None:
        """Bind and serve.

        Raises:
            StateError: the address cannot be bound.
        """
        # Two processes on one address would each configure some of the Envoys.
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        handler = grpc.stream_stream_rpc_method_handler(
            self._serve,
            request_deserializer=discovery_pb2.DiscoveryRequest.FromString,
            response_serializer=discovery_pb2.DiscoveryResponse.SerializeToString,
        )
        service, method = METHOD.strip("/").split("/")
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
        try:
            port = self._bind(server)
            await server.start()
        except RuntimeError as error:
            await server.stop(None)
            raise StateError(
                f"Cannot serve Envoy's configuration on {self._address}.",
                "It is taken or not this machine's: stop the other process, or set xds_address.",
            ) from error
        if not self._address.startswith("unix:"):
            self._address = f"{self._address.rpartition(':')[0]}:{port}"
        self._server = server

    def _bind(self, server: grpc.aio.Server) -> int:
        if self._tls is None:
            return server.add_insecure_port(self._address)
        certificate, key, authorities = self._tls.pem()
        credentials = grpc.ssl_server_credentials([(key, certificate)], authorities, authorities is not None)
        return server.add_secure_port(self._address, credentials)

    async def stop(self, grace: float = 0.0) -> None:
        """End the streams. Envoys keep what they have."""
        if self._server is not None:
            await self._server.stop(grace)
            self._server = None

    def publish(self, snapshot: Snapshot) -> None:
        """Bring every Envoy to this snapshot, those that connect later too."""
        self._latest = snapshot
        for stream in list(self._streams):
            self._carry(stream, stream.talk.offer(snapshot))

    def nodes(self) -> tuple[str, ...]:
        """The ids of the connected Envoys."""
        return tuple(sorted(stream.talk.node for stream in self._streams if stream.talk.node))

    def active_versions(self) -> frozenset[str]:
        """The snapshots that some Envoy may still be running, those on their way and lately lost ones included."""
        now = self._clock()
        self._departed = {node: (until, versions) for node, (until, versions) in self._departed.items() if now < until}
        active = [stream.talk.versions for stream in self._streams]
        active += [versions for _, versions in self._departed.values()]
        return frozenset().union(*active)

    async def _serve(
        self, requests: AsyncIterator[discovery_pb2.DiscoveryRequest], context: grpc.aio.ServicerContext[Any, Any]
    ) -> None:
        stream = _Stream(Conversation())
        self._streams.add(stream)
        try:
            async with asyncio.TaskGroup() as tasks:
                speaker = tasks.create_task(self._speak(stream, context))
                self._welcome(stream)
                async for request in requests:
                    self._hear(stream, request)
                speaker.cancel()
        finally:
            self._farewell(stream)

    @staticmethod
    async def _speak(stream: _Stream, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        while True:
            await context.write(await stream.outbox.get())

    def _welcome(self, stream: _Stream) -> None:
        if self._latest is not None:
            self._carry(stream, stream.talk.offer(self._latest))

    def _farewell(self, stream: _Stream) -> None:
        self._streams.discard(stream)
        if stream.broom is not None:
            stream.broom.cancel()
        if stream.talk.node:
            self._departed[stream.talk.node] = (self._clock() + REMEMBERED_SECONDS, stream.talk.versions)

    def _hear(self, stream: _Stream, request: discovery_pb2.DiscoveryRequest) -> None:
        known = stream.talk.node
        self._carry(stream, stream.talk.hear(request))
        if not known and stream.talk.node:
            log.info("Envoy %s connected", stream.talk.node)

    def _carry(self, stream: _Stream, said: Said) -> None:
        """Send and report. What was refused is offered to nobody any more, unless another Envoy took it."""
        responses, outcomes = said
        for response in responses:
            stream.outbox.put_nowait(response)
        for outcome in outcomes:
            if outcome.ok:
                self._good = stream.talk.current
            elif self._latest is not None and self._latest.version == outcome.version:
                self._latest = self._good
            self._on_result(outcome)
        if stream.talk.untidy:
            self._tidy_later(stream)

    def _tidy_later(self, stream: _Stream) -> None:
        if stream.broom is not None:
            stream.broom.cancel()
        stream.broom = asyncio.get_running_loop().call_later(self._linger, self._tidy, stream)

    def _tidy(self, stream: _Stream) -> None:
        self._carry(stream, stream.talk.tidy())
