"""OpenAPI 3.1 in full, security and scopes in both dialects, and what gateways make of the documents."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from openapi_spec_validator import validate

from authz.frameworks import document, endpoints, message_types, messages, remote
from authz.frameworks.declare import apis
from authz.frameworks.document.definitions import Definitions
from authz.frameworks.service import Api, Version
from authz.model.auth import JwtRequirement
from authz.model.service import Operation, ServiceConfig, SourceText
from authz.sources.compile import Compiled, compile_texts

package = "TestDocument"  # what the schemas are named by
HOST = "shop.example.com"
AUTH0 = endpoints.Issuer("https://auth0.example/", "https://auth0.example/keys")
OIDC = endpoints.Issuer("https://oidc.example", None)


class Color(messages.Enum):
    RED = 2
    BLUE = 1


class Error(messages.Message):
    """A message that is called as a schema of ours."""

    text = messages.StringField(1)


class Item(messages.Message):
    """A thing.

    With a story.
    """

    name = messages.StringField(1, required=True)
    small = messages.IntegerField(2, variant=messages.Variant.INT32, default=0)
    unsigned = messages.IntegerField(3, variant=messages.Variant.UINT32)
    big = messages.IntegerField(4, default=7)
    raw = messages.BytesField(5, default=b"abc")
    color = messages.EnumField(Color, 6, default="RED")
    at = message_types.DateTimeField(7)
    part = messages.MessageField("Item", 8)
    parts = messages.MessageField("Item", 9, repeated=True)
    colors = messages.EnumField(Color, 10, repeated=True)
    weight = messages.FloatField(11, default=float("inf"))
    failure = messages.MessageField(Error, 12)


def an_api(methods: Mapping[str, dict[str, Any]], **said: Any) -> Api:
    def method(name: str, arguments: dict[str, Any]) -> Any:
        def function(self: Any, request: Any) -> Any:
            return request

        function.__name__, function.__qualname__ = name, f"Shop.{name}"
        function.__doc__ = arguments.pop("doc", None)
        taken = arguments.pop("request", message_types.VoidMessage)
        return endpoints.method(taken, arguments.pop("response", message_types.VoidMessage), **arguments)(function)

    made = type("Shop", (remote.Service,), {name: method(name, dict(one)) for name, one in methods.items()})
    api = endpoints.api(**({"name": "shop", "version": "1.2.0", "hostname": HOST} | said))
    (found,) = apis([api(made)])
    return found


def compiled(api: Api, version: Version, **options: Any) -> Compiled:
    text = json.dumps(document.openapi(api, version=version, **options))
    return compile_texts([SourceText("openapi.json", text)])


def deployed(api: Api, version: Version = "3.1") -> ServiceConfig:
    """The service as a gateway has it; nothing about the document is worth a remark."""
    found = compiled(api, version)
    assert found.findings == ()
    (config,) = found.configs
    return config


def operation(api: Api, version: Version = "3.1") -> Operation:
    (found,) = deployed(api, version).operations
    return found


def test_an_operation_says_all_that_the_server_does() -> None:
    container = endpoints.ResourceContainer(
        Item, id=messages.IntegerField(1, required=True), q=messages.StringField(2, repeated=True)
    )
    update = {
        "request": container, "response": Item, "path": "items/{id}", "http_method": "PUT",
        "doc": "Changes a thing.\n\n    Only if it is there.\n    ",
    }  # fmt: skip
    made = document.openapi(an_api({"update": update}, description="Things.", title="The shop"), version="3.1")
    validate(made)
    assert made["info"] == {"title": "The shop", "version": "1.2.0", "description": "Things."}
    assert made["servers"] == [{"url": "https://shop.example.com/_ah/api"}]
    error = {
        "description": "An error",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
    thing = {"application/json": {"schema": {"$ref": "#/components/schemas/TestDocumentItem"}}}
    assert made["paths"]["/shop/v1/items/{id}"]["put"] == {
        "operationId": "Shop_update",
        "summary": "Changes a thing.",
        "description": "Changes a thing.\n\nOnly if it is there.",
        "tags": ["Shop"],
        "parameters": [
            {
                "name": "id",
                "in": "path",
                "required": True,
                "schema": {"type": "string", "format": "int64", "pattern": "^-?[0-9]{1,19}$"},
            },
            {"name": "q", "in": "query", "schema": {"type": "array", "items": {"type": "string"}}},
        ],
        "requestBody": {"required": True, "content": thing},
        "responses": {"200": {"description": "A successful response", "content": thing}, "default": error},
    }


def test_a_schema_has_bounds_defaults_and_descriptions() -> None:
    schemas = document.openapi(an_api({"save": {"request": Item}}), version="3.1")["components"]["schemas"]
    item = {"$ref": "#/components/schemas/TestDocumentItem"}
    assert schemas["TestDocumentItem"] == {
        "type": "object",
        "description": "A thing.\n\nWith a story.",
        "required": ["name"],
        "properties": {
            "name": {"type": "string"},
            "small": {
                "type": "integer", "format": "int32", "minimum": -(2**31), "maximum": 2**31 - 1, "default": 0,
            },
            "unsigned": {"type": "integer", "format": "uint32", "minimum": 0, "maximum": 2**32 - 1},
            "big": {"type": "string", "format": "int64", "pattern": "^-?[0-9]{1,19}$", "default": "7"},
            "raw": {"type": "string", "format": "byte", "default": "YWJj"},
            "color": {"type": "string", "enum": ["BLUE", "RED"], "default": "RED"},
            "at": {"type": "string", "format": "date-time"},
            "part": item,
            "parts": {"type": "array", "items": item},
            "colors": {"type": "array", "items": {"type": "string", "enum": ["BLUE", "RED"]}},
            "weight": {"type": "number", "format": "double"},
            "failure": {"$ref": "#/components/schemas/TestDocumentError"},
        },
    }  # fmt: skip


def test_void_is_204_and_head_has_no_content() -> None:
    made = document.openapi(
        an_api({"drop": {"http_method": "DELETE", "path": "x"}, "look": {"http_method": "HEAD", "response": Item}}),
        version="3.1",
    )
    validate(made)
    assert list(made["paths"]["/shop/v1/x"]["delete"]["responses"]) == ["204", "default"]
    assert "content" not in made["paths"]["/shop/v1/look"]["head"]["responses"]["200"]


def test_the_schema_of_errors_makes_way_for_a_message_of_its_name() -> None:
    package = type(messages.Message)(
        "Error",
        (messages.Message,),
        {"__module__": "nowhere", "__qualname__": "Error", "text": messages.StringField(1)},
    )
    made = document.openapi(an_api({"get": {"response": package}}), version="3.1")
    assert {"Error", "Error2"} <= made["components"]["schemas"].keys()
    responses = made["paths"]["/shop/v1/get"]["post"]["responses"]
    assert responses["default"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Error2"}


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("my.pkg-name.Outer.Inner", "MyPkgNameOuterInner"),
        ("TestPackage._1_lower_case_name_", "TestPackage1LowerCaseName"),
        ("a.bC_d", "ABCD"),
        ("plain", "Plain"),
    ],
)
def test_names_of_schemas(name: str, key: str) -> None:
    definitions = Definitions("2.0")
    assert definitions.ref(name, lambda: {"type": "object"}) == {"$ref": f"#/definitions/{key}"}
    with pytest.raises(KeyError, match=key):
        definitions.ref(f"{name}-", lambda: {"type": "string"})
    assert definitions.schemas == {key: {"type": "object"}}


def test_two_messages_of_one_name_are_refused() -> None:
    def made() -> Any:
        place = {"__module__": __name__, "__qualname__": "Twin"}
        return type(messages.Message)("Twin", (messages.Message,), {**place, "text": messages.StringField(1)})

    api = an_api({"get": {"request": made(), "response": made()}})
    for error in (endpoints.ApiConfigurationError, KeyError):
        with pytest.raises(error, match="two schemas would be 'TestDocumentTwin'"):
            document.openapi(api)
    one = made()
    assert document.openapi(an_api({"get": {"request": one, "response": one}}))["definitions"].keys() == {
        "TestDocumentTwin"
    }


@pytest.mark.parametrize(
    ("hostname", "said", "url"),
    [
        (None, {"hostname": None}, "/_ah/api"),
        (None, {"base_path": "/"}, "https://shop.example.com"),
        ("localhost:8080", {}, "http://localhost:8080/_ah/api"),
        ("other.example.com", {}, "https://other.example.com/_ah/api"),
    ],
)
def test_servers(hostname: str | None, said: dict[str, Any], url: str) -> None:
    made = document.openapi(an_api({"get": {}}, **said), version="3.1", hostname=hostname)
    assert made["servers"] == [{"url": url}]
    assert document.openapi(an_api({"get": {}}, hostname=None)).get("host") is None


# What a gateway makes of it.


@pytest.mark.parametrize("version", ["2.0", "3.1"])
@pytest.mark.parametrize(
    ("said", "needs_key", "tokens"),
    [
        ({}, False, []),
        ({"audiences": []}, False, []),
        ({"api_key_required": True}, True, []),
        ({"audiences": ["b", "a"]}, False, [("google_id_token-b345e1dc", ("a", "b"))]),
        ({"audiences": ["a"], "api_key_required": True}, True, [("google_id_token-0cc175b9", ("a",))]),
        (
            {"audiences": {"auth0": ["a"], "oidc": ["b"]}, "issuers": {"auth0": AUTH0, "oidc": OIDC}},
            False,
            [("auth0-0cc175b9", ("a",)), ("oidc-92eb5ffe", ("b",))],
        ),
    ],
)
def test_who_may_call(version: Version, said: dict[str, Any], needs_key: bool, tokens: list[Any]) -> None:
    config = deployed(an_api({"get": {}}, **said), version)
    ways = config.operations[0].requirement.alternatives
    assert all(way.needs_key is needs_key for way in ways)
    assert [(way.jwt.provider, config.provider(way.jwt.provider).audiences) for way in ways if way.jwt] == tokens
    assert bool(ways) is (needs_key or bool(tokens))


@pytest.mark.parametrize("version", ["2.0", "3.1"])
def test_issuers_keep_their_keys(version: Version) -> None:
    config = deployed(
        an_api({"get": {}}, audiences={"auth0": ["a"], "oidc": ["b"]}, issuers={"auth0": AUTH0, "oidc": OIDC}), version
    )
    assert [(one.issuer, one.jwks_uri) for one in config.providers] == [
        (AUTH0.issuer, AUTH0.jwks_uri),
        (OIDC.issuer, ""),
    ]


@pytest.mark.parametrize("version", ["2.0", "3.1"])
@pytest.mark.parametrize(
    ("allowed", "seen"),
    [(None, None), (["*"], None), (["web", "*"], None), (["web", "ios"], ("web", "ios")), ([], ())],
)
def test_allowed_client_ids(version: Version, allowed: Any, seen: Any) -> None:
    api = an_api({"get": {}}, audiences=["a"], allowed_client_ids=allowed)
    assert [way.jwt and way.jwt.client_ids for way in operation(api, version).requirement.alternatives] == [seen]
    assert operation(an_api({"get": {}}, allowed_client_ids=allowed), version).requirement.is_open


@pytest.mark.parametrize("version", ["2.0", "3.1"])
@pytest.mark.parametrize(
    ("scopes", "ways"),
    [
        (None, [()]),
        ([endpoints.EMAIL_SCOPE], [()]),
        ([], [()]),
        (["a"], [("a",)]),
        (["a", "b c"], [("a",), ("b", "c")]),
        (["z", "b c", "c  b", "a"], [("z",), ("b", "c"), ("a",)]),
        ([endpoints.OAuth2Scope("a", "To read."), endpoints.EMAIL_SCOPE], [("a",), (endpoints.EMAIL_SCOPE,)]),
    ],
)
def test_scopes_are_any_of_the_list_and_all_of_a_string(version: Version, scopes: Any, ways: Any) -> None:
    api = an_api({"get": {}}, audiences=["a"], scopes=scopes)
    assert [way.jwt and way.jwt.scopes for way in operation(api, version).requirement.alternatives] == ways


def test_every_issuer_has_every_alternative_and_the_definition_says_the_scopes() -> None:
    read = endpoints.OAuth2Scope("read", "To read.")
    issuers = {"auth0": AUTH0, "oidc": OIDC}
    api = an_api(
        {"a": {"scopes": ["read", "write all"]}, "b": {}},
        audiences={"auth0": ["x"], "oidc": ["x"]}, issuers=issuers, scopes=[read], api_key_required=True,
    )  # fmt: skip
    made = document.openapi(api)
    assert made["paths"]["/shop/v1/a"]["post"]["security"] == [
        {"api_key": [], "auth0-9dd4e461": ["read"]},
        {"api_key": [], "auth0-9dd4e461": ["write", "all"]},
        {"api_key": [], "oidc-9dd4e461": ["read"]},
        {"api_key": [], "oidc-9dd4e461": ["write", "all"]},
    ]
    assert made["securityDefinitions"]["oidc-9dd4e461"]["scopes"] == {
        "read": "To read.",
        "write": "write",
        "all": "all",
    }
    assert "scopes" not in made["securityDefinitions"]["oidc"]


@pytest.mark.parametrize("version", ["2.0", "3.1"])
def test_optional_auth(version: Version) -> None:
    api = an_api({"get": {}}, audiences=["a"], optional_auth=True)
    assert operation(api, version).requirement.optional
    assert operation(api, version).requirement.alternatives[0].jwt == JwtRequirement("google_id_token-0cc175b9")
    assert document.openapi(api, version=version)["paths"]["/shop/v1/get"]["post"]["x-authz-optional"] is True
    assert "x-authz-optional" not in json.dumps(document.openapi(an_api({"get": {}}, optional_auth=True)))


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"scopes": ["read"]}, "scopes restrict nobody"),
        ({"allowed_client_ids": []}, "allowed_client_ids restrict nobody"),
        ({"scopes": ["read"], "allowed_client_ids": ["web"]}, "scopes and allowed_client_ids restrict nobody"),
        ({"scopes": ["read"], "audiences": ["a"]}, ""),
        ({"scopes": ["read"], "audiences": []}, ""),
        ({"scopes": [], "allowed_client_ids": ["*"]}, ""),
        ({}, ""),
    ],
)
def test_what_is_said_of_tokens_that_nobody_asks_for_is_told(
    said: dict[str, Any], told: str, caplog: pytest.LogCaptureFixture
) -> None:
    document.openapi(an_api({"get": {}}, **said))
    assert (told in caplog.text) if told else not caplog.records


@pytest.mark.parametrize("version", ["2.0", "3.1"])
def test_a_key_that_is_required_stays_so_where_a_token_is_optional(version: Version) -> None:
    api = an_api({"get": {}}, audiences=["a"], api_key_required=True, optional_auth=True)
    requirement = operation(api, version).requirement
    assert not requirement.optional
    assert [(way.needs_key, way.jwt is not None) for way in requirement.alternatives] == [(True, True), (True, False)]


@pytest.mark.parametrize("version", ["2.0", "3.1"])
def test_quotas(version: Version) -> None:
    names = ["shop/read_requests", "shop-read-requests", "m" * 80]
    limits = [endpoints.LimitDefinition(name, f"Limit {index}", index) for index, name in enumerate(names)]
    config = deployed(an_api({"get": {"metric_costs": {names[0]: 2, names[2]: 0}}}, limit_definitions=limits), version)
    assert [one.name for one in config.metrics] == names
    assert [(one.metric, one.value) for one in config.limits] == list(zip(names, range(3), strict=True))
    assert [(one.metric, one.amount) for one in config.operations[0].costs] == [(names[0], 2), (names[2], 0)]
    assert len({one.name for one in config.limits}) == 3


@pytest.mark.parametrize("version", ["2.0", "3.1"])
def test_versions_and_apis_are_one_service(version: Version) -> None:
    """Documents of one host are deployed together: with a name for each API, or with major versions that differ."""

    def text(api: Api, **options: Any) -> SourceText:
        made = document.openapi(api, version=version, **options)
        return SourceText(f"{api.name}{api.version}.json", json.dumps(made))

    versions = [an_api({"get": {}}, version=one, audiences=[one]) for one in ("1.0.0", "2.1.0")]
    found = compile_texts([text(api) for api in versions])
    assert found.findings == ()
    assert [one.template.text for one in found.configs[0].operations] == [
        "/_ah/api/shop/v1/get",
        "/_ah/api/shop/v2/get",
    ]
    several = [an_api({"get": {}}, name=name) for name in ("one", "two")]
    assert compile_texts([text(api, api_name=True) for api in several]).findings == ()


@pytest.mark.parametrize("version", ["2.0", "3.1"])
@pytest.mark.parametrize("name", ["Shop", "my-shop", "c" * 41])
def test_an_api_among_several_has_a_plain_name(version: Version, name: str) -> None:
    api = an_api({"get": {}}, name=name)
    assert document.openapi(api, version=version)
    with pytest.raises(endpoints.InvalidApiNameException, match=r"\[a-z\]\[a-z0-9\]\{0,39\}"):
        document.openapi(api, version=version, api_name=True)


@pytest.mark.parametrize(
    ("documentation", "written"),
    [("https://shop.example.com/docs", {"url": "https://shop.example.com/docs"}), ("See the wiki", None), (None, None)],
)
def test_documentation_is_a_url(documentation: Any, written: Any) -> None:
    made = document.openapi(an_api({"get": {}}, documentation=documentation), version="3.1")
    validate(made)
    assert made.get("externalDocs") == written


def test_one_path_has_one_spelling() -> None:
    by_id, by_name = (endpoints.ResourceContainer(**{name: messages.StringField(1)}) for name in ("id", "name"))
    api = an_api({
        "get": {"http_method": "GET", "path": "{id}:run", "request": by_id},
        "put": {"http_method": "PUT", "path": "{name}:run", "request": by_name},
    })  # fmt: skip
    made = document.openapi(api, version="3.1")
    validate(made)
    (path,) = made["paths"].values()
    assert [operation["parameters"][0]["name"] for operation in path.values()] == ["id", "id"]
    assert len(deployed(api).operations) == len(deployed(api, "2.0").operations) == 2


@pytest.mark.parametrize("version", ["2.0", "3.1"])
def test_escaped_slashes_pass_where_a_method_reads_the_undecoded_uri(version: Version) -> None:
    assert deployed(an_api({"get": {"use_request_uri": True}}), version).keep_escaped_slashes
    assert not deployed(an_api({"get": {}}), version).keep_escaped_slashes


def test_an_api_without_methods_is_valid_too() -> None:
    validate(document.openapi(an_api({}), version="3.1"))
