"""Example lines are what a newcomer pastes: they must name the right place of a credential and the right host."""

import pytest

from authz.cli.curl import examples, guard, line, sample_path
from authz.model.auth import (
    Alternative,
    JwtProvider,
    JwtRequirement,
    Place,
    PlaceKind,
    Requirement,
)
from authz.model.paths import Template
from authz.model.service import Operation, ServiceConfig
from authz.settings import Settings

URL = "http://127.0.0.1:8080"
KEY = Alternative(needs_key=True)
JWT = Alternative(jwt=JwtRequirement("issuer"))
SCOPED = Alternative(jwt=JwtRequirement("issuer", scopes=("write",)))
BOTH = Alternative(needs_key=True, jwt=JwtRequirement("issuer"))


def an_operation(method="GET", path="/v1/shelves", *alternatives, **more):
    return Operation(f"api.{method}", method, Template.parse(path), Requirement(alternatives), **more)


def a_service(*operations, name="shop.example"):
    provider = JwtProvider("issuer", "https://issuer.example", "https://issuer.example/keys")
    return ServiceConfig(name, operations=operations, providers=(provider,))


@pytest.mark.parametrize(
    ("path", "sample"),
    [
        ("/", "/"),
        ("/v1/shelves", "/v1/shelves"),
        ("/v1/shelves/{id}", "/v1/shelves/1"),
        ("/v1/{name=shelves/*}/books", "/v1/shelves/1/books"),
        ("/files/**", "/files/path"),
        ("/v1/shelves/{id}:clear", "/v1/shelves/1:clear"),
    ],
)
def test_a_sample_path_is_one_that_the_template_matches(path, sample):
    assert sample_path(an_operation("GET", path)) == sample

    assert Template.parse(path).matches(sample)


@pytest.mark.parametrize(
    ("alternative", "credentials"),
    [
        (KEY, "-H 'x-api-key: YOUR_API_KEY'"),
        (Alternative(True, (Place(PlaceKind.QUERY, "key"),)), "?key=YOUR_API_KEY"),
        (Alternative(True, (Place(PlaceKind.COOKIE, "sid"),)), "--cookie sid=YOUR_API_KEY"),
        (
            Alternative(True, (Place(PlaceKind.QUERY, "key"), Place(PlaceKind.HEADER, "x-key"))),
            "-H 'x-key: YOUR_API_KEY'",
        ),
        (JWT, "-H 'authorization: Bearer YOUR_TOKEN'"),
    ],
)
def test_a_credential_stands_where_the_api_looks_for_it(alternative, credentials):
    (example,) = examples([a_service(an_operation("GET", "/v1/shelves", alternative))], URL, Settings())

    assert credentials in example.command


def test_there_is_one_line_for_each_kind_of_credential():
    service = a_service(
        an_operation("GET", "/open"),
        an_operation("GET", "/open/{too}"),
        an_operation("GET", "/key", KEY),
        an_operation("GET", "/token", JWT),
        an_operation("GET", "/both", BOTH),
        an_operation("GET", "/either", KEY, JWT),
    )

    titles = [example.title for example in examples([service], URL, Settings())]

    assert titles == [
        "open",
        "API key",
        "JWT of https://issuer.example",
        "API key + JWT of https://issuer.example",
    ]


def test_real_credentials_replace_the_placeholders():
    (example,) = examples([a_service(an_operation("GET", "/b", BOTH))], URL, Settings(), key="the-key", token="a.b.c")

    assert "x-api-key: the-key" in example.command
    assert "authorization: Bearer a.b.c" in example.command


def test_the_host_is_named_when_several_services_are_behind_one_gateway():
    services = [a_service(an_operation(), name="one.example"), a_service(an_operation(), name="two.example")]

    one, two = examples(services, URL, Settings(default_service="one.example"))

    assert one.title == "one.example: open"
    assert "Host:" not in one.command
    assert "-H 'Host: two.example'" in two.command


def test_methods_bodies_and_self_signed_certificates_have_their_flags():
    settings = Settings(tls_self_signed=True, tls_client_ca="ca.pem")

    command = line(an_operation("POST"), "https://127.0.0.1:8080", settings)

    assert command == (
        "curl -i -k --cert client.pem --key client-key.pem -X POST"
        " -H 'content-type: application/json' -d '{}' https://127.0.0.1:8080/v1/shelves"
    )


def test_operations_that_no_document_wrote_are_no_examples():
    assert examples([a_service(an_operation(generated=True))], URL, Settings()) == ()


@pytest.mark.parametrize(
    ("operation", "words"),
    [
        (an_operation(), "open"),
        (an_operation("GET", "/", KEY), "API key"),
        (an_operation("GET", "/", KEY, JWT), "API key or JWT of https://issuer.example"),
        (an_operation("GET", "/", BOTH), "API key + JWT of https://issuer.example"),
        (an_operation("GET", "/", SCOPED, JWT), "JWT of https://issuer.example"),
    ],
)
def test_guards_are_told_in_words(operation, words):
    assert guard(a_service(operation), operation) == words


def test_optional_credentials_are_called_so():
    operation = Operation("api.Get", "GET", Template.parse("/"), Requirement((JWT,), optional=True))

    assert guard(a_service(operation), operation) == "JWT of https://issuer.example (optional)"
