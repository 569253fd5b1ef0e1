"""Backends become clusters: shared where they can be, and with names verified."""

from __future__ import annotations

from pathlib import Path

import pytest
from envoy_data_plane.envoy.config.cluster.v3 import Cluster, ClusterDiscoveryType, ClusterDnsLookupFamily
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import SubjectAltNameMatcherSanType, UpstreamTlsContext
from envoy_data_plane.envoy.extensions.upstreams.http.v3 import HttpProtocolOptions

from authz.errors import UsageError
from authz.model.service import Backend, Protocol
from authz.settings import Settings
from authz.xds import clusters
from harness.dataplane import Start, an_inventory, an_operation
from harness.http import Upstream
from harness.tls import Authority


def the_cluster(address: str, protocol: Protocol | None = None, **settings: object) -> Cluster:
    chosen = Settings(**settings)
    backend = Backend(address, protocol=protocol)
    built = clusters.build(an_inventory(an_operation("/a", backend=backend)), chosen)
    return next(one for one in built if one.name == clusters.cluster_name(backend, chosen))


def tls_of(cluster: Cluster) -> UpstreamTlsContext:
    assert cluster.transport_socket
    assert cluster.transport_socket.typed_config
    return UpstreamTlsContext.parse(cluster.transport_socket.typed_config.value)


def is_http2(cluster: Cluster) -> bool:
    options = HttpProtocolOptions.parse(cluster.typed_extension_protocol_options[clusters.HTTP_OPTIONS].value)
    assert options.explicit_http_config
    return options.explicit_http_config.http2_protocol_options is not None


@pytest.mark.parametrize(
    ("address", "protocol", "name"),
    [
        ("http://b.example", None, "http:b.example:80:http1"),
        ("http://b.example:8080/v1", None, "http:b.example:8080:http1"),
        ("https://b.example/v1/x", None, "https:b.example:443:http1"),
        ("https://B.example", Protocol.HTTP2, "https:b.example:443:h2"),
        ("grpc://b.example:50051", None, "http:b.example:50051:h2"),
        ("grpcs://b.example", None, "https:b.example:443:h2"),
        ("grpc://b.example", Protocol.HTTP1, "http:b.example:80:h2"),
        ("http://b.example", Protocol.HTTP2, "http:b.example:80:h2"),
        ("https://[::1]:9443", None, "https:::1:9443:http1"),
        ("", None, "http:local.example:1234:http1"),
    ],
)
def test_a_cluster_is_named_for_what_it_connects_to(address: str, protocol: Protocol | None, name: str) -> None:
    settings = Settings(backend="http://local.example:1234")

    assert clusters.cluster_name(Backend(address, protocol=protocol), settings) == name


@pytest.mark.parametrize("address", ["ftp://b.example", "http://", "http://b.example:99999", "http://b.example:x"])
def test_what_is_no_address_says_so(address: str) -> None:
    with pytest.raises(UsageError, match="is not a backend address"):
        clusters.cluster_name(Backend(), Settings(backend=address))


def test_a_backend_setting_may_leave_the_scheme_out() -> None:
    assert clusters.cluster_name(Backend(), Settings(backend="b.example:9000")) == "http:b.example:9000:http1"


def test_backends_that_differ_in_path_only_share_a_cluster() -> None:
    operations = [an_operation(f"/{path}", backend=Backend(f"https://b.example/{path}")) for path in "abc"]

    built = clusters.build(an_inventory(*operations), Settings())

    assert [one.name for one in built] == ["http:127.0.0.1:8082:http1", "https:b.example:443:http1"]


def test_an_override_leaves_the_local_backend_alone() -> None:
    settings = Settings(backend_override=True)
    operation = an_operation("/a", backend=Backend("https://b.example", protocol=Protocol.HTTP2))

    built = clusters.build(an_inventory(operation), settings)

    assert [one.name for one in built] == ["http:127.0.0.1:8082:http1"]
    assert clusters.cluster_name(operation.backend, settings) == built[0].name


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("http://10.1.2.3", ClusterDiscoveryType.STATIC),
        ("http://[::1]", ClusterDiscoveryType.STATIC),
        ("http://b.example", ClusterDiscoveryType.LOGICAL_DNS),
    ],
)
def test_only_names_are_looked_up(address: str, kind: ClusterDiscoveryType) -> None:
    assert the_cluster(address).type == kind


