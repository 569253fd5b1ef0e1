"""Envoy without us: it forwards, and makes RPCs of JSON, and does nothing else."""

from __future__ import annotations

import base64
import contextlib
import json
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from authz import proxy
from authz.settings import Settings
from bench import protos, stack
from bench.documents import Document

_TYPE = "type.googleapis.com/envoy.extensions"


@dataclass(frozen=True, slots=True)
class Bare:
    """A running Envoy: its port for HTTP and gRPC as they come, its port for JSON to gRPC, and its process."""

    plain: int
    transcoding: int
    pid: int


@contextlib.contextmanager
def envoy(http: str, rpc: str) -> Iterator[Bare]:
    """One worker in front of two backends, until left."""
    plain, transcoding = proxy.free_port(), proxy.free_port()
    listeners = [_listener(plain, []), _listener(transcoding, [_transcoder()])]
    bootstrap = {"static_resources": {"listeners": listeners, "clusters": [_cluster("http", http), _rpc(rpc)]}}
    with tempfile.TemporaryDirectory(prefix="authz-bench-") as name:
        file = Path(name, "envoy.json")
        file.write_text(json.dumps(bootstrap))
        words = ["--config-path", str(file), "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]
        with subprocess.Popen([str(proxy.find(Settings())), *words]) as process:
            try:
                stack.wait_for(plain)
                stack.wait_for(transcoding)
                yield Bare(plain, transcoding, process.pid)
            finally:
                process.kill()


def _listener(port: int, filters: list[Document]) -> Document:
    to_rpc = {"match": {"prefix": f"/{protos.SERVICE}/"}, "route": {"cluster": "rpc"}}
    # To the transcoder's new path, or, where there is none, to the other backend.
    elsewhere = {"match": {"prefix": "/"}, "route": {"cluster": "rpc" if filters else "http"}}
    router = {"name": "router", "typed_config": {"@type": f"{_TYPE}.filters.http.router.v3.Router"}}
    manager = {
        "@type": f"{_TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bare",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [to_rpc, elsewhere]}]},
        "http_filters": [*filters, router],
    }
    return {
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }


def _transcoder() -> Document:
    config = {
        "@type": f"{_TYPE}.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder",
        "proto_descriptor_bin": base64.b64encode(protos.guarded()).decode(),
        "services": [protos.SERVICE],
        "match_incoming_request_route": True,
    }
    return {"name": "transcoder", "typed_config": config}


def _rpc(address: str) -> Document:
    name = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    http2 = {"@type": f"type.googleapis.com/{name}", "explicit_http_config": {"http2_protocol_options": {}}}
    return {**_cluster("rpc", address), "typed_extension_protocol_options": {name: http2}}


def _cluster(name: str, address: str) -> Document:
    host, _, port = address.rpartition("/")[2].partition(":")
    endpoint = {"address": {"socket_address": {"address": host, "port_value": int(port)}}}
    return {
        "name": name,
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}]},
    }
