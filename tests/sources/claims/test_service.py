"""OpenAPI documents, protos and service YAMLs put together: what is served, how, and what holds where two speak."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from google.api import annotations_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.json_format import MessageToDict

from authz.model.auth import Place, PlaceKind
from authz.model.quota import Cost
from authz.model.service import Backend, PathTranslation, Protocol, SourceText
from authz.sources import compile_service, compile_texts, read_files

HEAD3 = """\
openapi: 3.0.4
info: {title: Shop, version: 1.0.0}
servers: [{url: https://shop.example.com}]
"""
YAML = "type: google.api.Service\nname: shop.example.com\n"
GET = """\
paths:
  /items/{itemId}:
    get:
      operationId: get
      x-authz-grpc: shop.v1.Items/Get
"""
TOKEN = """\
authentication:
  providers: [{id: one, issuer: one}]
  rules: [{selector: "*", requirements: [{provider_id: one}]}]
"""
KEY = 'usage: {rules: [{selector: "*", allow_unregistered_calls: false}]}\n'
GRPC = Backend("grpc://items.example.com", protocol=Protocol.HTTP2)
REST = Backend("http://items.example.com/rest")


def only(compiled):
    assert not compiled.errors, compiled.errors
    (config,) = compiled.configs
    return config


def rules(config):
    return {
        f"{service.name}.{method.name}": MessageToDict(method.options.Extensions[annotations_pb2.http])
        for file in FileDescriptorSet.FromString(config.descriptors).file
        for service in file.service
        for method in service.method
        if method.options.HasExtension(annotations_pb2.http)
    }


def of(config, selector):
    return [one for one in config.operations if one.selector == f"shop.v1.{selector}"]


def places(compiled, code):
    return [(one.file, one.line) for one in compiled.findings if one.code == code]


# What an operation becomes.


def test_an_operation_that_names_its_rpc_is_a_binding_of_it(shop):
    config = only(shop(GET.replace("get:", "get:\n      summary: One item.")))

    binding, own = of(config, "Items.Get")
    assert (binding.method, binding.template.text) == ("GET", "/items/{item_id}")
    assert (own.method, own.template.text, own.is_rpc_path) == ("POST", "/shop.v1.Items/Get", True)
    assert {(one.summary, one.file, one.line) for one in (binding, own)} == {("One item.", "openapi.yaml", 6)}
    assert all(one.speaks_grpc and one.backend == Backend(protocol=Protocol.HTTP2) for one in (binding, own))
    assert rules(config)["Items.Get"] == {"get": "/items/{item_id}"}


BODY = "parameters: [{in: body, name: NAME, schema: {type: object}}]"


@pytest.mark.parametrize(
    ("path", "method", "fields", "rule"),
    [
        ("/items", "get", "x-authz-grpc: shop.v1.Items/List", {"get": "/items"}),
        ("/items", "get", "x-authz-grpc: /shop.v1.Items/List", {"get": "/items"}),
        ("/items", "get", "x-authz-grpc: shop.v1.Items.List", {"get": "/items"}),
        ("/items", "get", "x-authz-grpc: {method: shop.v1.Items/List}", {"get": "/items"}),
        ("/items", "head", "x-authz-grpc: shop.v1.Items/List", {"custom": {"kind": "HEAD", "path": "/items"}}),
        ("/items/{like.id}", "delete", "x-authz-grpc: shop.v1.Items/List", {"delete": "/items/{like.id}"}),
        ("/items/{like.displayName}", "put", "x-authz-grpc: shop.v1.Items/List", {"put": "/items/{like.display_name}"}),
        ("/items/{itemId}:open", "get", "x-authz-grpc: shop.v1.Items/Get", {"get": "/items/{item_id}:open"}),
        (
            "/items/{itemId}",
            "get",
            "x-authz-grpc: shop.v1.Items/Get\n      parameters: [{in: path, name: itemId, required: true, DEEP}]",
            {"get": "/items/{item_id=**}"},
        ),
        (
            "/items",
            "post",
            f"x-authz-grpc: shop.v1.Items/Add\n      {BODY.replace('NAME', 'item')}",
            {"post": "/items", "body": "item"},
        ),
        (
            "/items",
            "post",
            f"x-authz-grpc: shop.v1.Items/Add\n      {BODY.replace('NAME', 'request')}",
            {"post": "/items", "body": "*"},
        ),
        (
            "/items",
            "patch",
            f"x-authz-grpc: {{method: shop.v1.Items/Add, body: item}}\n      {BODY.replace('NAME', 'request')}",
            {"patch": "/items", "body": "item"},
        ),
        (
            "/items",
            "post",
            f"x-authz-grpc: {{method: shop.v1.Items/Add, body: '*'}}\n      {BODY.replace('NAME', 'item')}",
            {"post": "/items", "body": "*"},
        ),
        (
            "/covers/{item_id}",
            "get",
            "x-authz-grpc: {method: shop.v1.Items/Cover, responseBody: frontImage}",
            {"get": "/covers/{item_id}", "responseBody": "front_image"},
        ),
        (
            "/all",
            "put",
            f"x-authz-grpc: shop.v1.Items/Everything\n      {BODY.replace('NAME', 'anItem')}",
            {"put": "/all", "body": "an_item"},
        ),
    ],
)
def test_path_and_body_become_an_http_rule(path, method, fields, rule, shop):
    fields = fields.replace("DEEP", "type: string, x-google-parameter: {pattern: '**'}")
    config = only(shop(f"paths:\n  {path}:\n    {method}:\n      operationId: x\n      {fields}\n"))

    (written,) = rules(config).keys() - {"Items.Annotated", "Items.List"} or {"Items.List"}
    assert rules(config)[written] == rule


@pytest.mark.parametrize(
    ("name", "schema", "body"),
    [
        ("item", "{type: object}", "item"),
        ("item", "{properties: {displayName: {type: string}}}", "item"),
        ("item", "{properties: {shelf: {type: string}, item: {type: object}}}", "*"),
        ("shelf", "{type: string}", "shelf"),
        ("shelf", "{}", "shelf"),
        ("shelf", "{properties: {shelf: {type: string}}}", "*"),
    ],
)
def test_a_body_that_is_called_like_a_field_may_still_be_the_request(name, schema, body, shop):
    parameters = f"parameters: [{{in: body, name: {name}, schema: {schema}}}]"
    document = f"paths: {{/items: {{post: {{operationId: x, x-authz-grpc: shop.v1.Items/Add, {parameters}}}}}}}"

    assert rules(only(shop(document)))["Items.Add"]["body"] == body


@pytest.mark.parametrize(
    ("fields", "body"),
    [("", None), ("requestBody: {content: {application/json: {}}}", "*"), ("requestBody: {description: it}", "*")],
)
def test_the_body_of_openapi_3_is_the_request(fields, body, shop):
    document = f"paths: {{/items: {{post: {{operationId: x, x-authz-grpc: shop.v1.Items/Add, {fields}}}}}}}"

    assert rules(only(shop(document, head=HEAD3)))["Items.Add"].get("body") == body


def test_the_base_path_is_part_of_the_rule(shop):
    assert rules(only(shop(f"basePath: /v7\n{GET}")))["Items.Get"] == {"get": "/v7/items/{item_id}"}


def test_the_first_operation_of_a_document_is_the_primary_binding_whatever_its_path(shop):
    document = """\
    paths:
      /z/{itemId}:
        put: {operationId: a, x-authz-grpc: shop.v1.Items/Get}
        get: {operationId: b, x-authz-grpc: shop.v1.Items/Get}
      /a/{itemId}:
        get: {operationId: c, x-authz-grpc: shop.v1.Items/Get}
    """
    config = only(shop(document))

    assert rules(config)["Items.Get"] == {
        "put": "/z/{item_id}",
        "additionalBindings": [{"get": "/z/{item_id}"}, {"get": "/a/{item_id}"}],
    }
    assert [(one.method, one.template.text, one.line) for one in of(config, "Items.Get")] == [
        ("PUT", "/z/{item_id}", 6),
        ("GET", "/z/{item_id}", 7),
        ("GET", "/a/{item_id}", 9),
        ("POST", "/shop.v1.Items/Get", 6),
    ]


def test_an_operation_on_the_rpcs_own_path_is_no_binding_but_describes_it(shop):
    document = """\
    paths:
      /shop.v1.Items/Upload:
        post: {operationId: up, summary: All of them., x-authz-grpc: shop.v1.Items/Upload, x-authz-stream-timeout: 7}
    """
    config = only(shop(document))

    (own,) = of(config, "Items.Upload")
    assert (own.summary, own.stream_timeout, own.line) == ("All of them.", 7, 6)
    assert "Items.Upload" not in rules(config)


def test_requirement_costs_and_timeouts_are_the_operations(shop):
    document = """\
    securityDefinitions:
      api_key: {type: apiKey, in: header, name: x-shop-key}
      jwt: {type: oauth2, flow: implicit, authorizationUrl: "", x-google-issuer: https://one.example.com}
    x-google-management: {metrics: [{name: reads}]}
    paths:
      /items/{itemId}:
        get:
          operationId: watch
          x-authz-grpc: shop.v1.Items/Watch
          security: [{api_key: [], jwt: []}]
          x-google-quota: {metricCosts: {reads: 3}}
          x-google-backend: {address: "grpc://items.example.com", deadline: 9, disable_auth: true}
    """
    config = only(shop(document))

    binding, own = of(config, "Items.Watch")
    assert binding.requirement == own.requirement
    assert binding.requirement.alternatives[0].key_places == (Place(PlaceKind.HEADER, "x-shop-key"),)
    assert binding.costs == own.costs == (Cost("reads", 3),)
    assert binding.backend == own.backend == replace(GRPC, deadline=9)
    assert (binding.stream_timeout, own.stream_timeout) == (9, 9)
    assert [one.id for one in config.providers] == ["jwt"]


# Which RPC an operation means by its operationId.

BY_ID = """\
x-google-backend: {address: "ADDRESS", disable_auth: true}
paths:
  /items:
    get: {operationId: ID}
"""


@pytest.mark.parametrize(
    "name", ["List", "list", "Items.List", "Items_List", "shop.v1.Items.List", "shop_v1_Items_List"]
)
def test_an_operation_with_a_grpc_backend_and_an_rpcs_name_is_that_rpc(name, shop):
    config = only(shop(BY_ID.replace("ID", name).replace("ADDRESS", "grpcs://items.example.com")))

    assert rules(config)["Items.List"] == {"get": "/items"}
    assert {one.backend.address for one in of(config, "Items.List")} == {"grpcs://items.example.com"}


def test_an_operation_at_the_path_of_an_rpc_is_that_rpc(shop):
    document = BY_ID.replace("ADDRESS", "grpc://items.example.com").replace("get:", "post:").replace("ID", "any")

    assert len(of(only(shop(document.replace("/items:", "/shop.v1.Items/List:"))), "Items.List")) == 1


@pytest.mark.parametrize("address", ["http://items.example.com", "https://items.example.com"])
def test_an_operation_with_a_rest_backend_is_an_rpc_only_if_it_says_so(address, shop):
    config = only(shop(BY_ID.replace("ID", "List").replace("ADDRESS", address)))

    assert [one.selector for one in config.operations if one.template.text == "/items"] == ["1.shop_example_com.List"]
    assert rules(config)["Items.List"] == {"get": "/proto/items"}


def test_without_protos_a_grpc_backend_is_a_place_to_send_requests_to(proto):
    document = "swagger: '2.0'\ninfo: {title: T, version: 1.0.0}\nhost: shop.example.com\n"
    document += BY_ID.replace("ID", "List").replace("ADDRESS", "grpc://items.example.com")
    other = SourceText("other.yaml", "type: google.api.Service\nname: other.example.com\n")

    (alone,) = compile_texts([SourceText("a.yaml", document)]).configs
    beside = compile_texts([SourceText("a.yaml", document), proto, other])

    assert alone.operations[0].rpc is None
    # The protos are another service's: the document names nothing of it.
    assert [one.name for one in beside.configs] == ["shop.example.com", "other.example.com"]
    assert beside.configs[0].operations == alone.operations


# What is served beside, and precedence.


def test_beside_a_document_that_names_rpcs_the_others_need_a_rule_or_apis(shop):
    compiled = shop(GET)

    assert {one.selector for one in only(compiled).operations} == {
        "shop.v1.Items.Get",
        "shop.v1.Items.List",
        "shop.v1.Items.Annotated",
    }
    assert places(compiled, "grpc-unserved") == [("shop.proto", 23), ("shop.proto", 41)]
    (items, shelves) = (one.message for one in compiled.findings if one.code == "grpc-unserved")
    assert "Add, Watch, Upload, Picture, Everything, Cover of shop.v1.Items" in items
    assert "Get of shop.v1.Shelves" in shelves
    assert "shop.v1.Shelves" not in {api.name for api in compiled.configs[0].apis}


def test_apis_serve_whole_services_beside_a_document(shop):
    compiled = shop(GET, SourceText("api.yaml", f"{YAML}apis: [{{name: shop.v1.Shelves}}]\n"))

    assert {one.rpc.path for one in only(compiled).operations} == {
        "/shop.v1.Items/Get",
        "/shop.v1.Items/List",
        "/shop.v1.Items/Annotated",
        "/shop.v1.Shelves/Get",
    }
    assert places(compiled, "api-unlisted") == []


def test_a_document_replaces_a_yaml_rule_which_replaces_an_annotation(proto, shop):
    yaml = f"""\
{YAML}http:
  rules:
  - {{selector: shop.v1.Items.List, get: /yaml/items}}
  - {{selector: shop.v1.Items.Annotated, get: "/yaml/{{item_id}}"}}
"""
    document = "paths: {/items: {get: {operationId: x, x-authz-grpc: shop.v1.Items/List}}}"

    found = [
        rules(only(compiled))
        for compiled in (
            compile_texts([proto], service="shop.example.com"),
            compile_texts([proto, SourceText("api.yaml", yaml)]),
            shop(document, SourceText("api.yaml", yaml)),
        )
    ]

    assert [one["Items.List"]["get"] for one in found] == ["/proto/items", "/yaml/items", "/items"]
    assert [one["Items.Annotated"]["get"] for one in found] == ["/proto/annotated/{item_id}"] + ["/yaml/{item_id}"] * 2


def test_what_a_document_says_holds_over_a_yaml_and_the_yaml_is_told_so(shop):
    yaml = f"""\
{YAML}http:
  rules:
  - {{selector: shop.v1.Items.Get, get: "/yaml/{{item_id}}"}}
  - {{selector: shop.v1.Items.Annotated, get: "/yaml/annotated/{{item_id}}"}}
authentication:
  providers: [{{id: one, issuer: one}}]
  rules: [{{selector: "*", requirements: [{{provider_id: one}}]}}]
usage: {{rules: [{{selector: shop.v1.Items.*, allow_unregistered_calls: true}}]}}
backend:
  rules:
  - {{selector: shop.v1.Items.Get, address: "grpc://items.example.com"}}
"""
    compiled = shop(GET, SourceText("api.yaml", yaml))
    config = only(compiled)

    assert rules(config)["Items.Get"] == {"get": "/items/{item_id}"}
    assert rules(config)["Items.Annotated"] == {"get": "/yaml/annotated/{item_id}"}
    assert all(one.requirement.is_open for one in of(config, "Items.Get"))
    assert all(one.requirement.alternatives[0].jwt for one in of(config, "Items.Annotated"))
    # The document has no backend, so that the YAML's is not contradicted.
    assert {one.backend for one in of(config, "Items.Get")} == {GRPC}
    # The http rule is without effect, and the operation is open where the YAML asks for a token.
    assert places(compiled, "rule-overruled") == [("openapi.yaml", 6), ("api.yaml", 5)]


@pytest.mark.parametrize(
    ("security", "rule", "warned"),
    [
        ("[{key: []}]", TOKEN, "without a token"),
        ("[{key: []}, {jwt: []}]", TOKEN, "without a token"),
        ("[{jwt: []}, {}]", TOKEN, "without a token"),
        ("[{jwt: []}]", TOKEN, ""),
        ("[{key: [], jwt: []}]", TOKEN, ""),
        ("[{key: []}]", TOKEN.replace("selector", "allow_without_credential: true, selector"), ""),
        ("[]", TOKEN, "open to everyone"),
        ("[]", KEY, "not the API key"),
        ("[{jwt: []}]", KEY, ""),
        ("[]", KEY.replace("false", "true"), ""),
    ],
)
def test_who_asks_callers_for_less_than_a_yaml_does_is_told_so(security, rule, warned, shop):
    document = f"""\
    securityDefinitions:
      key: {{type: apiKey, in: header, name: x-api-key}}
      jwt: {{type: oauth2, flow: implicit, authorizationUrl: "", x-google-issuer: one}}
    paths:
      /items/{{itemId}}:
        get: {{operationId: get, x-authz-grpc: shop.v1.Items/Get, security: {security}}}
    """
    compiled = shop(document, SourceText("api.yaml", YAML + rule))

    messages = [one.message for one in compiled.findings if one.code == "rule-overruled" and one.file == "openapi.yaml"]
    assert len(messages) == bool(warned)
    assert all(warned in one and "api.yaml:" in one for one in messages)


@pytest.mark.parametrize(
    ("backend", "opens"),
    [("", True), ("x-google-backend: {address: 'http://rest.example.com'}", False)],
)
def test_what_lets_all_requests_through_to_a_grpc_backend_is_told_so(backend, opens, shop):
    document = f"""\
    x-google-allow: all
    {backend}
    paths:
      /items/{{itemId}}:
        get:
          operationId: get
          x-authz-grpc: shop.v1.Items/Get
          x-google-backend: {{address: "BACKEND"}}
    """
    grpc = "" if opens else "grpc://items.example.com"
    compiled = shop(document.replace('{address: "BACKEND"}', f'{{address: "{grpc}"}}'))

    assert places(compiled, "allow-grpc") == ([("openapi.yaml", 4)] if opens else [])
    unserved = [one.message for one in compiled.findings if one.code == "grpc-unserved"]
    assert all(one.endswith("'x-google-allow: all' lets calls of them through") for one in unserved)


# Backends.


@pytest.mark.parametrize(
    ("rule", "bound", "own"),
    [
        ("address: grpc://items.example.com", GRPC, GRPC),
        ("address: http://items.example.com/rest", REST, REST),
        (
            "address: http://items.example.com/rest/, path_translation: CONSTANT_ADDRESS, protocol: h2",
            replace(REST, path_translation=PathTranslation.CONSTANT, protocol=Protocol.HTTP2),
            replace(REST, path_translation=PathTranslation.CONSTANT, protocol=Protocol.HTTP2),
        ),
        ("protocol: http/1.1", Backend(protocol=Protocol.HTTP1), Backend(protocol=Protocol.HTTP1)),
        (
            "address: http://items.example.com/rest, deadline: 5, overrides_by_request_protocol: {grpc: OTHER}",
            replace(REST, deadline=5),
            replace(GRPC, deadline=7),
        ),
        (
            "address: grpc://items.example.com, overridesByRequestProtocol: {http: {address: http://items.example.com/rest}}",
            REST,
            GRPC,
        ),
        (
            "address: http://items.example.com/rest, overrides_by_request_protocol: {grpc: {}}",
            REST,
            Backend(protocol=Protocol.HTTP2),
        ),
    ],
)
def test_requests_and_grpc_calls_of_an_rpc_may_have_backends_of_their_own(rule, bound, own, proto):
    rule = rule.replace("OTHER", "{address: grpc://items.example.com, deadline: 7}")
    yaml = f"{YAML}backend: {{rules: [{{selector: shop.v1.Items.Annotated, {rule}}}]}}\n"

    config = only(compile_texts([proto, SourceText("api.yaml", yaml)]))

    assert [(one.backend, one.is_rpc_path) for one in of(config, "Items.Annotated")] == [(bound, False), (own, True)]


@pytest.mark.parametrize(
    ("backend", "own", "expected"),
    [
        ("", "", (Backend(protocol=Protocol.HTTP2),) * 2),
        ("{deadline: 5}", "", (Backend(protocol=Protocol.HTTP2, deadline=5),) * 2),
        ("{protocol: http/1.1}", "", (Backend(protocol=Protocol.HTTP1),) * 2),
        ("{address: 'grpc://items.example.com', disable_auth: true}", "", (GRPC, GRPC)),
        (
            "{address: 'http://items.example.com/rest', disable_auth: true}",
            "",
            (replace(REST, path_translation=PathTranslation.CONSTANT),) * 2,
        ),
        (
            "{address: 'http://items.example.com/rest', path_translation: APPEND_PATH_TO_ADDRESS, disable_auth: true}",
            "{address: 'grpc://items.example.com', disable_auth: true}",
            (REST, GRPC),
        ),
    ],
)
def test_the_backend_of_an_operation_is_its_rpcs(backend, own, expected, shop):
    document = GET + (f"      x-google-backend: {backend}\n" if backend else "")
    if own:
        document += "  /shop.v1.Items/Get:\n    post:\n      operationId: own\n      x-authz-grpc: shop.v1.Items/Get\n"
        document += f"      x-google-backend: {own}\n"

    assert tuple(one.backend for one in of(only(shop(document)), "Items.Get")) == expected


# Which service.


def test_the_order_of_files_is_of_no_matter(proto):
    texts = [
        SourceText(
            "openapi.yaml", f"swagger: '2.0'\ninfo: {{title: T, version: 1.0.0}}\nhost: shop.example.com\n{GET}"
        ),
        proto,
        SourceText("api.yaml", f"{YAML}apis: [{{name: shop.v1.Items}}]\n"),
    ]
    compiled = [compile_service(list(order)) for order in itertools.permutations(texts)]

    assert all(not one.errors for one in compiled)
    operations = {frozenset(one.configs[0].operations) for one in compiled}
    assert len(operations) == 1
    assert len({one.configs[0].descriptors for one in compiled}) == 1


def test_a_document_without_a_host_is_of_the_service_that_the_yaml_names(proto):
    document = SourceText("openapi.yaml", f"swagger: '2.0'\ninfo: {{title: T, version: 1.0.0}}\n{GET}")

    assert only(compile_service([document, proto, SourceText("api.yaml", YAML)])).name == "shop.example.com"
    assert only(compile_service([document, proto], service="named.example.com")).name == "named.example.com"
    assert [one.code for one in compile_service([document, proto]).errors] == ["host-missing"]


HOSTED = """\
package PACKAGE;
import "google/api/client.proto";
message M { string id = 1; }
service S {
  option (google.api.default_host) = "proto.example.com";
  rpc Get(M) returns (M);
}
"""


def test_a_grpc_service_belongs_to_the_host_whose_documents_name_it(tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.proto").write_text('syntax = "proto3";\n' + HOSTED.replace("PACKAGE", name))
    texts = read_files([tmp_path / "one.proto", tmp_path / "two.proto"])
    document = "swagger: '2.0'\ninfo: {title: T, version: 1.0.0}\nhost: HOST\n"
    document += "paths: {/m: {get: {operationId: get, x-authz-grpc: one.S/Get}}}\n"
    first, second = (
        SourceText(f"{host}.yaml", document.replace("HOST", f"{host}.example.com")) for host in ("first", "second")
    )

    assert [one.name for one in compile_texts([*texts, first]).configs] == ["first.example.com", "proto.example.com"]
    assert [
        (one.name, sorted({operation.rpc.service for operation in one.operations if operation.rpc}))
        for one in compile_texts([*texts, first, second]).configs
    ] == [("first.example.com", ["one.S"]), ("second.example.com", ["one.S"]), ("proto.example.com", ["two.S"])]


def test_protos_without_a_name_are_of_the_one_host_of_the_documents(shop, proto):
    config = only(shop("paths: {/rest: {get: {operationId: rest}}}"))

    assert config.name == "shop.example.com"
    assert {one.rpc is None for one in config.operations} == {True, False}
    # Nothing names an RPC, so that all of them are served.
    assert {one.rpc.service for one in config.operations if one.rpc} == {"shop.v1.Items", "shop.v1.Shelves"}


def test_rest_and_rpcs_stand_side_by_side_in_one_document(shop):
    document = GET + "  /rest:\n    get: {operationId: rest, x-google-backend: {address: 'http://rest.example.com'}}\n"
    config = only(shop(document))

    (rest,) = (one for one in config.operations if one.rpc is None)
    assert (rest.selector, rest.template.text) == ("1.shop_example_com.Rest", "/rest")
    assert [api.name for api in config.apis] == ["1.shop_example_com", "shop.v1.Items"]


def test_a_request_of_the_gateways_own_is_no_rpc(shop):
    config = only(shop(f"x-google-endpoints: [{{name: shop.example.com, allowCors: true}}]\n{GET}"))

    preflights = [one for one in config.operations if one.method == "OPTIONS"]
    assert preflights
    assert all(one.rpc is None and one.requirement.is_open for one in preflights)


def test_a_thousand_operations_take_no_longer_each(shop, tmp_path):
    methods = "\n".join(f"rpc M{number}(M) returns (M);" for number in range(1000))
    (tmp_path / "big.proto").write_text(
        f'syntax = "proto3";\npackage big;\nmessage M {{ string id = 1; M below = 2; }}\nservice S {{\n{methods}\n}}\n'
    )
    paths = "\n".join(
        f"  /m{number}/{{id}}:\n    put:\n      operationId: m{number}\n      x-authz-grpc: big.S/M{number}\n"
        "      parameters:\n      - {in: path, name: id, required: true, type: string}\n"
        "      - {in: body, name: below, schema: {$ref: '#/definitions/M'}}"
        for number in range(1000)
    )
    document = (
        "swagger: '2.0'\ninfo: {title: T, version: 1.0.0}\nhost: shop.example.com\n"
        "definitions: {M: {properties: {id: {type: string}, below: {$ref: '#/definitions/M'}, wrong: {}}}}\n"
        f"paths:\n{paths}\n"
    )
    compiled = compile_texts([*read_files([tmp_path / "big.proto"]), SourceText("big.yaml", document)])

    # A schema that all of them share is judged, and complained of, once.
    assert [one.code for one in compiled.findings] == ["grpc-body"]


def test_no_base_path_stands_before_the_path_of_grpc_calls(shop):
    document = """\
    basePath: /v1
    paths:
      /shop.v1.Items/Upload:
        post: {operationId: up, x-authz-grpc: shop.v1.Items/Upload}
    """

    assert [one.template.text for one in of(only(shop(document)), "Items.Upload")] == ["/shop.v1.Items/Upload"]


def test_a_base_path_may_be_part_of_the_path_of_grpc_calls(shop):
    document = """\
    basePath: /shop.v1.Items
    paths:
      /Get:
        post: {operationId: get, x-authz-grpc: shop.v1.Items/Get}
    """
    config = only(shop(document))

    assert [(one.method, one.template.text) for one in of(config, "Items.Get")] == [("POST", "/shop.v1.Items/Get")]
    assert "Items.Get" not in rules(config)


def test_rpcs_that_a_document_leaves_to_annotations_go_where_its_root_says(shop):
    root = 'x-google-backend: {address: "grpc://items.example.com", disable_auth: true}\n'
    rule = "backend: {rules: [{selector: shop.v1.Items.List, address: 'grpc://lists.example.com'}]}\n"
    config = only(shop(root + GET, SourceText("api.yaml", YAML + rule)))
    without = only(shop(GET))

    assert {one.backend for one in of(config, "Items.Annotated")} == {GRPC}
    assert {one.backend.address for one in of(config, "Items.List")} == {"grpc://lists.example.com"}
    assert {one.backend for one in of(without, "Items.Annotated")} == {Backend(protocol=Protocol.HTTP2)}


@pytest.mark.parametrize(
    ("options", "unfit"),
    [
        ("{}", ["alt", "pretty"]),
        ("{ignore_query_parameters: [alt]}", ["pretty"]),
        ("{ignore_unknown_query_parameters: true}", []),
    ],
)
def test_a_query_parameter_that_is_ignored_need_be_no_field(shop, options, unfit):
    compiled = shop(f"""
        x-authz-transcoding: {options}
        paths:
          /items:
            get:
              operationId: list
              x-authz-grpc: shop.v1.Items/List
              parameters:
              - {{in: query, name: alt, type: string}}
              - {{in: query, name: pretty, type: boolean}}
        """)

    found = [finding for finding in compiled.findings if finding.code == "grpc-query"]
    assert [finding.message.split("'")[1] for finding in found] == unfit