def test_a_certificate_must_carry_the_name_that_was_asked_for() -> None:
    context = tls_of(the_cluster("https://b.example"))
    assert context.common_tls_context
    validation = context.common_tls_context.validation_context
    assert validation
    (name,) = validation.match_typed_subject_alt_names

    assert context.sni == "b.example"
    assert name.san_type == SubjectAltNameMatcherSanType.DNS
    assert name.matcher
    assert name.matcher.exact == "b.example"


def test_an_address_is_verified_as_an_address_and_has_no_sni() -> None:
    context = tls_of(the_cluster("https://10.1.2.3"))
    assert context.common_tls_context
    assert context.common_tls_context.validation_context
    (name,) = context.common_tls_context.validation_context.match_typed_subject_alt_names

    assert context.sni == ""
    assert name.san_type == SubjectAltNameMatcherSanType.IP_ADDRESS


def test_a_client_certificate_ciphers_and_authorities_are_settings() -> None:
    context = tls_of(
        the_cluster(
            "grpcs://b.example",
            backend_tls_cert="/c.crt",
            backend_tls_key="/c.key",
            backend_tls_ca="/ca.crt",
            backend_tls_ciphers=("ECDHE-RSA-AES128-GCM-SHA256",),
        )
    ).common_tls_context

    assert context
    assert context.to_dict() == {
        "alpnProtocols": ["h2"],
        "tlsParams": {"cipherSuites": ["ECDHE-RSA-AES128-GCM-SHA256"]},
        "tlsCertificates": [{"certificateChain": {"filename": "/c.crt"}, "privateKey": {"filename": "/c.key"}}],
        "validationContext": {
            "trustedCa": {"filename": "/ca.crt"},
            "matchTypedSubjectAltNames": [{"sanType": "DNS", "matcher": {"exact": "b.example"}}],
        },
    }


@pytest.mark.parametrize(("address", "expected"), [("http://b", False), ("https://b", False), ("grpc://b", True)])
def test_the_protocol_is_what_was_declared(address: str, expected: bool) -> None:
    assert is_http2(the_cluster(address)) is expected


def test_limits_and_look_ups_are_settings() -> None:
    cluster = the_cluster(
        "http://b.example",
        backend_max_requests=7,
        connect_timeout=2.5,
        buffer_limit_bytes=4096,
        backend_dns="v6only",
        dns_resolvers=("9.9.9.9", "[2620:fe::fe]:5353"),
    )
    assert cluster.circuit_breakers
    assert cluster.connect_timeout
    assert cluster.typed_dns_resolver_config

    assert cluster.circuit_breakers.thresholds[0].max_requests == 7
    assert cluster.connect_timeout.total_seconds() == 2.5
    assert cluster.per_connection_buffer_limit_bytes == 4096
    assert cluster.dns_lookup_family == ClusterDnsLookupFamily.V6_ONLY
    assert b"9.9.9.9" in bytes(cluster.typed_dns_resolver_config)


def test_a_dns_server_is_an_address() -> None:
    with pytest.raises(UsageError, match="not a DNS server"):
        the_cluster("http://b.example", dns_resolvers=("dns.example",))


# -- with a real Envoy ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "trusted", "status"),
    [
        (("localhost",), True, 200),
        (("other.example",), True, 503),
        (("localhost",), False, 503),
    ],
    ids=["good", "other name", "unknown authority"],
)
async def test_a_backend_must_be_who_it_is_asked_to_be(
    start: Start, tmp_path: Path, names: tuple[str, ...], trusted: bool, status: int
) -> None:
    ours, theirs = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs")
    leaf = (ours if trusted else theirs).leaf("server", *names)
    async with Upstream(tls=leaf.server_context()) as secure:
        backend = Backend(f"https://localhost:{secure.port}")
        async with start(an_inventory(an_operation("/a", backend=backend)), backend_tls_ca=str(ours.cert)) as gateway:
            answer = await gateway.get("/a")

    assert answer.status == status


async def test_a_backend_may_want_our_certificate(start: Start, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server, client = authority.leaf("server"), authority.leaf("client", "gateway.example")
    settings = {"backend_tls_ca": str(authority.cert)}
    shown = {"backend_tls_cert": str(client.cert), "backend_tls_key": str(client.key)}
    async with Upstream(tls=server.server_context(client_ca=authority.cert)) as secure:
        inventory = an_inventory(an_operation("/a", backend=Backend(f"https://127.0.0.1:{secure.port}")))
        async with start(inventory, **settings) as gateway:
            without = await gateway.get("/a")
        async with start(inventory, **settings, **shown) as gateway:
            answer = await gateway.get("/a")

    assert (without.status, answer.status) == (503, 200)
