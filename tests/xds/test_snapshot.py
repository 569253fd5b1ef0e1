"""A snapshot is one consistent set, the same for the same inventory, and checked before it may be published."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest

from authz import wire
from authz.errors import RejectedError, UsageError
from authz.model.auth import Alternative, Place, PlaceKind, Requirement
from authz.model.service import Backend
from authz.settings import Settings
from authz.xds import filters, snapshot
from authz.xds.snapshot import Kind, Resources, Snapshot
from harness.dataplane import KEY, Start, an_inventory, an_operation
from harness.http import Upstream

PLAIN = an_inventory(an_operation("/open"), an_operation("/key", needs=KEY, cost=1))


def build(*operations: object, **settings: object) -> Snapshot:
    return snapshot.build(an_inventory(*operations), Settings(**settings))  # type: ignore[arg-type]


def by_header(name: str) -> Requirement:
    return Requirement((Alternative(needs_key=True, key_places=(Place(PlaceKind.HEADER, name),)),))


def test_the_same_inventory_gives_the_same_version_in_every_process() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from harness.dataplane import *; from authz.xds import snapshot;"
        "print(snapshot.build(an_inventory(an_operation('/open'), an_operation('/key', needs=KEY, cost=1)),"
        "Settings()).version)"
    )
    tests = __file__.rpartition("/xds/")[0]
    other = subprocess.run([sys.executable, "-c", code, tests], check=True, capture_output=True, text=True)

    assert snapshot.build(PLAIN, Settings()).version == other.stdout.strip()


def test_a_deploy_changes_routes_and_leaves_the_listener() -> None:
    old, new = build(an_operation("/a")), build(an_operation("/a"), an_operation("/b", needs=KEY, cost=2))

    changed = {kind for kind in Kind if old.resources[kind].version != new.resources[kind].version}

    assert changed == {Kind.ROUTES}
    assert old.version != new.version


def test_a_header_of_ones_own_changes_checks_configuration_and_not_the_listener() -> None:
    old, new = build(an_operation("/a", needs=KEY)), build(an_operation("/a", needs=by_header("x-mine")))

    assert old.resources[Kind.EXTENSION].version != new.resources[Kind.EXTENSION].version
    assert old.resources[Kind.LISTENER].version == new.resources[Kind.LISTENER].version


def test_operations_are_all_that_envoy_may_ask_about() -> None:
    built = snapshot.build(PLAIN, Settings())

    assert built.operations == {
        ("api.example.test", "2026-01-01r0", "1.api.GetOpen"),
        ("api.example.test", "2026-01-01r0", "1.api.GetKey"),
    }
    told = {key for route in snapshot.routes_of(built) if (key := snapshot.operation_of(route))}
    assert told == {("api.example.test", "2026-01-01r0", "1.api.GetKey")}


def test_settings_that_could_not_work_stop_here() -> None:
    with pytest.raises(UsageError, match="cors"):
        build(an_operation("/a"), cors_preset="cors_with_regex")


def test_a_bridge_has_the_clusters_and_headers_of_both() -> None:
    old = build(an_operation("/a", backend=Backend("http://old.example"), needs=by_header("x-old")))
    new = build(an_operation("/a", backend=Backend("http://new.example"), needs=by_header("x-new")))

    both = snapshot.bridge(old.resources, new)

    assert both[Kind.CLUSTER].names == old.resources[Kind.CLUSTER].names | new.resources[Kind.CLUSTER].names
    ((_, packed),) = both[Kind.EXTENSION].items
    assert b"x-old" in packed
    assert b"x-new" in packed
    assert snapshot.bridge(new.resources, new)[Kind.EXTENSION] is new.resources[Kind.EXTENSION]


def with_resources(built: Snapshot, kind: Kind, resources: Resources) -> Snapshot:
    return dataclasses.replace(built, resources={**built.resources, kind: resources})


@pytest.mark.parametrize("kind", [Kind.ROUTES, Kind.EXTENSION])
def test_a_listener_that_would_wait_for_ever_is_refused(kind: Kind) -> None:
    built = with_resources(snapshot.build(PLAIN, Settings()), kind, Resources.of([]))
    name = {Kind.ROUTES: wire.ROUTE_CONFIG_NAME, Kind.EXTENSION: filters.CHECK}[kind]

    with pytest.raises(RejectedError, match=f"waits for '{name}'"):
        snapshot.check(built)


def test_a_route_to_nowhere_is_refused() -> None:
    built = build(*(an_operation(f"/{one}/{{x}}", backend=Backend(f"http://{one}.example")) for one in "abcdefgh"))
    broken = with_resources(built, Kind.CLUSTER, build(an_operation("/a")).resources[Kind.CLUSTER])

    snapshot.check(built)
    with pytest.raises(RejectedError, match=r"cluster 'http:a.example:80:http1', which does not exist.* and \d+ more"):
        snapshot.check(broken)


def test_an_operation_that_no_config_has_is_refused() -> None:
    built = dataclasses.replace(snapshot.build(PLAIN, Settings()), operations=frozenset())

    with pytest.raises(RejectedError, match="asks about operation"):
        snapshot.check(built)


def test_every_setting_in_front_of_the_routes_passes_the_check() -> None:
    snapshot.check(build(an_operation("/a", needs=KEY), cors_preset="basic", method_override=True))


async def test_a_document_of_our_own_is_answered_by_envoy(start: Start, backend: Upstream) -> None:
    text = '{"keys": ["' + "k" * 5000 + '"]}'
    inventory = an_inventory(an_operation("/open"))
    async with start(inventory) as gateway:
        published = snapshot.build(inventory, gateway.settings, {"/.well-known/jwks.json": text})
        gateway.ads.publish(published)
        outcome = await gateway.outcome_of(published.version)
        answers = [await gateway.get(f"/.well-known/jwks.json{more}") for more in ("", "?x", "/")]
        open_still = await gateway.get("/open")

    assert outcome.ok, outcome.message
    assert [one.status for one in answers] == [200, 200, 404]
    assert (answers[0].body.decode(), answers[0].header("content-type")) == (text, "application/json")
    assert open_still.status == 200
    assert [one.path for one in backend.seen] == ["/open"]
