"""Section `deploy`: how long until Envoy runs what was deployed? Two processes, as with `authz deploy`."""

from __future__ import annotations

import contextlib
import statistics
import time

from authz.admin import deploy as deploying
from authz.model.service import SourceText
from authz.store.sql import open_store
from bench import documents, stack
from bench.documents import Document
from bench.machine import NotMeasured
from bench.pace import Pace
from bench.report import Goal, Row, Section

HOST = "wide.example.test"
FILE = "wide.json"
NOTE = "`admin.deploy` in this process, then the wait until the gateway's Envoy has accepted it; seconds of wall clock."


def measure(pace: Pace) -> Section:
    """Deploys of a large API, each different from the one before, to a running gateway."""
    with stack.gateway(documents.wide(HOST, 10)) as gateway, contextlib.closing(open_store(gateway.data_dir)) as store:
        rows = [_row(n, _document(pace.operations, n), store) for n in range(max(2, pace.rounds))]
    typical = statistics.median(row["to live s"] for row in rows)
    goal = Goal(f"deploy to live on Envoy, {pace.operations} operations", typical, 2.0, "s")
    return Section("deploy", NOTE, rows, [goal])


def _document(operations: int, number: int) -> Document:
    """Paths of their own each time: every route changes, not only a title."""
    document = documents.wide(HOST, operations)
    document["paths"] = {path.replace("/v1/", f"/v{number}/"): item for path, item in document["paths"].items()}
    return document


def _row(number: int, document: Document, store: deploying.Store) -> Row:
    text = SourceText(FILE, documents.as_json(document))
    start = time.perf_counter()
    made = deploying.deploy(store, [text], now=time.time())
    stored = time.perf_counter()
    (outcome,) = deploying.wait_live(store, made, timeout=60)
    live = time.perf_counter()
    if outcome.state is not deploying.State.LIVE:
        raise NotMeasured(f"the deploy came to nothing: {outcome.state.value}: {outcome.message}")
    return {"deploy": number + 1, "read and stored s": stored - start, "to live s": live - start}
