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
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
import grpc.aio
from envoy.service.discovery.v3 import discovery_pb2

from authz.errors import StateError
from authz.xds.snapshot import Kind, Resources, Snapshot, bridge

log = logging.getLogger("authz.xds")

METHOD: Final = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"
REMEMBERED_SECONDS: Final = 60.0
"""An Envoy whose stream broke still serves; it reconnects within half a minute, or is gone."""


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


def plan(old: Snapshot | None, new: Snapshot) -> tuple[_Step, ...]:
    """Make before break: what both need, then the listener, then the routes, and only then is the old taken away."""
    both = bridge(old, new) if old else new.resources
    return (
        _Step(Kind.CLUSTER, both[Kind.CLUSTER]),
        _Step(Kind.EXTENSION, both[Kind.EXTENSION], wait=False),
        _Step(Kind.LISTENER, new.resources[Kind.LISTENER]),
        _Step(Kind.EXTENSION, both[Kind.EXTENSION]),
        _Step(Kind.ROUTES, new.resources[Kind.ROUTES]),
        _Step(Kind.EXTENSION, new.resources[Kind.EXTENSION]),
        _Step(Kind.CLUSTER, new.resources[Kind.CLUSTER]),
    )


@dataclass(slots=True)
class _Channel:
    """What is known of one kind on one stream. `has` is the version Envoy runs, "" when nobody knows."""

    asked: bool = False
    has: str = ""
    claims: str = ""
    nonce: str = ""
    sent: str = ""


@dataclass(slots=True)
class Conversation:
    """What is said to one Envoy, decided from what it said.

    A snapshot is carried over step by step, each step acknowledged before the next is sent. One that arrives
    meanwhile waits, and replaces another that waits: memory is bounded. What Envoy refuses is never sent again; it is
    brought back to the snapshot it had.
    """

    node: str = ""
    current: Snapshot | None = None
    coming: Snapshot | None = None
    waiting: Snapshot | None = None
    _steps: deque[_Step] = field(default_factory=deque)
    _channels: dict[Kind, _Channel] = field(default_factory=lambda: {kind: _Channel() for kind in Kind})
    _nonces: int = 0

    @property
    def versions(self) -> frozenset[str]:
        """The snapshots whose routes this Envoy may be running."""
        return frozenset(one.version for one in (self.current, self.coming) if one)

    def offer(self, snapshot: Snapshot) -> list[discovery_pb2.DiscoveryResponse]:
        """A snapshot to bring Envoy to."""
        if self.coming is not None:
            self.waiting = snapshot
            return []
        self._begin(snapshot)
        return self._advance()

    def hear(
        self, request: discovery_pb2.DiscoveryRequest
    ) -> tuple[list[discovery_pb2.DiscoveryResponse], Outcome | None]:
        """A request: a subscription, an acknowledgement or a refusal. Gives what to send, and what to report."""
        self.node = request.node.id or self.node
        try:
            kind = Kind(request.type_url)
        except ValueError:
            return [], None
        channel = self._channels[kind]
        if not request.response_nonce:
            # A subscription. On a new stream Envoy says what it already has; the version is the content's digest.
            channel.asked, channel.claims = True, request.version_info
        elif request.response_nonce != channel.nonce or not channel.sent:
            return [], None  # an answer to what has been overtaken, or a change of names only
        elif request.HasField("error_detail"):
            return self._refused(channel, request.error_detail.message)
        else:
            channel.has, channel.sent = channel.sent, ""
        return self._next()

    def _next(self) -> tuple[list[discovery_pb2.DiscoveryResponse], Outcome | None]:
        responses = self._advance()
        if self.coming is None or self._steps:
            return responses, None
        done, self.coming = self.coming, None
        outcome = None if done is self.current else Outcome(done.version, self.node, ok=True)
        self.current = done
        return responses + self._take_waiting(), outcome

    def _take_waiting(self) -> list[discovery_pb2.DiscoveryResponse]:
        snapshot, self.waiting = self.waiting, None
        return self.offer(snapshot) if snapshot else []

    def _begin(self, snapshot: Snapshot) -> None:
        self.coming = snapshot
        self._steps.extend(plan(self.current, snapshot))

    def _refused(self, channel: _Channel, words: str) -> tuple[list[discovery_pb2.DiscoveryResponse], Outcome | None]:
        """Back to what was there. Envoy may have taken a part of what it refused, so that kind is sent once more."""
        refused, back = self.coming, self.current
        channel.has, channel.sent = "", ""
        self._steps.clear()
        self.coming = None
        if refused is None:
            return self._take_waiting(), None
        outcome = None if refused is back else Outcome(refused.version, self.node, ok=False, message=words)
        if back is None or refused is back:
            return self._take_waiting(), outcome
        self._begin(back)
        return self._next()[0], outcome

    def _advance(self) -> list[discovery_pb2.DiscoveryResponse]:
        """Say the next thing that needs saying, passing over what Envoy has."""
        while self._steps:
            step = self._steps[0]
            channel = self._channels[step.kind]
            if channel.sent:
                return []
            if not channel.asked and step.wait:
                return []
            if channel.claims == step.resources.version:
                channel.has = channel.claims
            channel.claims = channel.claims if not channel.asked else ""
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
    """A conversation and the mouth it speaks through."""

    talk: Conversation
    outbox: asyncio.Queue[discovery_pb2.DiscoveryResponse] = field(default_factory=asyncio.Queue)

    def say(self, responses: list[discovery_pb2.DiscoveryResponse]) -> None:
        for response in responses:
            self.outbox.put_nowait(response)


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
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._address = address
        self._on_result = on_result
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
            port = server.add_insecure_port(self._address)
            await server.start()
        except RuntimeError as error:
            raise StateError(
                f"The address {self._address} for Envoy's configuration cannot be used: {error}",
                "Stop whatever uses it, or set xds_address.",
            ) from error
        if not self._address.startswith("unix:"):
            self._address = f"{self._address.rpartition(':')[0]}:{port}"
        self._server = server

    async def stop(self, grace: float = 0.0) -> None:
        """End the streams. Envoys keep what they have."""
        if self._server is not None:
            await self._server.stop(grace)
            self._server = None

    def publish(self, snapshot: Snapshot) -> None:
        """Bring every Envoy to this snapshot, those that connect later too."""
        self._latest = snapshot
        for stream in self._streams:
            stream.say(stream.talk.offer(snapshot))

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
            stream.say(stream.talk.offer(self._latest))

    def _farewell(self, stream: _Stream) -> None:
        self._streams.discard(stream)
        if stream.talk.node:
            self._departed[stream.talk.node] = (self._clock() + REMEMBERED_SECONDS, stream.talk.versions)

    def _hear(self, stream: _Stream, request: discovery_pb2.DiscoveryRequest) -> None:
        known = stream.talk.node
        coming = stream.talk.coming
        responses, outcome = stream.talk.hear(request)
        stream.say(responses)
        if not known and stream.talk.node:
            log.info("Envoy %s connected", stream.talk.node)
            self._departed.pop(stream.talk.node, None)
        if outcome is not None:
            self._judge(outcome, coming)

    def _judge(self, outcome: Outcome, snapshot: Snapshot | None) -> None:
        """A snapshot that was refused is offered to nobody any more; the last one taken is."""
        if outcome.ok:
            self._good = snapshot
        elif snapshot is self._latest and self._good is not None:
            self._latest = self._good
        self._on_result(outcome)
