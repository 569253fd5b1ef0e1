"""What documents mean: the same API in both families, and each extension for itself."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from authz.model.auth import (
    DEFAULT_KEY_PLACES,
    DEFAULT_TOKEN_PLACES,
    OPEN,
    Alternative,
    JwtRequirement,
    Place,
    PlaceKind,
)
from authz.model.quota import Cost, Limit, Unit
from authz.model.service import LOCAL, Backend, Operation, PathTranslation, Protocol, ServiceConfig, SourceText
from authz.sources import compile_service

HOST = "shop.example.com"
INFO = {"title": "Shop", "version": "1.0.0"}


def compiled(*documents: dict[str, Any], warnings: tuple[str, ...] = (), service: str = "") -> ServiceConfig:
    texts = [SourceText(f"{number}.yaml", yaml.safe_dump(one)) for number, one in enumerate(documents, 1)]
    result = compile_service(texts, service=service)
    assert not result.errors
    assert tuple(found.code for found in result.warnings) == warnings
    return result.configs[0]


def swagger(operation: dict[str, Any] | None = None, **root: Any) -> dict[str, Any]:
    paths = {"/items/{id}": {"get": {"operationId": "getItem", **(operation or {})}}}
    named = {key.replace("_", "-") if key.startswith("x_") else key: value for key, value in root.items()}
    return {"swagger": "2.0", "info": INFO, "host": HOST, "paths": paths, **named}


def openapi(operation: dict[str, Any] | None = None, **root: Any) -> dict[str, Any]:
    document = swagger(operation, **root)
    del document["swagger"], document["host"]
    return {"openapi": "3.0.4", "servers": [{"url": f"https://{HOST}"}], **document}


def only(config: ServiceConfig) -> Operation:
    (operation,) = config.operations
    return operation


KEY = {"type": "apiKey", "in": "query", "name": "key"}
JWT = {"type": "oauth2", "flow": "implicit", "authorizationUrl": "", "x-google-issuer": "one"}
SCHEMES = {"key": KEY, "jwt": JWT, "other": {**JWT, "x-google-issuer": "two"}, "basic": {"type": "basic"}}
NEEDS_KEY = Alternative(needs_key=True, key_places=DEFAULT_KEY_PLACES)
NEEDS_JWT = Alternative(jwt=JwtRequirement("jwt"))
NEEDS_BOTH = Alternative(needs_key=True, key_places=DEFAULT_KEY_PLACES, jwt=JwtRequirement("jwt"))
NEEDS_OTHER = Alternative(jwt=JwtRequirement("other"))


@pytest.mark.parametrize(
    ("security", "alternatives", "optional", "warnings"),
    [
        ([], (), False, ()),
        ([{}], (), False, ()),
        ([{"key": []}], (NEEDS_KEY,), False, ()),
        ([{"key": [], "jwt": []}], (NEEDS_BOTH,), False, ()),
        ([{"key": []}, {"jwt": []}], (NEEDS_KEY, NEEDS_JWT), False, ("security-key-or-jwt",)),
        ([{"jwt": []}, {"other": []}], (NEEDS_JWT, NEEDS_OTHER), False, ()),
        ([{"jwt": []}, {}], (NEEDS_JWT,), True, ()),
        ([{"key": [], "basic": []}], (NEEDS_KEY,), False, ("scheme-unsupported",)),
        (
            [{"jwt": ["r", "w"]}],
            (Alternative(jwt=JwtRequirement("jwt", scopes=("r", "w"))),),
            False,
            ("security-scopes",),
        ),
    ],
)
def test_security_means_what_openapi_says(
    security: list[Any], alternatives: tuple[Alternative, ...], optional: bool, warnings: tuple[str, ...]
) -> None:
    document = swagger({"security": security}, securityDefinitions=SCHEMES)
    requirement = only(compiled(document, warnings=warnings)).requirement
    assert requirement.alternatives == alternatives
    assert requirement.optional is optional


def test_an_operation_inherits_the_security_of_its_document_or_replaces_it() -> None:
    inherited = swagger(securityDefinitions=SCHEMES, security=[{"key": []}])
    assert only(compiled(inherited)).requirement.alternatives == (NEEDS_KEY,)
    replaced = swagger({"security": []}, securityDefinitions=SCHEMES, security=[{"key": []}])
    assert only(compiled(replaced)).requirement is OPEN


@pytest.mark.parametrize(
    ("root", "operation", "optional"), [(True, None, True), (True, False, False), (None, True, True)]
)
def test_x_authz_optional(root: bool | None, operation: bool | None, optional: bool) -> None:
    document = swagger({"security": [{"jwt": []}]}, securityDefinitions=SCHEMES)
    if root is not None:
        document["x-authz-optional"] = root
    if operation is not None:
        document["paths"]["/items/{id}"]["get"]["x-authz-optional"] = operation
    requirement = only(compiled(document)).requirement
    assert requirement.optional is optional
    assert requirement.alternatives == (NEEDS_JWT,)


HEADER = Place(PlaceKind.HEADER, "x-shop-key")


@pytest.mark.parametrize(
    ("declared", "places"),
    [
        ([("query", "key")], DEFAULT_KEY_PLACES),
        ([("header", "X-API-Key")], DEFAULT_KEY_PLACES),
        ([("query", "api_key"), ("header", "x-api-key")], DEFAULT_KEY_PLACES),
        ([("query", "Key")], (Place(PlaceKind.QUERY, "Key"),)),
        ([("header", "X-Shop-Key")], (HEADER,)),
        ([("header", "X-Shop-Key"), ("query", "key")], (HEADER, Place(PlaceKind.QUERY, "key"))),
        ([("cookie", "k")], (Place(PlaceKind.COOKIE, "k"),)),
    ],
)
def test_keys_are_looked_for_where_they_are_declared(
    declared: list[tuple[str, str]], places: tuple[Place, ...]
) -> None:
    schemes = {f"s{n}": {"type": "apiKey", "in": where, "name": name} for n, (where, name) in enumerate(declared)}
    document = swagger({"security": [{key: [] for key in schemes}]}, securityDefinitions=schemes)
    warnings = ("security-two-keys",) if len(declared) > 1 else ()
    assert only(compiled(document, warnings=warnings)).requirement.alternatives[0].key_places == places


@pytest.mark.parametrize(
    ("security", "alternatives"),
    [
        ([{"own": []}, {"query": []}], [((HEADER, Place(PlaceKind.QUERY, "q")), None)]),
        (
            [{"own": [], "jwt": []}, {"query": [], "jwt": []}],
            [((HEADER, Place(PlaceKind.QUERY, "q")), JwtRequirement("jwt"))],
        ),
        ([{"key": []}, {"own": []}], [((*DEFAULT_KEY_PLACES, HEADER), None)]),
        ([{"own": []}, {"own": []}], [((HEADER,), None)]),
        ([{"own": [], "jwt": []}, {"own": []}], [((HEADER,), JwtRequirement("jwt")), ((HEADER,), None)]),
    ],
)
def test_ways_in_that_differ_in_the_place_of_the_key_are_one(
    security: list[Any], alternatives: list[tuple[tuple[Place, ...], JwtRequirement | None]]
) -> None:
    own = {"type": "apiKey", "in": "header", "name": "X-Shop-Key"}
    query = {"type": "apiKey", "in": "query", "name": "q"}
    document = swagger({"security": security}, securityDefinitions={**SCHEMES, "own": own, "query": query})
    requirement = only(compiled(document)).requirement
    assert [(one.key_places, one.jwt) for one in requirement.alternatives] == alternatives


def test_where_people_sign_in_stands_at_a_flow_in_version_3() -> None:
    flows = {"implicit": {"authorizationUrl": "https://one.example/authorize", "scopes": {}}}
    scheme = {"type": "oauth2", "flows": flows, "x-google-auth": {"issuer": "one"}}
    text = {
        "openapi": "3.0.4",
        "info": {"title": "T", "version": "1"},
        "servers": [{"url": "https://shop.example.com"}],
        "components": {"securitySchemes": {"jwt": scheme}},
        "paths": {"/a": {"get": {"operationId": "A", "security": [{"jwt": []}]}}},
    }
    (provider,) = compiled(text).providers
    assert provider.authorization_url == "https://one.example/authorize"


def test_a_scheme_may_be_called_like_an_extension() -> None:
    document = swagger({"security": [{"x-api-key": []}]}, securityDefinitions={"x-api-key": KEY})
    assert only(compiled(document)).requirement.alternatives == (NEEDS_KEY,)


LOCATIONS = [{"header": "X-Token", "value_prefix": "Token "}, {"query": "Token"}, {"cookie": "t"}]
PLACES = (Place(PlaceKind.HEADER, "x-token", "Token "), Place(PlaceKind.QUERY, "Token"), Place(PlaceKind.COOKIE, "t"))


def test_a_provider_of_openapi_2() -> None:
    scheme = {
        **JWT,
        "x-google-jwks_uri": "https://issuer.example/keys",
        "x-google-audiences": "one, two,three",
        "x-google-jwt-locations": LOCATIONS,
        "x-authz-client-ids": ["web", "app"],
    }
    config = compiled(swagger({"security": [{"jwt": []}]}, securityDefinitions={"jwt": scheme}))
    provider = config.provider("jwt")
    assert (provider.issuer, provider.jwks_uri) == ("one", "https://issuer.example/keys")
    assert provider.audiences == ("one", "two", "three")
    assert provider.places == PLACES
    assert provider.line > 1
    assert only(config).requirement.alternatives[0].jwt == JwtRequirement("jwt", client_ids=("web", "app"))


def test_a_provider_of_openapi_3() -> None:
    auth = {
        "issuer": "one",
        "jwksUri": "https://issuer.example/keys",
        "audiences": ["one", "two"],
        "jwtLocations": [{"header": "X-Token", "valuePrefix": "Token "}],
    }
    scheme = {"type": "http", "scheme": "bearer", "x-google-auth": auth}
    operation = {"security": [{"jwt": []}], "x-authz-client-ids": ["web"]}
    config = compiled(openapi(operation, components={"securitySchemes": {"jwt": scheme}}))
    provider = config.provider("jwt")
    assert (provider.issuer, provider.jwks_uri, provider.audiences) == ("one", auth["jwksUri"], ("one", "two"))
    assert provider.places == PLACES[:1]
    assert only(config).requirement.alternatives[0].jwt == JwtRequirement("jwt", client_ids=("web",))


@pytest.mark.parametrize(
    ("scheme_says", "operation_says", "allowed"),
    [(None, None, None), (["web"], None, ("web",)), (["web"], [], ()), ([], None, ()), ([], ["app"], ("app",))],
)
def test_an_empty_list_of_client_ids_is_nobody(scheme_says, operation_says, allowed) -> None:
    said = [{"x-authz-client-ids": one} if one is not None else {} for one in (scheme_says, operation_says)]
    scheme = {"type": "http", "scheme": "bearer", "x-google-auth": {"issuer": "one"}, **said[0]}
    operation = {"security": [{"jwt": []}], **said[1]}
    config = compiled(openapi(operation, components={"securitySchemes": {"jwt": scheme}}))
    assert only(config).requirement.alternatives[0].jwt == JwtRequirement("jwt", client_ids=allowed)


def test_plain_openid_connect_needs_no_extension() -> None:
    url = "https://issuer.example/realm/.well-known/openid-configuration"
    schemes = {"oidc": {"type": "openIdConnect", "openIdConnectUrl": url}}
    provider = compiled(openapi({"security": [{"oidc": []}]}, components={"securitySchemes": schemes})).provider("oidc")
    assert provider.issuer == "https://issuer.example/realm"
    assert provider.jwks_uri == ""
    assert provider.places == DEFAULT_TOKEN_PLACES


def test_legacy_spellings_of_issuer_and_key_set() -> None:
    scheme = {"type": "oauth2", "x-issuer": "one", "x-jwks_uri": "http://issuer.example/keys"}
    provider = compiled(swagger({"security": [{"jwt": []}]}, securityDefinitions={"jwt": scheme})).provider("jwt")
    assert (provider.issuer, provider.jwks_uri) == ("one", "http://issuer.example/keys")


def test_providers_that_nothing_asks_for_are_left_out() -> None:
    assert compiled(swagger(securityDefinitions=SCHEMES)).providers == ()


WITH_AUDIENCE = JwtRequirement("jwt", ("a", "b"))


@pytest.mark.parametrize(
    ("security", "alternatives"),
    [
        (None, (Alternative(jwt=WITH_AUDIENCE),)),
        ([{"jwt": []}], (Alternative(jwt=WITH_AUDIENCE),)),
        ([{"key": []}], (Alternative(needs_key=True, key_places=DEFAULT_KEY_PLACES, jwt=WITH_AUDIENCE),)),
        ([{"other": []}], (NEEDS_OTHER, Alternative(jwt=WITH_AUDIENCE))),
    ],
)
def test_x_security_adds_tokens_and_replaces_audiences(security: Any, alternatives: tuple[Alternative, ...]) -> None:
    operation = {"x-security": [{"jwt": {"audiences": ["a", "b"]}}]}
    if security is not None:
        operation["security"] = security
    document = swagger(operation, securityDefinitions=SCHEMES)
    assert only(compiled(document)).requirement.alternatives == alternatives


APPEND, CONSTANT = PathTranslation.APPEND, PathTranslation.CONSTANT
ADDRESS = "https://b.example/base"


@pytest.mark.parametrize(
    ("fields", "backend"),
    [
        ({"address": ADDRESS}, Backend(ADDRESS, CONSTANT, jwt_audience=ADDRESS, disable_auth=False)),
        (
            {"address": "https://b.example:8443/base/?q=1", "disable_auth": False},
            Backend("https://b.example:8443/base", CONSTANT, jwt_audience="https://b.example", disable_auth=False),
        ),
        ({"address": ADDRESS, "disable_auth": True}, Backend(ADDRESS, CONSTANT)),
        ({"address": ADDRESS, "jwt_audience": "me"}, Backend(ADDRESS, CONSTANT, jwt_audience="me", disable_auth=False)),
        (
            {"address": "grpcs://b.example:443", "disable_auth": False},
            Backend("grpcs://b.example:443", CONSTANT, jwt_audience="https://b.example", disable_auth=False),
        ),
        ({"address": "b.example", "disable_auth": True}, Backend("https://b.example", CONSTANT)),
        ({"address": "HTTP://[::1]:80", "disable_auth": True}, Backend("http://[::1]:80", CONSTANT)),
        (
            {"address": ADDRESS, "disable_auth": True, "path_translation": "APPEND_PATH_TO_ADDRESS", "protocol": "h2"},
            Backend(ADDRESS, APPEND, protocol=Protocol.HTTP2),
        ),
        ({"address": ADDRESS, "disableAuth": True, "pathTranslation": "APPEND_PATH_TO_ADDRESS"}, Backend(ADDRESS)),
        ({"deadline": 25}, Backend(deadline=25.0)),
        ({"deadline": "7.5"}, Backend(deadline=7.5)),
    ],
)
def test_a_backend_of_an_operation(fields: dict[str, Any], backend: Backend) -> None:
    warnings = ("grpc-unnamed",) if backend.address.startswith("grpc") else ()
    assert only(compiled(swagger({"x-google-backend": fields}), warnings=warnings)).backend == backend


def test_the_backend_of_an_operation_replaces_the_documents_as_a_whole() -> None:
    root = {"address": "https://root.example", "deadline": 3, "disable_auth": True}
    assert only(compiled(swagger(x_google_backend=root))).backend == Backend("https://root.example", APPEND, 3.0)
    own = swagger({"x-google-backend": {"address": ADDRESS, "disable_auth": True}}, x_google_backend=root)
    assert only(compiled(own)).backend == Backend(ADDRESS, CONSTANT)


def test_backends_of_openapi_3_are_named() -> None:
    management = {"backends": {"main": {"address": ADDRESS, "disableAuth": True, "deadline": 4}}}
    root = openapi(x_google_api_management=management, **{"x-google-backend": "main"})
    assert only(compiled(root)).backend == Backend(ADDRESS, APPEND, 4.0)
    own = openapi({"x-google-backend": "main"}, x_google_api_management=management)
    assert only(compiled(own)).backend == Backend(ADDRESS, CONSTANT, 4.0)
    assert only(compiled(openapi(x_google_api_management=management))).backend == LOCAL


def test_allow_all_adds_what_the_document_leaves_out() -> None:
    document = swagger(x_google_allow="ALL", basePath="/v1", securityDefinitions=SCHEMES, security=[{"key": []}])
    document["paths"]["/**"] = {"get": {"operationId": "rest"}}
    document["x-google-backend"] = {"address": ADDRESS, "disable_auth": True}
    config = compiled(document)
    declared = [one for one in config.operations if not one.generated]
    generated = [one for one in config.operations if one.generated]
    assert all(one.requirement.alternatives == (NEEDS_KEY,) for one in declared)
    assert {one.method for one in generated} == {"DELETE", "PATCH", "POST", "PUT"}
    assert {one.template.text for one in generated} == {"/v1/**"}
    assert all(one.requirement is OPEN and one.backend.address == ADDRESS for one in generated)
    assert generated[0].short_name == "Google_Autogenerated_Unrecognized_Delete_Method_Call"


def test_two_documents_may_both_allow_all() -> None:
    second = {**swagger(x_google_allow="all"), "info": {"title": "t", "version": "2.0.0"}, "basePath": "/v2"}
    third = {**second, "info": {"title": "t", "version": "3.0.0"}, "paths": {}}
    texts = [one.template.text for one in compiled(second, third).operations if one.generated]
    assert texts == ["/v2/**"] * 5


@pytest.mark.parametrize(
    "document",
    [
        swagger(
            {"security": [{"key": []}]},
            securityDefinitions=SCHEMES,
            x_google_endpoints=[{"name": HOST, "allowCors": True}],
        ),
        {
            **openapi({"security": [{"key": []}]}, components={"securitySchemes": SCHEMES}),
            "servers": [{"url": f"https://{HOST}", "x-google-endpoint": {"allowCors": True}}],
        },
        openapi({"security": []}, x_google_api_management={"allowCors": True}),
    ],
)
def test_allow_cors_passes_options_of_every_shape(document: dict[str, Any]) -> None:
    item = document["paths"]["/items/{id}"]
    item["put"] = (
        {"operationId": "putItem", "x-google-backend": {}} if "swagger" in document else {"operationId": "putItem"}
    )
    document["paths"]["/own"] = {"options": {"operationId": "own"}, "get": {"operationId": "getOwn"}}
    config = compiled(document)
    assert config.allow_cors
    (cors,) = [one for one in config.operations if one.generated]
    assert (cors.method, cors.template.text, cors.short_name) == (
        "OPTIONS",
        "/items/{id}",
        "Authz_Autogenerated_CORS_GetItem",
    )
    assert cors.requirement is OPEN
    assert cors.backend == config.operations[0].backend


def test_metrics_limits_and_costs_of_openapi_2() -> None:
    management = {
        "metrics": [{"name": "reads", "displayName": "Reads", "value_type": "INT64", "metric_kind": "DELTA"}],
        "quota": {
            "limits": [{"name": "lim", "metric": "reads", "unit": "1/{project}/min", "values": {"STANDARD": "-1"}}]
        },
    }
    document = swagger({"x-google-quota": {"metricCosts": {"reads": "2"}}}, x_google_management=management)
    config = compiled(document)
    assert [metric.display_name for metric in config.metrics] == ["Reads"]
    assert config.limits == (Limit("lim", "reads", -1),)
    assert only(config).costs == (Cost("reads", 2),)


@pytest.mark.parametrize(("meant", "warnings"), [(True, ()), (False, ("security-scopes",))])
def test_scopes_that_were_always_meant_are_no_surprise(meant: bool, warnings: tuple[str, ...]) -> None:
    schemes = {"jwt": {**JWT, "x-authz-scopes": meant}}
    config = compiled(swagger({"security": [{"jwt": ["read"]}]}, securityDefinitions=schemes), warnings=warnings)
    assert only(config).requirement.alternatives[0].jwt == JwtRequirement("jwt", scopes=("read",))


def test_a_limit_may_have_the_name_of_its_metric() -> None:
    limit = {"name": "shop/read_requests", "metric": "shop/read_requests", "unit": "1/min/{project}"}
    management = {
        "metrics": [{"name": "shop/read_requests", "valueType": "INT64", "metricKind": "GAUGE"}],
        "quota": {"limits": [limit | {"values": {"STANDARD": 5}}]},
    }
    config = compiled(swagger({}, x_google_management=management))
    assert config.limits == (Limit("shop/read_requests", "shop/read_requests", 5),)


def test_metrics_limits_and_costs_of_openapi_3() -> None:
    limits = {
        "minute": {"metric": "reads", "values": 1000},
        "day": {"metric": "reads", "values": 0, "unit": "2/d/{project}"},
    }
    management = {"metrics": {"reads": None}, "quota": {"limits": limits}}
    config = compiled(openapi({"x-google-quota": {"metric_costs": {"reads": 0}}}, x_google_api_management=management))
    assert set(config.limits) == {Limit("minute", "reads", 1000), Limit("day", "reads", 0, Unit.DAY, 2)}
    assert only(config).costs == (Cost("reads", 0),)


def test_references_and_shared_parameters() -> None:
    document = swagger(basePath="/v1/")
    document["parameters"] = {"Id": {"name": "id", "in": "path"}, "Alias": {"$ref": "#/parameters/Id"}}
    document["paths"] = {
        "/a~b": {"$ref": "#/definitions/item"},
        "/items/{id}": {
            "parameters": [
                {"$ref": "#/parameters/Alias"},
                {"name": "page", "in": "query"},
                {"name": "h", "in": "header"},
            ],
            "post": {
                "operationId": "post",
                "summary": " Post.\nMore.",
                "parameters": [{"name": "thing", "in": "body"}],
            },
        },
    }
    document["definitions"] = {"item": {"get": {"operationId": "shared", "parameters": [{"$ref": "#/paths/~1x"}][:0]}}}
    config = compiled(document)
    shared, post = config.operations
    assert (shared.template.text, shared.short_name) == ("/v1/a~b", "Shared")
    assert (post.parameters, post.body_name, post.summary) == (("id", "page"), "thing", "Post.")
    assert (post.file, post.line > 1, post.selector) == ("1.yaml", True, "1.shop_example_com.Post")


def test_a_parameter_may_match_many_segments() -> None:
    parameter = {"name": "id", "in": "path", "required": True, "x-google-parameter": {"pattern": "**"}}
    operation = only(compiled(openapi({"parameters": [parameter]})))
    assert operation.template.text == "/items/{id=**}"
    assert operation.template.matches("/items/a/b/c")


@pytest.mark.parametrize(
    ("servers", "service", "host", "base", "warnings"),
    [
        ([{"url": f"https://{HOST}/v1/"}], "", HOST, "/v1", ()),
        ([{"url": "/v2"}], HOST, HOST, "/v2", ()),
        (None, HOST, HOST, "", ()),
        ([{"url": "/v2"}, {"url": f"https://{HOST}/v3"}], "", HOST, "/v3", ("server-ignored",)),
        ([{"url": "https://x.example"}, {"url": f"https://{HOST}/v4", "x-google-endpoint": {}}], "", HOST, "/v4", ()),
        ([{"url": "http://localhost:8080/v5"}], "", "localhost", "/v5", ("host-port",)),
        # The same place again, for WebSocket, is no other server.
        ([{"url": f"https://{HOST}/v6"}, {"url": f"wss://{HOST}/v6/"}], "", HOST, "/v6", ()),
        ([{"url": f"https://{HOST}/v7"}, {"url": f"wss://{HOST}/ws"}], "", HOST, "/v7", ("server-ignored",)),
        (
            [
                {
                    "url": "https://{region}.example.com/{v}",
                    "variables": {"region": {"default": "eu"}, "v": {"default": 6}},
                }
            ],
            "",
            "eu.example.com",
            "/6",
            (),
        ),
    ],
)
def test_the_server_names_the_service(
    servers: Any, service: str, host: str, base: str, warnings: tuple[str, ...]
) -> None:
    document = openapi(servers=servers)
    if servers is None:
        del document["servers"]
    config = compiled(document, service=service, warnings=warnings)
    assert config.name == host
    assert config.apis[0].base_path == base
    assert only(config).template.text == f"{base}/items/{{id}}"


@pytest.mark.parametrize(
    ("version", "name", "host", "expected"),
    [
        ("1.2.3", "", "shop.example.com", "1.shop_example_com"),
        ("v1", "", "shop.example.com", "v1.shop_example_com"),
        ("1.0", "shop", "shop.example.com", "1.0.shop"),
        ("2026-01-02", "shop", "shop.example.com", "2026_01_02.shop"),
        ("1.0.0", "", "1st-shop.example.com", "1._1st_shop_example_com"),
    ],
)
def test_apis_are_named_by_version_and_name_or_host(version: str, name: str, host: str, expected: str) -> None:
    document = {**swagger(), "host": host, "info": {"title": "t", "version": version}}
    if name:
        document["x-google-api-name"] = name
    config = compiled(document)
    assert [api.name for api in config.apis] == [expected]
    assert only(config).selector == f"{expected}.GetItem"


def test_an_unquoted_version_keeps_its_digits() -> None:
    text = yaml.safe_dump(swagger()).replace("version: 1.0.0", "version: 1.10").replace("'2.0'", "2.0")
    (config,) = compile_service([SourceText("api.yaml", text)]).configs
    assert config.apis[0].version == "1.10"


def test_an_operation_of_openapi_3_without_an_id_is_named_by_method_and_path() -> None:
    document = openapi()
    document["paths"] = {"/shop-items/{id}": {"get": {}}, "/shop/items/{id}": {"get": {}}}
    config = compiled(document, warnings=("operation-id-derived", "operation-id-derived"))
    assert [one.short_name for one in config.operations] == ["GetShopItemsId", "GetShopItemsId2"]


def test_timeouts_and_slashes() -> None:
    document = swagger({"x-authz-stream-timeout": "90s"}, x_authz_escaped_slashes="keep", x_authz_stream_timeout=30)
    document["paths"]["/events"] = {"get": {"operationId": "events"}}
    config = compiled(document)
    assert config.keep_escaped_slashes
    assert {one.short_name: one.stream_timeout for one in config.operations} == {"GetItem": 90.0, "Events": 30.0}


def test_the_root_path_below_a_base_path() -> None:
    document = swagger(basePath="/v1")
    document["paths"] = {"/": {"get": {"operationId": "root"}, "head": {"operationId": "headRoot"}}}
    assert [(one.method, one.template.text) for one in compiled(document).operations] == [
        ("GET", "/v1"),
        ("HEAD", "/v1"),
    ]


def test_operations_come_in_the_order_of_path_and_method() -> None:
    document = swagger()
    methods = ["head", "put", "post", "options", "delete", "get", "patch"]
    document["paths"] = {path: {m: {"operationId": m + path} for m in methods} for path in ("/b", "/a")}
    found = [(one.template.text, one.method) for one in compiled(document).operations]
    order = ["GET", "DELETE", "PATCH", "POST", "PUT", "OPTIONS", "HEAD"]
    assert found == [(path, method) for path in ("/a", "/b") for method in order]


HTTPS, WSS = {"url": f"https://{HOST}"}, {"url": f"wss://{HOST}"}


@pytest.mark.parametrize(
    ("document", "is_open"),
    [
        (swagger(), False),
        (swagger(schemes=["https"]), False),
        (swagger(schemes=["https", "wss"]), True),
        (swagger({"schemes": ["ws"]}), True),
        (swagger({"schemes": ["https"]}, schemes=["https", "wss"]), False),
        (swagger({"schemes": ["wss"]}, schemes=["https"]), True),
        (openapi(), False),
        (openapi(servers=[HTTPS, WSS]), True),
        (openapi({"servers": [WSS]}), True),
        (openapi({"servers": [HTTPS]}, servers=[HTTPS, WSS]), False),
        (openapi({"servers": [{"url": "WS://{where}/chat"}]}), True),
    ],
)
def test_websocket_is_open_only_where_a_scheme_or_a_server_declares_it(document: dict[str, Any], is_open: bool) -> None:
    assert only(compiled(document)).websocket is is_open


def test_a_path_of_openapi_3_declares_websocket_for_its_gets() -> None:
    document = openapi()
    document["paths"]["/items/{id}"] |= {"servers": [WSS], "put": {"operationId": "putItem"}}

    assert [(one.method, one.websocket) for one in compiled(document).operations] == [("GET", True), ("PUT", False)]
