"""What Envoy is started with, and the whole configuration as one document that Envoy accepts."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from authz import proxy, wire
from authz.errors import UsageError
from authz.model.service import Backend, PathTranslation, Protocol
from authz.settings import Settings
from authz.xds import bootstrap, listeners, snapshot
from harness.dataplane import KEY, Sidecar, an_inventory, an_operation
from harness.http import Upstream, fetch

INVENTORY = an_inventory(
    an_operation("/open"),
    an_operation("/key", needs=KEY, cost=1),
    an_operation("/deep/{a}/{b}/{c}/{d}/{e}/{f}/literal", needs=KEY),
    an_operation("/tls", backend=Backend("https://b.example/x", protocol=Protocol.HTTP2)),
    an_operation("/c/{id}", backend=Backend("http://b.example/y", path_translation=PathTranslation.CONSTANT)),
    an_operation("/grpc", backend=Backend("grpcs://10.0.0.1:443")),
)


async def envoy(*arguments: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        str(proxy.find(Settings())), *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


MATRIX = {
    "defaults": {},
    "everything in front": {
        "cors_preset": "basic", "health_path": "/h", "compression": True, "method_override": True,
        "access_log": "-", "envoy_headers": True,
    },
    "cors with regex": {"cors_preset": "cors_with_regex", "cors_allow_origin_regex": r"^https?://.+\.example\.com$"},
    "own log format": {"access_log": "/dev/null", "access_log_format": "[%START_TIME%] %RESPONSE_CODE%"},
    "lenient paths": {
        "normalize_path": False, "merge_slashes": False, "escaped_slashes": "keep", "underscores_in_headers": True,
    },
    "addresses": {"use_remote_address": False, "trusted_hops": 2, "client_ip_from_forwarded": True},
    "limits": {"buffer_limit_bytes": 8192, "max_header_kib": 96, "backend_max_requests": 1, "connect_timeout": 0.5},
    "look-ups": {"backend_dns": "all", "dns_resolvers": ("127.0.0.1", "[::1]:5353")},
    "self-signed": {"tls_self_signed": True, "tls_max_version": "TLSv1.3", "strict_transport_security": True},
    "deny without quota": {"quota_when_down": "deny", "header_prefix": "X-Apigateway-"},
    "retries": {"retry_count": 3, "retry_status_codes": (502, 503), "per_try_timeout": 1.0},
    "health checks": {"health_check_grpc_backend": True, "health_path": "/h", "backend": "grpc://127.0.0.1:1"},
    "everything to one backend": {"backend_override": True, "backend": "grpc://127.0.0.1:1"},
}  # fmt: skip


@pytest.mark.parametrize("settings", MATRIX.values(), ids=MATRIX)
async def test_envoy_accepts_the_whole_configuration(tmp_path: Path, settings: dict[str, object]) -> None:
    chosen = Settings(data_dir=tmp_path, **settings)
    built = snapshot.build(INVENTORY, chosen)
    document = bootstrap.static(built, chosen, sidecars=["sidecar.example:9000"], admin="127.0.0.1:0")
    path = tmp_path / "envoy.json"
    path.write_text(json.dumps(document))

    code, output = await envoy("--mode", "validate", "-c", str(path), "-l", "warning")

    assert code == 0, output
    assert "eprecated" not in output


async def test_envoy_accepts_certificates_on_both_sides(tmp_path: Path) -> None:
    certificate, key = map(str, listeners.self_signed(tmp_path))
    settings = Settings(
        tls_cert=certificate, tls_key=key, tls_client_ca=certificate, tls_ciphers=("ECDHE-ECDSA-AES128-GCM-SHA256",),
        backend_tls_cert=certificate, backend_tls_key=key, backend_tls_ca=certificate,
        backend_tls_ciphers=("ECDHE-ECDSA-AES256-GCM-SHA384",),
    )  # fmt: skip
    document = bootstrap.static(snapshot.build(INVENTORY, settings), settings, sidecars=["unix:/tmp/s"])
    path = tmp_path / "envoy.json"
    path.write_text(json.dumps(document))

    code, output = await envoy("--mode", "validate", "-c", str(path), "-l", "warning")

    assert code == 0, output


async def test_a_static_envoy_guards_like_one_that_follows(tmp_path: Path) -> None:
    sidecar = Sidecar()
    server = await sidecar.serve(f"unix:{tmp_path}/s")
    async with Upstream() as backend:
        settings = Settings(
            port=proxy.free_port(), backend=f"http://{backend.address}", envoy_concurrency=1, data_dir=tmp_path
        )
        operations = an_operation("/key", needs=KEY, cost=1), an_operation("/open", cost=1)
        built = snapshot.build(an_inventory(*operations), settings)
        admin = f"127.0.0.1:{proxy.free_port()}"
        document = bootstrap.static(built, settings, sidecars=[f"unix:{tmp_path}/s"], admin=admin)
        process = proxy.Proxy(settings, admin=admin)
        await process.start(document)
        try:
            await process.wait_ready()
            allowed = await fetch(settings.port, "GET", "/key")
            sidecar.check = Sidecar.deny
            denied = await fetch(settings.port, "GET", "/key")
            await fetch(settings.port, "GET", "/open")
        finally:
            await process.stop()
            await server.stop(None)

    assert (allowed.status, denied.status) == (200, 401)
    assert sidecar.checks[0].attributes.context_extensions[wire.CONTEXT_OPERATION] == "1.api.GetKey"
    assert len(sidecar.quotas) == 1


def test_the_bootstrap_names_sidecar_and_control_plane() -> None:
    document = bootstrap.dynamic(
        Settings(), sidecars=["10.0.0.1:1"], xds="xds.example:2", admin="unix:/run/a", node_id="envoy-7"
    )
    clusters = {one["name"]: one for one in document["staticResources"]["clusters"]}

    assert document["node"]["id"] == "envoy-7"
    assert document["admin"]["address"] == {"pipe": {"path": "/run/a"}}
    assert set(clusters) == {wire.SIDECAR_CLUSTER, wire.XDS_CLUSTER}
    assert clusters[wire.XDS_CLUSTER]["type"] == "STRICT_DNS"
    assert document["layeredRuntime"]["layers"][0]["staticLayer"]["re2.max_program_size.error_level"] == 10_000


def sidecars_of(document: bootstrap.Document) -> dict[str, Any]:
    return next(one for one in document["staticResources"]["clusters"] if one["name"] == wire.SIDECAR_CLUSTER)


def dynamic(*sidecars: str, **settings: object) -> bootstrap.Document:
    return bootstrap.dynamic(Settings(**settings), sidecars=sidecars, xds="unix:/x", admin="unix:/a", node_id="e")


@pytest.mark.parametrize(
    "sidecars", [["127.0.0.1:1", "[::1]:2"], ["a.example:1", "10.0.0.1:1"], ["unix:/a", "unix:/b"]]
)
@pytest.mark.parametrize("secured", [False, True])
async def test_envoy_accepts_several_sidecars(tmp_path: Path, sidecars: list[str], secured: bool) -> None:
    certificate, key = map(str, listeners.self_signed(tmp_path))
    files = {"sidecar_tls_ca": certificate, "sidecar_tls_client_cert": certificate, "sidecar_tls_client_key": key}
    document = dynamic(*sidecars, **files if secured else {})
    path = tmp_path / "envoy.json"
    path.write_text(json.dumps(document))

    code, output = await envoy("--mode", "validate", "-c", str(path), "-l", "warning")

    assert code == 0, output
    (places,) = sidecars_of(document)["loadAssignment"]["endpoints"]
    assert len(places["lbEndpoints"]) == 2
    assert ("transportSocket" in sidecars_of(document)) == (secured and not sidecars[0].startswith("unix:"))


@pytest.mark.parametrize(
    ("sidecars", "name", "sni", "names"),
    [
        (["a.example:1", "10.0.0.1:1"], "", "a.example", ["a.example", "10.0.0.1"]),
        (["10.0.0.1:1"], "", None, ["10.0.0.1"]),
        (["10.0.0.1:1", "10.0.0.2:1"], "sidecar.example", "sidecar.example", ["sidecar.example"]),
    ],
)
def test_a_sidecars_certificate_must_be_for_its_host_or_the_name_set(
    sidecars: list[str], name: str, sni: str | None, names: list[str]
) -> None:
    document = dynamic(*sidecars, sidecar_tls_ca="/ca", sidecar_tls_name=name)

    context = sidecars_of(document)["transportSocket"]["typedConfig"]
    wanted = context["commonTlsContext"]["validationContext"]["matchTypedSubjectAltNames"]
    assert context.get("sni") == sni
    assert [one["matcher"]["exact"] for one in wanted] == names


@pytest.mark.parametrize("setting", ["sidecar_tls_cert", "sidecar_tls_client_cert", "sidecar_tls_name"])
def test_half_of_tls_is_told_before_envoy_speaks_without_it(setting: str) -> None:
    with pytest.raises(UsageError, match=f"{setting} is set, and sidecar_tls_ca is not"):
        dynamic("127.0.0.1:1", **{setting: "/file"})

    assert dynamic("unix:/s", **{setting: "/file"})


def test_tls_and_unix_sockets_do_not_mix() -> None:
    with pytest.raises(UsageError, match="one kind"):
        dynamic("127.0.0.1:1", "unix:/s", sidecar_tls_ca="/ca")


@pytest.mark.parametrize("text", ["", "host", "host:", "host:x", "unix:" + "p" * 108])
def test_what_is_no_address_says_so(text: str) -> None:
    with pytest.raises(UsageError):
        bootstrap.address(text)
