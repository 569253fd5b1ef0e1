"""Walk 3: documents go live on a running gateway, without a restart and without a dropped request."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from envoy.config.cluster.v3 import cluster_pb2
from google.protobuf import any_pb2

from authz import rollout as following
from authz.admin import keys, rollouts
from authz.errors import DocumentError, RejectedError
from authz.model.inventory import Inventory
from authz.xds.snapshot import Kind, Resources, Snapshot
from harness import gateway, http
from harness.http import Request, Response, Upstream
from harness.issuer import Issuer
from harness.load import crowd, load
from harness.waiting import seconds_until, until
from walks.documents import GUARDED, OPEN, document, jwt_scheme

HOST = "deploy.example.test"


@contextlib.asynccontextmanager
async def a_gateway(directory: Path, *texts: str, **values: Any) -> AsyncIterator[tuple[gateway.Running, Upstream]]:
    async with (
        Upstream() as backend,
        gateway.running(
            directory, texts, now=time.time(), **{"backend": f"http://{backend.address}", **values}
        ) as running,
    ):
        yield running, backend


async def status(running: gateway.Running, path: str, *headers: tuple[str, str], host: str = HOST) -> int:
    return (await http.fetch(running.port, "GET", path, headers, host=host)).status


async def deploy(running: gateway.Running, *texts: str, **more: Any) -> Any:
    return await running.deploy(*texts, now=time.time(), **more)


def one_path(path: str, operation: dict[str, Any], host: str = HOST, **root: Any) -> str:
    return document(host, {path: {"get": operation}}, **root)


async def test_a_second_deploy_takes_effect_within_seconds(tmp_path: Path) -> None:
    """A token was needed, then none is."""
    issuer = Issuer()
    async with Upstream(issuer.answer) as server:
        scheme = {"jwt": jwt_scheme("http://issuer", f"http://{server.address}/")}
        first = one_path("/simpleget", {"security": [{"jwt": []}]}, schemes=scheme)
        async with a_gateway(tmp_path, first) as (running, _):
            assert await status(running, "/simpleget") == 401

            async def open_now() -> bool:
                return await status(running, "/simpleget") == 200

            deploying = asyncio.create_task(deploy(running, one_path("/simpleget", OPEN)))
            assert await seconds_until(open_now) < 3.0
            await deploying


# -- under load -----------------------------------------------------------------------------------------------------


def versions(backends: list[str]) -> Iterator[str]:
    """Documents in which the loaded operations stay and everything about them changes."""
    for number in range(8):
        place = "x-api-key" if number % 2 == 0 else "x-other-key"
        backend = {"x-google-backend": {"address": f"http://{backends[number % 2]}", "disable_auth": True}}
        extra = {f"/extra/{n}/{{id}}": {"get": {"operationId": f"extra{n}", **OPEN}} for n in range(number)}
        yield document(
            HOST,
            {
                "/open": {"get": OPEN},
                "/guarded": {"get": {"operationId": f"guarded{number}", **GUARDED}},
                "/there": {"get": {**OPEN, **backend}},
                "/guarded/there": {"get": {"operationId": f"there{number}", **GUARDED, **backend}},
                **extra,
            },
            schemes={"key": {"type": "apiKey", "in": "header", "name": place}},
        )


async def test_deploys_under_load_fail_no_request(tmp_path: Path) -> None:
    async def slowly(_: Request) -> Response:
        await asyncio.sleep(0.02)
        return Response(200)

    async with Upstream(slowly) as one, Upstream(slowly) as two:
        texts = list(versions([one.address, two.address]))
        async with a_gateway(tmp_path, texts[0]) as (running, _):
            key = keys.create(running.store, "ann", now=time.time()).text
            good = [("x-api-key", key), ("x-other-key", key)]
            bad = [("x-api-key", "wrong-key"), ("x-other-key", "wrong-key")]
            paths = {
                "open": ("/open", []), "guarded": ("/guarded", good), "refused": ("/guarded", bad),
                "there": ("/there", []), "guarded there": ("/guarded/there", good),
                "refused there": ("/guarded/there", bad), "nowhere": ("/nowhere", good),
            }  # fmt: skip
            requests = {name: ("GET", path, headers) for name, (path, headers) in paths.items()}
            async with load(running.port, requests, host=HOST) as told:
                for text in texts[1:]:
                    await deploy(running, text)
                    seen = {name: told.done(name) for name in requests}
                    await until(lambda seen=seen: all(told.done(name) > seen[name] for name in requests))
            assert await status(running, "/extra/6/x") == 200
            assert one.seen
            assert two.seen

    wanted = {"refused": {400}, "refused there": {400}, "nowhere": {404}}
    assert {name: told.outcomes(name) for name in requests} == {name: wanted.get(name, {200}) for name in requests}


async def test_revision_after_revision_the_last_one_wins(tmp_path: Path) -> None:
    """Deploys that nobody waits for: what is overtaken is skipped, the last is live."""
    from authz.admin import deploy as deploying
    from authz.model.service import SourceText

    async with a_gateway(tmp_path, one_path("/v0", OPEN)) as (running, _):
        for number in range(1, 6):
            source = SourceText("api.yaml", one_path(f"/v{number}", OPEN))
            made = deploying.deploy(running.store, [source], now=time.time())
        await gateway.wait_live(running.store, made)

        assert [await status(running, f"/v{number}") for number in range(6)] == [404, 404, 404, 404, 404, 200]


# -- what changes nothing -------------------------------------------------------------------------------------------


async def test_the_same_text_twice_changes_nothing(tmp_path: Path) -> None:
    text = one_path("/open", OPEN)
    async with a_gateway(tmp_path, text) as (running, _):
        before = running.store.revision(), await running.proxy.admin("/stats?filter=update_success")
        again = await deploy(running, text)
        after = running.store.revision(), await running.proxy.admin("/stats?filter=update_success")

        assert (again.services[0].is_new, again.services[0].rollout_is_new) == (False, False)
        assert before == after
        assert await status(running, "/open") == 200


@pytest.mark.parametrize(
    "text",
    [
        "swagger: '2.0'\npaths: [",
        "{}",
        "",
        one_path("/open", {"security": [{"nothing": []}]}),
    ],
)
async def test_a_document_with_errors_changes_nothing(tmp_path: Path, text: str) -> None:
    async with a_gateway(tmp_path, one_path("/open", OPEN)) as (running, _):
        revision = running.store.revision()
        with pytest.raises(DocumentError):
            await deploy(running, text)

        assert running.store.revision() == revision
        assert await status(running, "/open") == 200


def unacceptable(snapshot: Snapshot) -> Snapshot:
    """The snapshot with a cluster that Envoy refuses: it has a negative time to connect."""
    packed = any_pb2.Any()
    cluster = cluster_pb2.Cluster(name="refused")
    cluster.connect_timeout.FromSeconds(-1)
    packed.Pack(cluster)
    clusters = snapshot.resources[Kind.CLUSTER]
    more = Resources.of([*clusters.items, ("refused", packed.SerializeToString())])
    return dataclasses.replace(snapshot, version="bad", resources={**snapshot.resources, Kind.CLUSTER: more})


async def test_envoys_own_words_reach_whoever_deployed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = following.build

    def build(inventory: Inventory, *more: Any) -> Snapshot:
        built = real(inventory, *more)
        paths = {o.template.text for s in inventory.services for c in s.configs for o in c.config.operations}
        return unacceptable(built) if "/bad" in paths else built

    monkeypatch.setattr(following, "build", build)
    async with a_gateway(tmp_path, one_path("/good", GUARDED)) as (running, _):
        key = keys.create(running.store, "ann", now=time.time()).text
        requests = {"good": ("GET", "/good", [("x-api-key", key)]), "refused": ("GET", "/good", [])}
        async with load(running.port, requests, host=HOST) as told:
            with pytest.raises(RejectedError, match="Expected positive duration"):
                await deploy(running, one_path("/bad", OPEN))
            assert await status(running, "/bad") == 404
            assert rollouts.list_rollouts(running.store)[0].status.value == "failed"
            await deploy(running, document(HOST, {"/good": {"get": GUARDED}, "/better": {"get": OPEN}}))
            assert await status(running, "/better") == 200
    assert {name: told.outcomes(name) for name in requests} == {"good": {200}, "refused": {401}}


async def test_what_cannot_be_built_stands_in_nobodys_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = following.build

    def build(inventory: Inventory, *more: Any) -> Snapshot:
        if any(service.name == "broken.example.test" for service in inventory.services):
            raise ValueError("nobody thought of this")
        return real(inventory, *more)

    monkeypatch.setattr(following, "build", build)
    async with a_gateway(tmp_path, one_path("/good", OPEN)) as (running, _):
        with pytest.raises(RejectedError, match="nobody thought of this"):
            await deploy(running, one_path("/x", OPEN, host="broken.example.test"))
        await deploy(running, one_path("/better", OPEN))

        assert await status(running, "/better") == 200


# -- key sets -------------------------------------------------------------------------------------------------------


async def test_a_key_set_that_cannot_be_fetched_refuses_the_deploy(tmp_path: Path) -> None:
    issuer = Issuer()
    answers = [Response(500)]
    async with Upstream(lambda request: answers[0] if answers else issuer.answer(request)) as server:
        scheme = {"jwt": jwt_scheme("http://issuer", f"http://{server.address}/keys")}
        guarded = one_path("/now", {"security": [{"jwt": []}]}, schemes=scheme)
        settings = {"jwks_retries": 0, "jwks_refetch_seconds": 0.5}
        async with a_gateway(tmp_path, one_path("/before", OPEN), **settings) as (running, _):
            with pytest.raises(RejectedError, match=f"http://{server.address}/keys") as caught:
                await deploy(running, guarded)
            assert "document-0.yaml:" in str(caught.value)
            assert "--force" in str(caught.value)
            assert [await status(running, path) for path in ("/before", "/now")] == [200, 404]

            await deploy(running, guarded, force=True)
            token = issuer.token(iss="http://issuer", aud=f"https://{HOST}")
            bearer = ("authorization", f"Bearer {token}")
            assert [await status(running, "/now", bearer), await status(running, "/now")] == [503, 401]
            answers.clear()

            async def passes() -> bool:
                return await status(running, "/now", bearer) == 200

            await until(passes)


# -- shares and rollbacks -------------------------------------------------------------------------------------------


def named(number: int) -> str:
    """Versions of one API that backends can tell apart, and that differ in what exists."""
    return document(
        HOST,
        {
            "/same": {"get": {"operationId": f"same{number}", **OPEN}},
            "/guarded": {"get": {"operationId": f"guarded{number}", **GUARDED}},
            f"/only{number}": {"get": OPEN},
        },
    )


async def test_traffic_is_shared_and_rolled_back(tmp_path: Path) -> None:
    async with a_gateway(tmp_path, named(1)) as (running, backend):
        store = running.store
        old = running.store.configs(HOST)[0].id
        new = (await deploy(running, named(2))).services[0].config.id
        key = ("x-api-key", keys.create(store, "ann", now=time.time()).text)

        rollout = rollouts.create(store, HOST, [(old, 20.0), (new, 80.0)], now=time.time())
        await live(running, rollout.id)
        before = len(backend.seen)
        answers = await crowd(status(running, "/guarded", key) for _ in range(400))
        told = Counter(request.header("x-endpoint-api-operation-name") for request in backend.seen[before:])

        assert set(answers) == {200}
        assert sum(told.values()) == 400
        assert 40 <= told["1.deploy_example_test.Guarded1"] <= 125, told

        await live(running, rollouts.rollback(store, HOST, now=time.time()).id)
        assert [await status(running, path) for path in ("/only1", "/only2")] == [404, 200]
        await live(running, rollouts.rollback(store, HOST, to=old, now=time.time()).id)
        assert [await status(running, path) for path in ("/only1", "/only2")] == [200, 404]
        assert await status(running, "/guarded", key) == 200


async def live(running: gateway.Running, rollout: str) -> None:
    def is_live() -> bool:
        found = running.store.rollout(HOST, rollout)
        assert found
        assert found.status.value != "failed", found.message
        return found.status.value == "live"

    await until(is_live)


# -- several services and documents -----------------------------------------------------------------------------------


async def test_two_services_and_their_hosts(tmp_path: Path) -> None:
    other = "other.example.test"
    async with a_gateway(tmp_path, one_path("/here", OPEN)) as (running, _):
        # The only service answers for every host.
        assert [await status(running, "/here", host=host) for host in (HOST, "elsewhere.test", "127.0.0.1")] == [
            200
        ] * 3
        await deploy(running, one_path("/here", GUARDED, host=other))

        assert await status(running, "/here") == 200
        assert await status(running, "/here", host=other) == 401
        assert await status(running, "/here", host="elsewhere.test") == 404


async def test_a_default_service_answers_for_other_hosts(tmp_path: Path) -> None:
    texts = [one_path("/here", OPEN), one_path("/here", GUARDED, host="other.example.test")]
    async with a_gateway(tmp_path, *texts, default_service="other.example.test") as (running, _):
        assert [await status(running, "/here", host=host) for host in (HOST, "elsewhere.test")] == [200, 401]


async def test_several_documents_make_one_service(tmp_path: Path) -> None:
    texts = [
        document(HOST, {"/a": {"get": OPEN}}, basePath="/one", x_google_api_name="one"),
        document(HOST, {"/a": {"get": GUARDED}}, basePath="/two", x_google_api_name="two"),
    ]
    async with a_gateway(tmp_path, *texts) as (running, backend):
        assert [await status(running, path) for path in ("/one/a", "/two/a", "/a")] == [200, 401, 404]
        assert backend.seen[-1].header("x-endpoint-api-operation-name") in {None, "1.one.Geta"}
        assert len(running.store.services()) == 1
