"""The sidecar and Envoy as processes of their own that die under load: nobody is wrongly admitted, all come back."""

from __future__ import annotations

import contextlib
import signal
import time
from pathlib import Path

from authz.admin import keys
from harness import process
from harness.load import Load
from harness.waiting import until
from walks.place import ADMITTED, a_place


def never_wrong(told: Load) -> None:
    """Nobody passed who may not, and whoever may was told the truth."""
    assert told.outcomes("bad") <= {400, 503, "broken"}
    assert told.outcomes("none") <= {401, 503, "broken"}
    assert told.outcomes("good") <= {200, 503, "broken"}


async def more(told: Load, *names: str, outcome: int = ADMITTED, times: int = 20) -> None:
    """Wait for some more of an outcome of each of these requests."""
    wanted = {name: told.counts[name][outcome] + times for name in names}
    await until(lambda: all(told.counts[name][outcome] >= n for name, n in wanted.items()), within=process.PATIENCE)


async def test_both_are_killed_and_come_back(tmp_path: Path) -> None:
    async with a_place(tmp_path) as place, contextlib.AsyncExitStack() as stack:
        first_envoy = await stack.enter_async_context(process.envoy(place.bootstrap()))
        # Envoy is there first: its port is closed until it has routes and knows whom to ask.
        assert await place.get("/open") == 0
        first = await stack.enter_async_context(place.serving())
        await place.deploy(1)
        await place.answers("/guarded", place.key)

        async with place.loaded() as told:
            await more(told, "good", "open", "counted")
            await first.stop(signal.SIGKILL)
            await more(told, "good", "bad", "none", outcome=503)
            await more(told, "open", "counted")
            await stack.enter_async_context(place.serving())
            await recovered(told)
            # What needs nobody's word was never disturbed; what only counts was let through (`quota_when_down`).
            assert (told.outcomes("open"), told.outcomes("counted")) == ({200}, {200})

            told.counts.clear()
            await more(told, "good", times=50)
            assert {name: told.outcomes(name) for name in ("good", "open", "counted")} == EVERYTHING_PASSES
            first_envoy.send_signal(signal.SIGKILL)
            await first_envoy.wait()
            await until(lambda: all("broken" in told.outcomes(name) for name in ("good", "bad", "none", "open")))
            await stack.enter_async_context(process.envoy(place.bootstrap()))
            await recovered(told)

            told.counts.clear()
            await place.deploy(2)
            assert await place.get("/version2") == 200
            await more(told, "good", times=50)
            assert {name: told.outcomes(name) for name in ("good", "open", "counted")} == EVERYTHING_PASSES
        never_wrong(told)


EVERYTHING_PASSES = {"good": {200}, "open": {200}, "counted": {200}}


async def recovered(told: Load) -> None:
    """All is as before; until then nobody was wrongly admitted."""
    await more(told, "good", "open", "counted")
    await more(told, "bad", outcome=400)
    await more(told, "none", outcome=401)
    never_wrong(told)


async def test_a_deploy_while_the_sidecar_was_away_is_live_when_it_is_back(tmp_path: Path) -> None:
    async with a_place(tmp_path, over="tcp") as place, process.envoy(place.bootstrap()):
        async with place.serving() as first:
            await place.deploy(1)
            await place.answers("/guarded", place.key)
            assert await first.stop(signal.SIGTERM) == 0
        assert [await place.get(path, place.key) for path in ("/open", "/guarded")] == [200, 503]

        revoked = keys.create(place.store, "ann", now=time.time()).text
        await place.deploy(2, wait=False)
        keys.revoke(place.store, revoked, now=time.time())
        async with place.loaded() as told, place.serving():
            await place.answers("/version2")
            await place.answers("/guarded", place.key)
            await place.answers("/version1", status=404)
            assert await place.get("/guarded", revoked) == 400
        never_wrong(told)
        assert told.outcomes("open") == {200}
