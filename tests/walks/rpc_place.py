"""The whole gateway before the library, which is deployed as descriptors and a service YAML."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from authz.admin import deploy, keys
from authz.app import Gateway, wait_live
from authz.model.service import SourceText
from authz.sources.protos.packed import pack
from authz.store.sql import open_store
from harness import gateway
from harness.grpc_library import LIBRARY, Library, descriptors
from harness.grpc_stage import Callers

HOST = "library.example.test"
JSON = ("content-type", "application/json")
SERVICE = f"""
type: google.api.Service
config_version: 3
name: {HOST}
apis:
- name: {LIBRARY}
metrics:
- name: reads
  value_type: INT64
  metric_kind: DELTA
quota:
  limits:
  - {{name: reads, metric: reads, unit: "1/min/{{project}}", values: {{STANDARD: 2}}}}
  metric_rules:
  - {{selector: {LIBRARY}.GetShelf, metric_costs: {{reads: 1}}}}
usage:
  rules:
  - {{selector: "*", allow_unregistered_calls: true}}
  - {{selector: {LIBRARY}.GetShelf, allow_unregistered_calls: false}}
"""


class Stage(Callers):
    running: gateway.Running

    def key(self) -> tuple[str, str]:
        """The key of a consumer who has not called yet, as a header."""
        return "x-api-key", keys.create(self.running.store, f"c{time.monotonic_ns()}", now=time.time()).text


@contextlib.asynccontextmanager
async def a_stage(
    factory: pytest.TempPathFactory,
    transport: str,
    *,
    more: str = "",
    compression: grpc.Compression = grpc.Compression.NoCompression,
    **values: Any,
) -> AsyncIterator[Stage]:
    """`more`: what else stands in the service YAML. `compression`: of what the backend answers."""
    async with Library().serving(compression=compression) as library:
        directory, run_dir = factory.mktemp("data"), factory.mktemp("r")
        chosen = gateway.settings(directory, backend=f"grpc://{library.address}", transport=transport, **values)
        with contextlib.closing(open_store(directory)) as store:
            whole = Gateway(chosen, store, run_dir)
            async with whole.running(), whole.envoy() as proxy:
                made = deploy.deploy(store, sources(more), now=time.time())
                await wait_live(store, made)
                await proxy.wait_ready()
                there = Stage(chosen.port, library, HOST)
                there.running = gateway.Running(chosen, store, whole, proxy)
                yield there


def sources(more: str = "") -> list[SourceText]:
    compiled = SourceText("library.binpb", pack(descriptors(), ["library/v1/library.proto"]))
    return [compiled, SourceText("library.yaml", SERVICE + more)]
