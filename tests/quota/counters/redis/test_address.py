from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from redis.asyncio import SSLConnection

from authz.errors import UsageError
from authz.quota.counters.redis import RedisLedger, address
from harness.tls import Authority

SECRET = "s3cr:t/@#pass"
ENCODED = "s3cr%3At%2F%40%23pass"

GOOD = [
    ("redis://cache", "one", ["cache:6379"], {"db": 0}),
    ("redis://cache:7000/3", "one", ["cache:7000"], {"db": 3}),
    ("redis://cache?db=3", "one", ["cache:6379"], {"db": 3}),
    (f"redis://:{ENCODED}@cache", "one", ["cache:6379"], {"password": SECRET}),
    (f"redis://ann:{ENCODED}@cache", "one", ["cache:6379"], {"username": "ann", "password": SECRET}),
    (f"redis://cache?username=ann&password={ENCODED}", "one", ["cache:6379"], {"username": "ann", "password": SECRET}),
    ("redis://[::1]:7000", "one", ["[::1]:7000"], {"host": "::1"}),
    ("rediss://cache?ssl_cert_reqs=none", "one", ["cache:6379"], {"ssl_cert_reqs": "none"}),
    ("unix:///run/redis.sock", "one", ["unix:/run/redis.sock"], {"path": "/run/redis.sock"}),
    (f"unix://ann:{ENCODED}@/run/r.sock?db=2", "one", ["unix:/run/r.sock"], {"password": SECRET, "db": 2}),
    ("redis+cluster://a,b:7001", "cluster", ["a:6379", "b:7001"], {}),
    (f"redis+cluster://:{ENCODED}@a,[::1]:1", "cluster", ["a:6379", "[::1]:1"], {"password": SECRET}),
    ("redis+cluster://a/0", "cluster", ["a:6379"], {}),
    ("redis+sentinel://a,b:7001/main", "sentinel", ["a:26379", "b:7001"], {"db": 0}),
    (f"redis+sentinel://ann:{ENCODED}@a/main/5", "sentinel", ["a:26379"], {"password": SECRET, "db": 5}),
]  # fmt: skip


@pytest.mark.parametrize(("url", "kind", "places", "options"), GOOD)
def test_all_forms_of_a_url(url: str, kind: str, places: list[str], options: dict[str, object]) -> None:
    site = address.parse(url)

    assert (site.kind, [node.place for node in site.nodes]) == (kind, places)
    assert options.items() <= dict(site.primary.options).items()


def test_a_sentinel_has_a_login_of_its_own() -> None:
    site = address.parse(f"redis+sentinel://ann:{ENCODED}@a/main/5?sentinel_username=bob&sentinel_password=other")

    assert site.service == "main"
    assert dict(site.nodes[0].options) == {"username": "bob", "password": "other", "host": "a", "port": 26379}
    assert not {"sentinel_username", "sentinel_password"} & {*site.primary.options}


BAD = [
    ("cache:6379", "no URL", "redis://host:port"),
    ("http://cache", "'http' is no way to Redis", "redis://host:port"),
    ("redis+ring://cache", "no way to Redis", "redis+cluster://"),
    ("redis://", "names no host", "redis://host:port"),
    (f"redis://:{SECRET}@cache", "'@' behind a '/'", "%2F"),
    ("redis://:pa#ss@cache", "'#'", "%23"),
    ("redis://:pa/ss@cache", "'@' behind a '/'", "%2F"),
    ("redis://:pa?ss@cache", "'@' behind a '/' or '?'", "%3F"),
    ("redis://ann:pa:ss/1", "cannot be read", "%3A"),
    ("unix://:pa/ss@/run/redis.sock", "'@' behind a '/'", "%2F"),
    ("redis://cache:port", "cannot be read", "host:port"),
    ("redis://[::1", "cannot be read", "host:port"),
    ("redis://a,b", "several hosts", "redis+cluster://"),
    ("redis://cache/main", "a database that is no number", "number"),
    ("redis://cache?db=x", "cannot be read", "host:port"),
    ("redis://cache?sockettimeout=3", "unknown option 'sockettimeout'", "db, password, username"),
    ("redis://cache?ssl_ca_certs=ca.pem", "ssl_ca_certs, which is for TLS", "rediss://"),
    ("redis+cluster://cache?ssl_ca_certs=ca.pem", "ssl_ca_certs, which is for TLS", "rediss+cluster://"),
    ("redis://cache?sentinel_password=x", "unknown option 'sentinel_password'", "db, password, username"),
    ("rediss://cache?ssl_cert_reqs=perhaps", "value that means nothing", "required or none"),
    ("rediss://cache?ssl_ca_certs=missing.pem", "missing.pem): No such file", "PEM"),
    ("unix://", "names no socket", "unix:///path"),
    ("redis+cluster://a,,b", "names no host", "redis://host:port"),
    ("redis+cluster://a/4", "names a database", "only database 0"),
    ("redis+cluster://a?db=4", "names a database", "only database 0"),
    ("redis+sentinel://a", "names no service", "redis+sentinel://host:port/service"),
    ("redis+sentinel://a/main/x", "a database that is no number", "number"),
]  # fmt: skip


@pytest.mark.parametrize(("url", "message", "remedy"), BAD)
def test_a_wrong_url_is_told_with_its_remedy_and_without_its_password(url: str, message: str, remedy: str) -> None:
    with pytest.raises(UsageError) as raised:
        RedisLedger(url)

    assert message in raised.value.message
    assert remedy in raised.value.remedy
    assert not any(part in str(raised.value) for part in (SECRET, "s3cr", "pa/ss", "ss@", "'ss", "pa:ss"))
    assert raised.value.__cause__ is None


def test_files_that_are_no_certificates_are_told_at_once(tmp_path: Path) -> None:
    leaf = Authority(tmp_path).leaf("client")
    junk = tmp_path / "junk.pem"
    junk.write_text("junk")

    for query in (f"ssl_ca_certs={junk}", f"ssl_certfile={leaf.cert}&ssl_keyfile={junk}"):
        with pytest.raises(UsageError, match=r"TLS files cannot be used .*junk\.pem"):
            RedisLedger(f"rediss://cache?{query}")


def _context(node: address.Node) -> ssl.SSLContext:
    connection = node.connection(1)
    assert isinstance(connection, SSLConnection)
    node.trust.give(connection)
    return connection.ssl_context.get()


def test_all_connections_of_a_site_share_what_tls_needs_until_a_file_changes(tmp_path: Path) -> None:
    site = address.parse(f"rediss+sentinel://a,b/main?ssl_ca_certs={Authority(tmp_path).cert}")
    nodes = [*site.nodes, site.primary, site.primary.at("c", 6379)]

    def contexts() -> set[ssl.SSLContext]:
        return {_context(node) for node in nodes}

    first = contexts()
    again = contexts()
    Authority(tmp_path)
    renewed = contexts()

    assert len(first) == len(renewed) == 1
    assert again == first
    assert renewed != first


@pytest.mark.parametrize("url", [url for url, *_ in GOOD if ENCODED in url])
def test_what_is_printed_of_a_site_has_no_password(url: str) -> None:
    assert "s3cr" not in repr(address.parse(url))
    assert "s3cr" not in repr(address.parse(url).primary.connection(1))
