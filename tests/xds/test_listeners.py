"""The listener: what reaches the routes, what is refused before, and TLS."""

from __future__ import annotations

import datetime as dt
import json
import ssl
from pathlib import Path

import pytest
from cryptography import x509

from authz.errors import StateError, UsageError
from authz.settings import Settings
from authz.xds import listeners
from harness.dataplane import Start, an_inventory, an_operation
from harness.http import Response, Upstream, fetch

OPEN = an_inventory(an_operation("/open"), an_operation("/deep/{name}"))


def the_manager(**settings: object) -> dict[str, object]:
    document = listeners.build(Settings(**settings)).to_dict()
    return document["filterChains"][0]["filters"][0]["typedConfig"]


def test_the_listener_depends_on_settings_alone() -> None:
    assert bytes(listeners.build(Settings())) == bytes(listeners.build(Settings()))


@pytest.mark.parametrize(
    ("settings", "field", "value"),
    [
        ({}, "normalizePath", True),
        ({"normalize_path": False}, "normalizePath", False),
        ({"merge_slashes": False}, "mergeSlashes", False),
        ({"escaped_slashes": "redirect"}, "pathWithEscapedSlashesAction", "UNESCAPE_AND_REDIRECT"),
        ({"escaped_slashes": "reject"}, "pathWithEscapedSlashesAction", "KEEP_UNCHANGED"),
        ({"use_remote_address": False}, "useRemoteAddress", False),
        ({"trusted_hops": 2}, "xffNumTrustedHops", 2),
        ({"max_header_kib": 8}, "maxRequestHeadersKb", 8),
        ({"stream_idle_timeout": 7.5}, "streamIdleTimeout", "7.500s"),
    ],
)
def test_a_setting_has_its_field(settings: dict[str, object], field: str, value: object) -> None:
    assert the_manager(**settings).get(field, False) == value


def test_a_format_of_ones_own_replaces_the_json_lines() -> None:
    (log,) = the_manager(access_log="/log", access_log_format="%REQ(:METHOD)%")["accessLog"]  # type: ignore[misc]

    assert log["typedConfig"]["logFormat"] == {"textFormatSource": {"inlineString": "%REQ(:METHOD)%\n"}}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"tls_cert": "/c", "tls_self_signed": True}, "Both tls_cert and tls_self_signed"),
        ({"tls_client_ca": "/ca"}, "without a certificate"),
    ],
)
def test_tls_settings_that_contradict_each_other(settings: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        listeners.build(Settings(**settings))


def test_a_certificate_is_made_once_and_kept(tmp_path: Path) -> None:
    certificate, key = listeners.self_signed(tmp_path / "tls")
    before = certificate.read_bytes()
    listeners.self_signed(tmp_path / "tls")
    loaded = x509.load_pem_x509_certificate(before)

    assert certificate.read_bytes() == before
    assert key.stat().st_mode & 0o077 == 0
    assert loaded.not_valid_after_utc - loaded.not_valid_before_utc > dt.timedelta(days=3650)


def test_a_directory_that_cannot_be_written_is_a_state_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StateError, match="file"):
        listeners.self_signed(tmp_path / "file" / "tls")


# -- with a real Envoy ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        ("/x/../open", "/open"),
        ("/%6fpen", "/open"),
        ("//open", "/open"),
        ("/deep/a%20b", "/deep/a%20b"),
        ("/open?x=%2e%2e/", "/open?x=%2e%2e/"),
    ],
)
async def test_paths_are_made_plain_before_they_are_matched(
    start: Start, backend: Upstream, sent: str, seen: str
) -> None:
    async with start(OPEN) as gateway:
        answer = await gateway.get(sent)

    assert answer.status == 200
    assert [one.path for one in backend.seen] == [seen]


@pytest.mark.parametrize("path", ["/deep/a%2Fb", "/deep/a%5cb", "/deep/..%2fopen", "/deep/a%00"])
async def test_escaped_slashes_are_refused(start: Start, backend: Upstream, path: str) -> None:
    async with start(OPEN) as gateway:
        answer = await gateway.get(path)

    assert answer.status == 400
    assert not backend.seen


async def test_escaped_slashes_may_be_redirected(start: Start) -> None:
    async with start(OPEN, escaped_slashes="redirect") as gateway:
        answer = await gateway.get("/deep%2Fx")

    assert (answer.status, answer.header("location")) == (307, "/deep/x")


