"""Section `deploy`: how long until Envoy runs what was deployed? Two processes, as with `authz deploy`."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Sequence

from authz.admin import deploy as deploying
from authz.model.service import SourceText
from authz.sources.protos.packed import pack
from authz.store.sql import open_store
from bench import documents, protos, stack
from bench.machine import NotMeasured
from bench.pace import Pace
from bench.report import Goal, Row, Section

HOST, RPC_HOST = "wide.example.test", "wide-rpc.example.test"
METHODS = 10
"""In each gRPC service."""
NOTE = (
    "`admin.deploy` in this process, then the wait until the gateway's Envoy has accepted it; seconds of wall clock. "
    "Each deploy has paths of its own: every route changes."
)
Texts = Callable[[int], Sequence[SourceText]]


def measure(pace: Pace) -> Section:
    """Deploys of a large API and of a large descriptor set, each different from the one before, to one gateway."""
    services = pace.operations // 2
    kinds: list[tuple[str, Texts, float]] = [
        (f"{pace.operations} operations", lambda number: _document(pace.operations, number), 2.0),
        (f"{services} gRPC services, {METHODS} RPCs each", lambda number: _descriptors(services, number), 3.0),
    ]
    with stack.gateway(documents.wide(HOST, 10)) as gateway, contextlib.closing(open_store(gateway.data_dir)) as store:
        rows = [_row(name, texts(n), store) for name, texts, _ in kinds for n in range(max(2, pace.rounds))]
    goals = [Goal(f"deploy to live on Envoy, {name}", _typical(name, rows), seconds, "s") for name, _, seconds in kinds]
    return Section("deploy", NOTE, rows, goals)


def _document(operations: int, number: int) -> list[SourceText]:
    document = documents.wide(HOST, operations)
    document["paths"] = {path.replace("/v1/", f"/v{number}/"): item for path, item in document["paths"].items()}
    return [SourceText("wide.json", documents.as_json(document))]


def _descriptors(services: int, number: int) -> list[SourceText]:
    descriptors, service = protos.wide(RPC_HOST, services, METHODS, number)
    return [SourceText("wide.pb", pack(descriptors)), SourceText("wide.yaml", documents.as_json(service))]


def _row(name: str, texts: Sequence[SourceText], store: deploying.Store) -> Row:
    start = time.perf_counter()
    made = deploying.deploy(store, texts, now=time.time())
    stored = time.perf_counter()
    (outcome,) = deploying.wait_live(store, made, timeout=60)
    live = time.perf_counter()
    if outcome.state is not deploying.State.LIVE:
        raise NotMeasured(f"the deploy came to nothing: {outcome.state.value}: {outcome.message}")
    return {"deploy": name, "read, stored and compared s": stored - start, "to live s": live - start}


def _typical(name: str, rows: Sequence[Row]) -> float:
    return statistics.median(row["to live s"] for row in rows if row["deploy"] == name)
