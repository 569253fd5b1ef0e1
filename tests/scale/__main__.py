"""The scale campaign: a million keys of a hundred thousand consumers against one sidecar (`python -m tests.scale`).

It prints a table and, with --json, the same as one object. It takes some minutes, most of them to fill the store.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from authz.settings import Settings
from authz.store.sql import open_store
from harness.waiting import seconds_until
from scale import hot, population
from scale.asking import Asker, sidecar, texts_of
from scale.population import text_of, uid_of

ROUNDS = 7
FEW = 10
HOT = 1000
ASKED = 4000
LEAST_KEYS = 10_000
MOST_MB = 250.0
MOST_TIMES = 1.2
MOST_SECONDS = 1.0


@dataclass(frozen=True)
class Figure:
    """One measured thing, and the most that it may be (0: just told)."""

    name: str
    value: float
    unit: str
    most: float = 0.0

    @property
    def met(self) -> bool:
        return not self.most or self.value <= self.most


async def _measure(directory: Path, keys: int, consumers: int) -> list[Figure]:
    began = time.perf_counter()
    operation = population.fill(directory, keys, consumers)
    figures = [Figure("filling the store", time.perf_counter() - began, "s")]
    began = time.perf_counter()
    async with sidecar(directory, operation) as asker:
        figures += [
            Figure("start until ready", time.perf_counter() - began, "s"),
            Figure("resident at the start", asker.resident(), "MB", MOST_MB),
        ]
        figures += await _costs(asker, keys)
        figures += await _full(asker, keys)
        figures.append(Figure("a revocation holds after", await _revoked(asker, directory, keys), "s", MOST_SECONDS))
    return figures


async def _costs(asker: Asker, keys: int) -> list[Figure]:
    """Hot sets of both sizes in turns, so that whatever else the machine does meets both; then keys never seen."""
    chosen = random.Random(1)
    few, many = chosen.sample(range(keys), FEW), chosen.sample(range(keys), HOT)
    await asker.all(texts_of(few + many))
    costs: dict[int, list[float]] = {FEW: [], HOT: []}
    for _ in range(ROUNDS):
        for numbers in (few, many):
            asked = texts_of(chosen.choices(numbers, k=ASKED))
            costs[len(numbers)].append((await asker.all(asked)).microseconds)
    small, large = (statistics.median(costs[size]) for size in (FEW, HOT))
    missed = await asker.all(texts_of(chosen.sample(range(keys), ASKED)))
    return [
        Figure(f"sidecar's CPU per Check, {FEW} keys", small, "µs"),
        Figure(f"sidecar's CPU per Check, {HOT} keys of all", large, "µs"),
        Figure("the same as a ratio", large / small, "x", MOST_TIMES),
        Figure("sidecar's CPU per Check of a key never seen", missed.microseconds, "µs"),
        Figure("answers to keys never seen", missed.questions / missed.wall, "/s"),
    ]


async def _full(asker: Asker, keys: int) -> list[Figure]:
    """More known and unknown keys than the cache holds."""
    size = Settings().key_cache_size
    known = await asker.all(texts_of(random.Random(2).sample(range(keys), min(keys, size))), at_once=64)
    full = asker.resident()
    unknown = await asker.all([f"stranger-{number}" for number in range(size)], at_once=64)
    wrong = len({*known.statuses} - {200}) + len({*unknown.statuses} - {400})
    return [
        Figure(f"resident after {known.questions} known keys", full, "MB", MOST_MB),
        Figure(f"resident after {unknown.questions} unknown keys more", asker.resident(), "MB", MOST_MB),
        Figure("kinds of wrong answers", wrong, "", 0.5),
    ]


async def _revoked(asker: Asker, directory: Path, keys: int) -> float:
    number = keys // 2

    async def is_refused() -> bool:
        return await asker.status(text_of(number)) == 400

    assert not await is_refused()
    with closing(open_store(directory)) as store:
        await asyncio.to_thread(store.revoke_key, uid_of(number), time.time())
    return await seconds_until(is_refused)


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m tests.scale", description=__doc__)
    options.add_argument("--keys", type=int, default=1_000_000, help=f"at least {LEAST_KEYS:,} (default %(default)s)")
    options.add_argument("--consumers", type=int, default=100_000, help="at least 1 (default %(default)s)")
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    if chosen.keys < LEAST_KEYS or chosen.consumers < 1:
        options.error(f"--keys is at least {LEAST_KEYS:,}, --consumers at least 1")
    with tempfile.TemporaryDirectory(prefix="authz-scale-") as name:
        figures = asyncio.run(_measure(Path(name), chosen.keys, chosen.consumers))
    ratio = hot.spread_ratio(Settings().key_cache_size, FEW)
    figures.append(Figure("`decide` and reply, keys all over a full cache", ratio, "x", MOST_TIMES))
    if chosen.json:
        print(json.dumps([{**vars(one), "met": one.met} for one in figures], indent=2))
    else:
        for one in figures:
            goal = f"at most {one.most:g}: {'met' if one.met else 'MISSED'}" if one.most else ""
            print(f"{one.name:58} {one.value:10.2f} {one.unit:4} {goal}")
    return 0 if all(one.met for one in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
