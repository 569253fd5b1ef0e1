"""What stands in which place of a request, and whose address it came from."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError

from authz.check.call import TWICE, Call, hops
from authz.model.auth import Place, PlaceKind
from authz.settings import Settings
from builders import API, CONFIG, SERVICE, a_check_request


def a_call(path="/x", headers=None, **kind):
    return Call(a_check_request(path, headers), **kind)


def query(name):
    return (Place(PlaceKind.QUERY, name),)


def header(name, prefix=""):
    return (Place(PlaceKind.HEADER, name, prefix),)


def test_a_call_is_of_the_operation_that_the_route_names():
    assert a_call().operation == (SERVICE, CONFIG, f"{API}.GetShelf")
    assert Call(b"").operation == ("", "", "")


def test_bytes_that_are_no_check_request_are_refused():
    with pytest.raises(DecodeError):
        Call(b"\xff\xff\xff")


@pytest.mark.parametrize(
    ("path", "name", "found"),
    [
        ("/x", "key", None),
        ("/x?", "key", None),
        ("/key", "key", None),
        ("/x?key=1", "key", "1"),
        ("/x?a=1&key=2&b=3", "key", "2"),
        ("/x?key", "key", ""),
        ("/x?key&a=1", "key", ""),
        ("/x?key=", "key", ""),
        ("/x?key=a=b", "key", "a=b"),
        ("/x?key=a%20b", "key", "a%20b"),
        ("/x?a=?key=1", "key", None),
        ("/x?key1=1", "key", None),
        ("/x?akey=1", "key", None),
        ("/x?Key=1", "key", None),
        ("/x?key=1&key=1", "key", TWICE),
        ("/x?key=1&key", "key", TWICE),
        ("/x?key=1&&key=2", "key", TWICE),
        ("/x?%6bey=1", "key", TWICE),
        ("/x?k%45y=1", "key", None),
        ("/x?a.b=1", "a.b", "1"),
        ("/x?aXb=1", "a.b", None),
        ("/x?a+b=1", "a b", TWICE),
        ("/x?%C3%A9=1", "é", TWICE),
        ("/x?%c3%a9=1&é=2", "é", TWICE),
    ],
)
def test_query_places(path, name, found):
    assert a_call(path).find(query(name)) == found


@pytest.mark.parametrize(
    ("value", "prefix", "found"),
    [
        ("k", "", "k"),
        ("", "", ""),
        ("a,b", "", TWICE),
        ("Foo t", "Foo", "t"),
        ("Foo t", "Foo ", "t"),
        ("Foo   t", "Foo ", "t"),
        ("Foot", "Foo", "t"),
        ("Foot", "Foo ", None),
        ("Foo", "Foo ", ""),
        ("foo t", "Foo", None),
        ("t", "Foo", None),
        ("x Foo t", "Foo", None),
        ("Foo t,Foo u", "Foo", TWICE),
        ("Bar t,Foo u", "Foo", TWICE),
        ("Bar a, b", "Foo", None),
    ],
)
def test_header_places(value, prefix, found):
    assert a_call(headers={"x-token": value}).find(header("x-token", prefix)) == found


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("s=1", "1"),
        ("a=0; s=1", "1"),
        ("a=0", None),
        ("s", None),
        ("ss=1", None),
        ("s=", ""),
        ("s=1; s=2", TWICE),
        ("s=1;s=2", TWICE),
    ],
)
def test_cookie_places(value, found):
    assert a_call(headers={"cookie": value}).find((Place(PlaceKind.COOKIE, "s"),)) == found


def test_the_scheme_of_authorization_is_written_in_any_case():
    call = a_call(headers={"authorization": "BEARER t"})

    assert call.find(header("authorization", "Bearer ")) == "t"
    assert call.find(header("authorization", "Bearer")) == "t"


def test_the_first_place_with_anything_in_it_counts():
    places = (*query("a"), *query("b"), *header("c"))

    assert a_call("/x?b=2&a=1", {"c": "3"}).find(places) == "1"
    assert a_call("/x?b=2", {"c": "3"}).find(places) == "2"
    assert a_call("/x", {"c": "3"}).find(places) == "3"
    assert a_call("/x?a=", {"c": "3"}).find(places) == ""


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("application/grpc", True),
        ("application/grpc+proto", True),
        ("application/grpc; charset=x", True),
        ("application/grpc-web", False),
        ("application/grpc-web+proto", False),
        ("application/json", False),
        ("", False),
    ],
)
def test_grpc_is_what_envoy_takes_for_grpc(content_type, expected):
    assert a_call(headers={"content-type": content_type}).is_grpc is expected


@pytest.mark.parametrize(
    ("settings", "forwarded_for", "address"),
    [
        (Settings(), None, "192.0.2.7"),
        (Settings(), "198.51.100.1", "192.0.2.7"),
        # With use_remote_address Envoy has appended the peer already.
        (Settings(trusted_hops=1), "198.51.100.1,192.0.2.7", "198.51.100.1"),
        (Settings(trusted_hops=1), "203.0.113.9, 198.51.100.1,192.0.2.7", "198.51.100.1"),
        (Settings(trusted_hops=1), "192.0.2.7", "192.0.2.7"),
        (Settings(trusted_hops=2, use_remote_address=False), "10.0.0.1, 10.0.0.2, 10.0.0.3", "10.0.0.1"),
        (Settings(trusted_hops=2, use_remote_address=False), "10.0.0.2, 10.0.0.3", "192.0.2.7"),
        (Settings(use_remote_address=False), "10.0.0.2, 10.0.0.3", "10.0.0.3"),
        (Settings(use_remote_address=False), None, "192.0.2.7"),
        (Settings(trusted_hops=1), "nonsense,192.0.2.7", "192.0.2.7"),
        (Settings(trusted_hops=1), "2001:db8::1,192.0.2.7", "2001:db8::1"),
    ],
)
def test_the_clients_address_is_what_trusted_proxies_say(settings, forwarded_for, address):
    headers = {"x-forwarded-for": forwarded_for} if forwarded_for else {}

    assert a_call(headers=headers, trusted=hops(settings)).address == address


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ("for=1.2.3.4", "1.2.3.4"),
        ("For=1.2.3.4", "1.2.3.4"),
        ('for="[::1]"', "::1"),
        ('for="[2001:db8::1]:4711"', "2001:db8::1"),
        ('for="1.2.3.4:80"', "1.2.3.4"),
        ("by=5.6.7.8;for=1.2.3.4;host=cnn.com;proto=http", "1.2.3.4"),
        ("by=5.6.7.8; for=1.2.3.4; host=cnn.com; proto=http", "1.2.3.4"),
        ("for=9.9.9.9, for=1.2.3.4", "1.2.3.4"),
        ("for=1.2.3.4, by=5.6.7.8", "192.0.2.7"),
        ("for=unknown", "192.0.2.7"),
        ("for=_hidden", "192.0.2.7"),
        ("nonsense", "192.0.2.7"),
        ("", "192.0.2.7"),
    ],
)
def test_the_forwarded_header_counts_only_when_it_is_believed(forwarded, address):
    headers = {"forwarded": forwarded}

    assert a_call(headers=headers, forwarded=True).address == address
    assert a_call(headers=headers).address == "192.0.2.7"


def test_a_client_behind_a_unix_socket_has_no_address():
    assert Call(b"").address == ""
