"""The cost of Check itself, in this process: no server, no socket, no other process in the figures."""

from __future__ import annotations

import gc
import random
import time

from authz.check.fetch import Fetcher
from authz.check.jwks import KeySets
from authz.check.keys import KeyCache
from authz.check.servicer import CheckServicer
from authz.check.tokens import BackendTokens
from authz.model.auth import ApiKey, Consumer, key_digest
from authz.quota.counters.memory import MemoryCounters
from authz.quota.meter import Meter
from authz.quota.within import ChargingCheck
from authz.rulebook.compile import compile_book
from authz.rulebook.live import Live
from authz.settings import Settings
from authz.telemetry import Tally
from builders import BY_KEY, a_check_request, a_service, an_inventory, an_operation
from scale.population import text_of

QUESTIONS = 20_000
ROUNDS = 9


def spread_ratio(many: int, few: int) -> float:
    """How many times what Check costs with few keys it costs with many, each as likely as any other."""
    asked = [_questions(count) for count in (few, many)]
    handles = [_check(count).handle for count in (few, many)]
    gc.collect()
    least = [float("inf")] * 2
    for _ in range(ROUNDS):
        for side in (0, 1):
            began = time.process_time()
            for question in asked[side]:
                handles[side](question)
            least[side] = min(least[side], time.process_time() - began)
    return least[1] / least[0]


def _check(count: int) -> CheckServicer:
    settings = Settings()
    live = Live(compile_book(an_inventory(a_service(an_operation("GetShelf", BY_KEY))), settings))
    keys = KeyCache(lambda _: None, max(50, 2 * count))
    for number in range(count):
        digest = key_digest(text_of(number))
        keys._remember(digest, ApiKey(str(number), digest, Consumer(number + 1, f"consumer-{number}")))
    keys.close()
    sets, tally = KeySets(Fetcher(1.0), live, settings), Tally()
    charging = ChargingCheck(Meter(live, MemoryCounters(), tally), settings)
    return CheckServicer(live, settings, keys, sets, BackendTokens(None, live), charging, tally)


def _questions(count: int) -> list[bytes]:
    chosen = random.Random(1)
    return [a_check_request(headers={"x-api-key": text_of(chosen.randrange(count))}) for _ in range(QUESTIONS)]
