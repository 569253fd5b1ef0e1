"""ADS: what is said to an Envoy and in which order, and a real Envoy that listens."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Iterable

import grpc.aio
import pytest
from envoy.config.route.v3 import route_pb2
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf import any_pb2

from authz.errors import StateError
from authz.model.auth import Alternative, Place, PlaceKind, Requirement
from authz.model.service import Backend
from authz.settings import Settings
from authz.xds import snapshot
from authz.xds.server import METHOD, REMEMBERED_SECONDS, AdsServer, Conversation, Outcome
from authz.xds.snapshot import Kind, Resources, Snapshot
from harness.dataplane import KEY, Sidecar, Start, an_inventory, an_operation
from harness.http import Response, Upstream

Responses = list[discovery_pb2.DiscoveryResponse]


def built(name: str = "a", **more: object) -> Snapshot:
    backend = Backend(f"http://{name}.example")
    return snapshot.build(an_inventory(an_operation(f"/{name}", backend=backend, **more)), Settings())  # type: ignore[arg-type]


def broken(name: str = "broken", good: Snapshot | None = None) -> Snapshot:
    """A snapshot that Envoy refuses."""
    good = good or built(name)
    table = route_pb2.RouteConfiguration(name="authz")
    route = table.virtual_hosts.add(name="v", domains=["*"]).routes.add()
    route.match.safe_regex.regex = "("
    route.direct_response.status = 200
    packed = any_pb2.Any()
    packed.Pack(table)
    routes = Resources.of([("authz", packed.SerializeToString())])
    return dataclasses.replace(good, version=name, resources={**good.resources, Kind.ROUTES: routes})


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while True:
            if condition():
                return
            await asyncio.sleep(0)


class PlayedEnvoy:
    """Answers a conversation as Envoy would: it subscribes to routes and filters when it has a listener."""

    def __init__(self, talk: Conversation, refuses: Iterable[str] = ()) -> None:
        self.talk = talk
        self.refuses = set(refuses)
        self.dislikes = b""
        self.disliked = 0
        self.heard: list[tuple[Kind, frozenset[str]]] = []
        self.outcomes: list[Outcome] = []
        self.versions: dict[Kind, str] = {}
        self._asked: set[Kind] = set()

    def ask(self, kind: Kind, version: str = "") -> None:
        request = discovery_pb2.DiscoveryRequest(type_url=kind.value, version_info=version)
        request.node.id = "e"
        self._asked.add(kind)
        self._take(self.talk.hear(request))

    def offered(self, one: Snapshot) -> None:
        self._take(self.talk.offer(one))

    def tidied(self) -> None:
        self._take(self.talk.tidy())

    def _take(self, said: tuple[Responses, list[Outcome]]) -> None:
        responses, outcomes = said
        self.outcomes += outcomes
        for response in responses:
            self._answer(response)

    def _answer(self, response: discovery_pb2.DiscoveryResponse) -> None:
        kind = Kind(response.type_url)
        self.heard.append((kind, frozenset(one.value.decode("latin-1")[2:30] for one in response.resources)))
        request = discovery_pb2.DiscoveryRequest(type_url=kind.value, response_nonce=response.nonce)
        text = response.SerializeToString()
        if response.version_info in self.refuses or (self.dislikes and self.dislikes in text):
            self.disliked += 1
            request.error_detail.message = "no, thank you"
            request.version_info = self.versions.get(kind, "")
        else:
            request.version_info = self.versions[kind] = response.version_info
        if kind is Kind.LISTENER:
            for more in (Kind.EXTENSION, Kind.ROUTES):
                if more not in self._asked:
                    self.ask(more)
        self._take(self.talk.hear(request))

    @property
    def kinds(self) -> list[Kind]:
        return [kind for kind, _ in self.heard]


def connected(first: Snapshot | None = None, refuses: Iterable[str] = ()) -> PlayedEnvoy:
    envoy = PlayedEnvoy(Conversation(), refuses)
    if first:
        envoy.offered(first)
    envoy.ask(Kind.CLUSTER)
    envoy.ask(Kind.LISTENER)
    return envoy


def test_a_new_envoy_gets_clusters_first_and_routes_last() -> None:
    first = built()
    envoy = connected(first)

    assert envoy.kinds == [Kind.CLUSTER, Kind.LISTENER, Kind.EXTENSION, Kind.ROUTES]
    assert envoy.outcomes == [Outcome(first.version, "e", ok=True)]
    assert envoy.talk.versions == {first.version}


def test_new_clusters_come_before_the_routes_and_old_ones_go_after() -> None:
    first, second = built("a"), built("b")
    envoy = connected(first)
    envoy.heard.clear()
    envoy.offered(second)
    before_tidying = envoy.talk.untidy, envoy.talk.versions
    envoy.tidied()

    assert before_tidying == (True, {first.version, second.version})
    assert envoy.kinds == [Kind.CLUSTER, Kind.ROUTES, Kind.CLUSTER]
    both, _, after = (len(names) for _, names in envoy.heard)
    assert (both, after) == (3, 2)
    assert (envoy.talk.untidy, envoy.talk.versions) == (False, {second.version})


def test_deploys_in_a_row_take_nothing_away_before_it_is_time() -> None:
    envoy = connected(built("a"))
    for name in "bcd":
        envoy.offered(built(name))
    gathered = len(envoy.heard[-2][1])
    envoy.tidied()

    assert gathered == 5  # the local backend's, and four
    assert len(envoy.heard[-1][1]) == 2


def test_headers_of_both_are_read_while_the_routes_change() -> None:
    mine = Requirement((Alternative(needs_key=True, key_places=(Place(PlaceKind.HEADER, "x-mine"),)),))
    envoy = connected(built("a"))
    envoy.heard.clear()
    envoy.offered(built("a", needs=mine))

    assert envoy.kinds == [Kind.EXTENSION, Kind.ROUTES]
    envoy.heard.clear()
    envoy.offered(built("a", needs=KEY, cost=1))
    assert envoy.kinds == [Kind.ROUTES]
    envoy.tidied()
    assert envoy.kinds == [Kind.ROUTES, Kind.EXTENSION]


def test_tidying_waits_while_a_snapshot_is_on_its_way() -> None:
    talk = Conversation()
    talk.offer(built("a"))

    assert talk.tidy() == ([], [])
    assert Conversation().tidy() == ([], [])


def test_what_envoy_has_is_not_sent_again() -> None:
    first = built()
    envoy = connected(first)
    envoy.heard.clear()
    again = dataclasses.replace(first, version="again")
    envoy.offered(again)

    assert envoy.kinds == []
    assert envoy.outcomes[-1] == Outcome("again", "e", ok=True)


def test_an_envoy_that_reconnects_says_what_it_has() -> None:
    first = built()
    envoy = PlayedEnvoy(Conversation())
    envoy.offered(first)
    for kind in Kind:
        envoy.ask(kind, first.resources[kind].version)

    assert envoy.kinds == []
    assert envoy.outcomes == [Outcome(first.version, "e", ok=True)]


def test_a_refusal_is_reported_once_and_leads_back() -> None:
    first, bad = built("a"), broken()
    envoy = connected(first, refuses=[bad.resources[Kind.ROUTES].version])
    envoy.heard.clear()
    envoy.offered(bad)

    assert envoy.outcomes[1:] == [Outcome("broken", "e", ok=False, message="no, thank you")]
    assert envoy.talk.current is first
    assert envoy.talk.versions == {first.version}
    envoy.tidied()
    assert envoy.versions == {kind: first.resources[kind].version for kind in Kind}
    assert envoy.kinds.count(Kind.ROUTES) == 2  # the refused one, and the way back


def test_what_was_refused_is_not_sent_again_on_the_way_back() -> None:
    envoy = connected(built("a"))
    envoy.offered(built("b"))
    envoy.dislikes = b"worse.example"
    envoy.offered(built("worse"))
    envoy.offered(built("c"))
    envoy.tidied()

    assert envoy.disliked == 1
    assert [one.ok for one in envoy.outcomes] == [True, True, False, True]
    assert envoy.talk.current == built("c")


def test_an_envoy_that_refuses_everything_is_left_alone() -> None:
    first = built("a")
    envoy = connected(first)
    bad = broken()
    envoy.refuses = {bad.resources[Kind.ROUTES].version, first.resources[Kind.ROUTES].version}
    envoy.heard.clear()
    envoy.offered(bad)

    assert len(envoy.heard) < 6
    assert [one.ok for one in envoy.outcomes] == [True, False]


def test_after_a_refused_first_snapshot_the_next_one_is_taken() -> None:
    bad, good = broken(), built()
    envoy = connected(bad, refuses=[bad.resources[Kind.ROUTES].version])
    envoy.offered(good)

    assert [(one.version, one.ok) for one in envoy.outcomes] == [("broken", False), (good.version, True)]


def test_while_envoy_thinks_only_the_latest_waits() -> None:
    talk = Conversation()
    subscribe = discovery_pb2.DiscoveryRequest(type_url=Kind.CLUSTER.value)
    (first,), _ = (talk.offer(built("a")), talk.hear(subscribe)[0])[1], None
    talk.offer(built("b"))
    talk.offer(built("c"))

    assert first.type_url == Kind.CLUSTER.value
    assert talk.waiting == built("c")
    assert talk.versions == {built("a").version}


def test_stale_answers_and_foreign_kinds_mean_nothing() -> None:
    envoy = connected(built("a"))
    stale = discovery_pb2.DiscoveryRequest(type_url=Kind.ROUTES.value, response_nonce="1")
    stale.error_detail.message = "late"
    foreign = discovery_pb2.DiscoveryRequest(type_url="type.googleapis.com/other")

    assert envoy.talk.hear(stale) == ([], [])
    assert envoy.talk.hear(foreign) == ([], [])


# -- over gRPC ------------------------------------------------------------------------------------------------------


async def a_stream(ads: AdsServer, node: str) -> tuple[grpc.aio.Channel, grpc.aio.StreamStreamCall]:
    channel = grpc.aio.insecure_channel(ads.address)
    call = channel.stream_stream(
        METHOD,
        request_serializer=discovery_pb2.DiscoveryRequest.SerializeToString,
        response_deserializer=discovery_pb2.DiscoveryResponse.FromString,
    )()
    request = discovery_pb2.DiscoveryRequest(type_url=Kind.CLUSTER.value)
    request.node.id = node
    await call.write(request)
    return channel, call


async def test_several_envoys_are_known_and_remembered_for_a_while() -> None:
    now = [0.0]
    ads = AdsServer("127.0.0.1:0", lambda _: None, clock=lambda: now[0])
    await ads.start()
    first = built()
    ads.publish(first)
    streams = [await a_stream(ads, node) for node in ("one", "two")]
    for _, call in streams:
        response = await call.read()
        assert response.version_info == first.resources[Kind.CLUSTER].version
    try:
        assert ads.nodes() == ("one", "two")
        assert ads.active_versions() == {first.version}
        for channel, call in streams:
            call.cancel()
            await channel.close()
        await until(lambda: not ads.nodes())
        assert ads.active_versions() == {first.version}
        now[0] = REMEMBERED_SECONDS + 1
        assert ads.active_versions() == set()
    finally:
        await ads.stop()


async def test_an_address_in_use_says_so() -> None:
    ads = AdsServer("127.0.0.1:0", lambda _: None)
    await ads.start()
    try:
        with pytest.raises(StateError, match="Cannot serve Envoy's configuration"):
            await AdsServer(ads.address, lambda _: None).start()
    finally:
        await ads.stop()


# -- with a real Envoy ----------------------------------------------------------------------------------------------


async def test_deploys_under_load_drop_no_request(start: Start, backend: Upstream) -> None:
    """Each deploy moves the operation to another backend and takes the old cluster away."""
    async with Upstream() as other:
        addresses = [f"http://{one.address}" for one in (backend, other)]

        def inventory(turn: int) -> object:
            operation = an_operation("/a", backend=Backend(addresses[turn % 2]), needs=KEY)
            return an_inventory(operation, config=f"2026-01-01r{turn}", revision=turn)

        async with start(inventory(0)) as gateway:
            statuses: list[int] = []
            done = asyncio.Event()

            async def client() -> None:
                while not done.is_set():
                    statuses.append((await gateway.get("/a")).status)

            async with asyncio.TaskGroup() as tasks:
                for _ in range(4):
                    tasks.create_task(client())
                await until(lambda: statuses)
                for turn in range(1, 9):
                    seen = len(statuses)
                    assert (await gateway.publish(inventory(turn))).ok
                    await until(lambda seen=seen: len(statuses) >= seen + 10)
                done.set()
            told = {one.attributes.context_extensions["config"] for one in gateway.sidecar.checks}

    assert set(statuses) == {200}
    assert told == {f"2026-01-01r{turn}" for turn in range(9)}
    assert backend.seen
    assert other.seen


async def test_open_connections_follow_a_new_key_header(start: Start) -> None:
    """The header list comes beside the listener: nothing drains, and what is connected already is served by it."""
    mine = Requirement((Alternative(needs_key=True, key_places=(Place(PlaceKind.HEADER, "x-mine"),)),))
    async with start(an_inventory(an_operation("/a", needs=KEY))) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.settings.port)
        for inventory in (None, an_inventory(an_operation("/a", needs=mine), config="2026-01-01r1")):
            if inventory:
                assert (await gateway.publish(inventory)).ok
            writer.write(b"GET /a HTTP/1.1\r\nhost: api.example.test\r\nx-mine: k\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            assert b" 200 " in head
            assert b"connection: close" not in head
            await reader.readexactly(2)
        writer.close()
        seen = [dict(one.attributes.request.http.headers) for one in gateway.sidecar.checks]

    assert seen == [{}, {"x-mine": "k"}]


async def test_a_refused_snapshot_leaves_the_old_one_serving_and_tells_envoys_words(start: Start) -> None:
    async with start(an_inventory(an_operation("/a"))) as gateway:
        bad = broken(good=snapshot.build(an_inventory(an_operation("/b")), gateway.settings))
        gateway.ads.publish(bad)
        outcome = await gateway.outcome_of(bad.version)
        still = await gateway.get("/a")
        await gateway.restart_envoy()
        again = await gateway.get("/a")
        good = await gateway.publish(an_inventory(an_operation("/b"), config="2026-01-01r1"))
        after = await gateway.get("/b")
        refusals = [one for one in gateway.outcomes if not one.ok]

    assert not outcome.ok
    assert "missing )" in outcome.message
    assert len(refusals) == 1
    assert (still.status, again.status, good.ok, after.status) == (200, 200, True, 200)


async def test_an_envoy_that_starts_again_gets_the_configuration(start: Start) -> None:
    async with start(an_inventory(an_operation("/key", needs=KEY))) as gateway:
        await gateway.restart_envoy()
        gateway.sidecar.check = Sidecar.deny
        answer = await gateway.get("/key")
        nodes = gateway.ads.nodes()

    assert answer.status == 401
    assert nodes == ("envoy-1",)


async def test_a_control_plane_that_starts_again_changes_nothing(start: Start, backend: Upstream) -> None:
    inventory = an_inventory(an_operation("/a"))
    backend.answer = lambda _: Response(200, [], b"ok")
    async with start(inventory) as gateway:
        await gateway.ads.stop()
        meanwhile = await gateway.get("/a")
        gateway.outcomes.clear()
        gateway.ads = AdsServer(gateway.ads.address, gateway.report)
        await gateway.ads.start()
        outcome = await gateway.publish(inventory)
        after = await gateway.get("/a")

    assert outcome.ok
    assert (meanwhile.status, after.status) == (200, 200)
