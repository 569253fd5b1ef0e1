"""What Envoy does with a path, retold: the order of operations, and every step before it."""

import pytest

from authz.admin.matching import Target, choose, match
from authz.errors import UsageError
from authz.model.paths import Template
from authz.model.service import Api, Operation, ServiceConfig
from authz.settings import Settings

SHOP = ServiceConfig(
    "shop.example",
    apis=(Api("shop", "1", base_path="/v1"),),
    operations=tuple(
        Operation(f"shop.{name}", method, Template.parse(path))
        for name, method, path in [
            ("ListBooks", "GET", "/v1/books"),
            ("AddBook", "POST", "/v1/books"),
            ("GetBook", "GET", "/v1/books/{id}"),
            ("NewBooks", "GET", "/v1/books/new"),
            ("Files", "*", "/v1/files/**"),
            ("DeleteFile", "DELETE", "/v1/files/{name}"),
            ("Clear", "POST", "/v1/books/{id}:clear"),
        ]
    ),
)


def matched(method, path, **settings):
    return match(SHOP, method, path, Settings(**settings))


@pytest.mark.parametrize(
    ("method", "path", "operation"),
    [
        ("GET", "/v1/books", "ListBooks"),
        ("GET", "/v1/books/", "ListBooks"),
        ("POST", "/v1/books", "AddBook"),
        ("GET", "/v1/books/7", "GetBook"),
        ("GET", "/v1/books/new", "NewBooks"),
        ("DELETE", "/v1/files/a", "DeleteFile"),
        ("GET", "/v1/files/a", "Files"),
        ("PATCH", "/v1/files/a/b/c", "Files"),
        ("POST", "/v1/books/7:clear", "Clear"),
        ("GET", "/v1/x/../books", "ListBooks"),
        ("GET", "/v1//books", "ListBooks"),
        ("GET", "/v1/%62ooks", "ListBooks"),
    ],
)
def test_the_most_specific_operation_of_the_method_is_reached(method, path, operation):
    assert matched(method, path).operation.short_name == operation


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PUT", "/v1/books", 405),
        ("GET", "/v2/books", 404),
        ("GET", "/V1/books", 404),
        ("GET", "/v1/files/a%00", 400),
        ("GET", "/v1/files/a%2", 400),
        ("POST", "/v1/books/7%3Aclear", 400),
        ("GET", "/v1/books/7/8", 404),
        ("GET", "/v1/books/a%2Fb", 400),
        ("GET", "/v1/books/a%5cb", 400),
        ("GET", "/v2/%2F", 400),
    ],
)
def test_what_no_operation_takes_has_a_status_and_a_reason(method, path, status):
    found = matched(method, path)

    assert found.operation is None
    assert found.status == status
    assert found.reason


def test_a_405_says_what_is_allowed():
    assert matched("PUT", "/v1/books").allow == ("GET", "POST")


@pytest.mark.parametrize(
    ("path", "note"),
    [
        ("/v1/books/", "trailing slash"),
        ("/v1/./books", "normalised to /v1/books"),
        ("/v1//books", "slashes merged: /v1/books"),
        ("/v1/books/new", "more specific than /v1/books/{id}"),
        ("/V1/Books", "case-sensitive; /v1/books"),
        ("/books", "base path is missing: /v1/books"),
    ],
)
def test_what_surprises_people_is_noted(path, note):
    assert note in " ".join(matched("GET", path).notes)


def test_settings_turn_the_steps_off():
    assert matched("GET", "/v1/./books", normalize_path=False).status == 404
    assert matched("GET", "/v1//books", merge_slashes=False).status == 404
    assert matched("GET", "/v1/books/a%2Fb", escaped_slashes="keep").operation.short_name == "GetBook"
    assert matched("POST", "/v1/books/7:clear", colon_in_wildcards=False).operation.short_name == "Clear"


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("/v1/books?x=1&y=2", Target("", "/v1/books", "x=1&y=2")),
        ("https://shop.example/v1/books?x=1", Target("shop.example", "/v1/books", "x=1")),
        ("http://127.0.0.1:8080/v1", Target("", "/v1", "")),
        ("http://shop.example", Target("shop.example", "/", "")),
        ("/v1//books", Target("", "/v1//books", "")),
        ("//shop.example/x", Target("", "//shop.example/x", "")),
        ("/v1/books#part", Target("", "/v1/books", "")),
    ],
)
def test_a_target_is_a_path_or_a_url(text, target):
    assert Target.parse(text) == target


@pytest.mark.parametrize("text", ["", "books", "ftp://shop.example/x", "http://"])
def test_what_is_neither_is_refused(text):
    with pytest.raises(UsageError, match="neither a path nor a URL"):
        Target.parse(text)


OTHER = ServiceConfig("other.example")


@pytest.mark.parametrize(
    ("configs", "service", "host", "default", "chosen"),
    [
        ([SHOP], "", "", "", SHOP),
        ([SHOP], "", "elsewhere.example", "", SHOP),
        ([SHOP, OTHER], "other.example", "", "", OTHER),
        ([SHOP, OTHER], "", "other.example", "", OTHER),
        ([SHOP, OTHER], "", "", "other.example", OTHER),
        ([SHOP, OTHER], "", "elsewhere.example", "", None),
    ],
)
def test_the_service_is_the_one_named_else_the_host_s_else_the_default(configs, service, host, default, chosen):
    assert choose(configs, service, host, Settings(default_service=default)) is chosen


@pytest.mark.parametrize(("service", "message"), [("third.example", "no service"), ("", "several services")])
def test_an_unclear_service_is_a_wrong_usage(service, message):
    with pytest.raises(UsageError, match=message):
        choose([SHOP, OTHER], service, "", Settings())