@pytest.mark.parametrize(("allowed", "status"), [(False, 400), (True, 200)])
async def test_names_with_underscores(start: Start, allowed: bool, status: int) -> None:
    async with start(OPEN, underscores_in_headers=allowed) as gateway:
        answer = await gateway.get("/open", ("X_Endpoint_Api_Userinfo", "e"))

    assert answer.status == status


@pytest.mark.parametrize("prefix", ["X-Endpoint-", "X-Apigee-"])
async def test_nobody_writes_the_gateways_headers_however_they_are_spelled(
    start: Start, backend: Upstream, prefix: str
) -> None:
    """The usual names too, where it has others: a backend may not know. And to some servers `_` is `-`."""
    names = ["X_Endpoint_API_UserInfo", "x-endpoint_api-userinfo", "X-Apigee_API-UserInfo"]
    sent = [("X-Endpoint-API-UserInfo", "e"), ("X_Authz_Gateway-Secret", "e"), ("x_other", "kept")]
    async with start(OPEN, underscores_in_headers=True, header_prefix=prefix) as gateway:
        await gateway.get("/open", *sent, *((name, "e") for name in names[: 2 + (prefix == "X-Apigee-")]))

    (request,) = backend.seen
    assert "e" not in [value for _, value in request.headers]
    assert request.header("x_other") == "kept"


@pytest.mark.parametrize("hosts", [("api.example.test", "evil.test"), ("a.test", "b.test")])
async def test_two_hosts_are_refused(start: Start, backend: Upstream, hosts: tuple[str, str]) -> None:
    async with start(OPEN) as gateway:
        answer = await gateway.get("/open", *(("Host", host) for host in hosts))

    assert answer.status == 400
    assert answer.json()["code"] == 400
    assert not backend.seen


@pytest.mark.parametrize("host", ["api.example.test:8443", "api.example.test.", "API.Example.TEST"])
async def test_a_host_is_one_however_it_is_spelled(start: Start, host: str) -> None:
    other = an_inventory(an_operation("/open"))
    async with start(other, default_service="nobody") as gateway:
        answers = [(await gateway.get("/open", host=name)).status for name in (host, "other.test")]

    assert answers == [200, 404]


async def test_too_many_headers_are_refused_in_json(start: Start) -> None:
    async with start(OPEN, max_header_kib=8) as gateway:
        answer = await gateway.get("/open", ("x-big", "y" * 9000))

    assert answer.status == 431
    assert answer.json()["code"] == 431


async def test_answers_of_backends_are_never_rewritten(start: Start, backend: Upstream) -> None:
    backend.answer = lambda _: Response(404, [("x-from", "backend"), ("server", "mine")], b"not mine")
    async with start(OPEN) as gateway:
        answer = await gateway.get("/open")

    assert (answer.status, answer.body, answer.header("x-from")) == (404, b"not mine", "backend")


@pytest.mark.parametrize(
    ("settings", "forwarded", "seen"),
    [({}, "9.9.9.9", "127.0.0.1"), ({"trusted_hops": 1}, "8.8.8.8, 9.9.9.9", "9.9.9.9")],
)
async def test_the_clients_address_is_not_what_it_says(
    start: Start, tmp_path: Path, settings: dict[str, int], forwarded: str, seen: str
) -> None:
    log = tmp_path / "log"
    async with start(OPEN, access_log=str(log), **settings) as gateway:
        await gateway.get("/open", ("x-forwarded-for", forwarded))

    assert json.loads(log.read_text())["client"] == seen


def trusting(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(certificate))
    context.set_alpn_protocols(["http/1.1"])
    return context


async def test_a_self_signed_listener_serves_tls(start: Start, backend: Upstream) -> None:
    async with start(OPEN, tls_self_signed=True) as gateway:
        tls = trusting(gateway.directory / "tls" / "localhost.crt")
        answer = await fetch(gateway.settings.port, "GET", "/open", tls=tls)

    assert answer.status == 200
    assert backend.seen[0].header("x-forwarded-proto") == "https"


async def test_a_client_must_show_its_certificate_where_one_is_wanted(start: Start, tmp_path: Path) -> None:
    certificate, key = listeners.self_signed(tmp_path)
    settings = {"tls_cert": str(certificate), "tls_key": str(key), "tls_client_ca": str(certificate)}
    async with start(OPEN, tls_min_version="TLSv1.3", **settings) as gateway:
        port = gateway.settings.port
        with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
            await fetch(port, "GET", "/open", tls=trusting(certificate))
        shown = trusting(certificate)
        shown.load_cert_chain(certificate, key)
        answer = await fetch(port, "GET", "/open", tls=shown)

    assert answer.status == 200
