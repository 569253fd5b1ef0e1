"""The document, deployed beside the protos, is the same service; and written again, it is the same document."""

from __future__ import annotations

import json
import re
import string
from dataclasses import replace
from pathlib import Path

import openapi_spec_validator
import pytest
from google.api import annotations_pb2, http_pb2
from google.protobuf import descriptor_pb2, timestamp_pb2
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet
from hypothesis import HealthCheck, Phase, assume, event, given, settings
from hypothesis import strategies as st

from authz.model.service import ServiceConfig, SourceText
from authz.sources import compile_service, compile_texts, read_files
from authz.sources.document import is_packed
from authz.sources.protos.packed import pack
from authz.sources.write import VERSIONS, as_yaml, openapi

ROOT = Path(__file__).parents[3]
BOOKSTORE = (ROOT / "protos/bookstore/v1/bookstore.proto", ROOT / "envoy/examples/bookstore-grpc.yaml")


def rule_of(http: http_pb2.HttpRule) -> tuple[object, ...]:
    """An http rule as what it means: `custom` may spell any method, and additional bindings have no order."""
    kind = http.WhichOneof("pattern")
    pattern = (http.custom.kind.upper(), http.custom.path) if kind == "custom" else (kind.upper(), getattr(http, kind))
    return (*pattern, http.body, http.response_body, sorted(rule_of(one) for one in http.additional_bindings))


def rules(config: ServiceConfig) -> dict[str, tuple[object, ...]]:
    return {
        f"{file.package}.{service.name}.{method.name}": rule_of(method.options.Extensions[annotations_pb2.http])
        for file in FileDescriptorSet.FromString(config.descriptors).file
        for service in file.service
        for method in service.method
        if method.options.HasExtension(annotations_pb2.http)
    }


def meaning(config: ServiceConfig) -> dict[str, object]:
    """What of a config is not just where it was written."""
    return {
        "name": config.name,
        "operations": {
            (one.selector, one.method, one.template.text): replace(one, file="", line=0, summary="")
            for one in config.operations
        },
        "providers": [replace(one, file="", line=0) for one in config.providers],
        "metrics": config.metrics,
        "limits": config.limits,
        "allow_cors": config.allow_cors,
        "keep_escaped_slashes": config.keep_escaped_slashes,
        "transcoding": config.transcoding,
        "rules": rules(config),
    }


def protos_of(texts) -> list[SourceText]:
    return [text for text in texts if is_packed(text.text)]


def there_and_back(texts, version: str = VERSIONS[0]) -> tuple[ServiceConfig, ServiceConfig]:
    """A config, and the one of the document that is written of it, which has no findings and is a fixed point."""
    (before,) = compile_service(texts).configs
    written = openapi(before, texts, version)
    assert written.remarks == ()
    deployed = [*protos_of(texts), SourceText("written.yaml", as_yaml(written.document))]
    compiled = compile_texts(deployed)
    assert compiled.findings == ()
    (after,) = compiled.configs
    again = openapi(after, deployed, version)
    assert again == written
    return before, after


@pytest.mark.parametrize("version", VERSIONS)
def test_the_demo_comes_back(version):
    proto, yaml = read_files(BOOKSTORE)
    filled = string.Template(yaml.text).substitute(ISSUER="https://issuer.example.com")
    before, after = there_and_back([proto, SourceText(yaml.file, filled)], version)

    assert meaning(after) == meaning(before)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_museum_comes_back(museum, version):
    before, after = there_and_back(museum, version)

    assert meaning(after) == meaning(before)


BY_HAND = """\
openapi: 3.1.0
info: {title: By hand, version: 2.1.0}
servers: [{url: "https://museum.example.com"}]
security: [{key: []}]
x-google-backend: museum
x-authz-escaped-slashes: keep
x-authz-transcoding: {preserve_proto_field_names: true, stream_sse: false, ignore_query_parameters: [a, b]}
x-google-api-management:
  metrics: {reads: {displayName: Reads}}
  quota: {limits: {daily: {metric: reads, values: 5, unit: "2/d/{project}"}}}
  backends:
    museum: {address: "grpcs://museum.internal:443", deadline: 20}
    rest: {address: "http://rest.internal/v2", protocol: h2}
components:
  securitySchemes:
    key: {type: apiKey, in: header, name: X-Own}
    cookie: {type: apiKey, in: cookie, name: own}
    one:
      type: openIdConnect
      openIdConnectUrl: https://one.example/.well-known/openid-configuration
      x-authz-client-ids: [first, second]
    two:
      type: oauth2
      flows: {clientCredentials: {tokenUrl: "https://two.example/token", scopes: {read: Read}}}
      x-google-auth: {issuer: two, jwksUri: "https://two.example/keys"}
paths:
  /v1/{name=halls/*}:
    get:
      operationId: get
      x-authz-grpc: museum.v1.Museum/GetExhibit
      security: [{one: [], key: []}, {two: [read]}, {}]
      x-google-quota: {metricCosts: {reads: 2}}
  /v1/halls:
    get:
      operationId: list
      x-authz-grpc: museum.v1.Museum/ListExhibits
      servers: [{url: "wss://museum.example.com"}]
      security: [{key: []}, {cookie: []}]
      x-google-backend: rest
    post:
      operationId: create
      x-authz-grpc: {method: museum.v1.Museum/CreateExhibit, body: exhibit}
      security: [{two: []}]
      x-security: [{two: {audiences: [here]}}]
      x-authz-client-ids: [third]
      requestBody: {content: {application/json: {}}}
  /museum.v1.Museum/Tour:
    post:
      operationId: tour
      x-authz-grpc: museum.v1.Museum/Tour
      security: []
      x-authz-stream-timeout: 5
"""


@pytest.mark.parametrize("version", ["3.0", "3.1"])
def test_openapi_comes_back_by_way_of_descriptors(museum, version):
    """A document that a person wrote, deployed with protos, and what is written of that service."""
    protos = protos_of(museum)
    before = compile_texts([*protos, SourceText("hand.yaml", BY_HAND)])
    assert before.errors == ()
    written = openapi(before.configs[0], protos, version)
    deployed = [*protos, SourceText("written.yaml", as_yaml(written.document))]
    after = compile_texts(deployed)

    assert {one.code for one in after.findings} <= {one.code for one in before.findings}
    assert meaning(after.configs[0]) == meaning(before.configs[0])
    assert openapi(after.configs[0], deployed, version).document == written.document
    assert any(one.websocket for one in after.configs[0].operations)
    openapi_spec_validator.validate(written.document)


# -- any service ----------------------------------------------------------------------------------------------

F = FieldDescriptorProto
SCALARS = [F.TYPE_STRING, F.TYPE_INT32, F.TYPE_INT64, F.TYPE_UINT64, F.TYPE_BOOL, F.TYPE_DOUBLE, F.TYPE_BYTES]
KINDS = ["get", "put", "post", "delete", "patch", "HEAD", "OPTIONS"]
NAMES = ["name", "page_size", "parent", "item", "b1", "theme"]
PLACES = st.sampled_from(["{http_header: X-Own-Key}", "{url_query_parameter: own_key}", "{http_header: X-Other}"])


@st.composite
def messages(draw):
    """Messages that hold scalars, lists, maps, each other and themselves."""
    found = []
    for number in range(3):
        message = DescriptorProto(name=f"M{number}")
        for index, name in enumerate(draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=4)), 1):
            field = message.field.add(name=name, number=index, label=draw(st.sampled_from([1, 1, F.LABEL_REPEATED])))
            kind = draw(st.sampled_from(["scalar", "scalar", "scalar", "message", "enum", "time"]))
            if kind == "scalar":
                field.type = draw(st.sampled_from(SCALARS))
            elif kind == "enum":
                field.type, field.type_name = F.TYPE_ENUM, ".p.E"
            else:
                target = f".p.M{draw(st.integers(0, 2))}" if kind == "message" else ".google.protobuf.Timestamp"
                field.type, field.type_name = F.TYPE_MESSAGE, target
        found.append(message)
    return found


def singles(message):
    """The fields that a path variable may fill."""
    return [one.name for one in message.field if one.label != F.LABEL_REPEATED and one.type in SCALARS]


@st.composite
def bindings(draw, request, taken):
    """One http rule, additional bindings and all; no method and path twice in a service."""
    rule = http_pb2.HttpRule()
    for number in range(draw(st.integers(1, 3))):
        one = rule if not number else rule.additional_bindings.add()
        variables = (
            draw(st.lists(st.sampled_from(singles(request)), unique=True, max_size=2)) if singles(request) else []
        )
        path = f"/v1/{draw(st.sampled_from('aab*'))}"
        for index, name in enumerate(variables):
            patterns = ["", "=*", "=halls/*", "=halls/*/x"] + (["=**"] if index + 1 == len(variables) else [])
            path += "/{" + name + draw(st.sampled_from(patterns)) + "}"
        path += draw(st.sampled_from(["", "", ":run"]))
        shape = re.sub(r"\{[^=}]*\}", "*", re.sub(r"\{[^=}]*=([^}]*)\}", r"\1", path))
        kind = draw(st.sampled_from(KINDS))
        while (kind, shape) in taken:
            path, shape = (text.replace("/v1/", "/v1/n/") for text in (path, shape))
        taken.add((kind, shape))
        if kind.isupper():
            one.custom.kind, one.custom.path = kind, path
        else:
            setattr(one, kind, path)
        free = [field.name for field in request.field if field.name not in variables]
        one.body = draw(st.sampled_from(["", "*", *free]))
    return rule


@st.composite
def protos(draw):
    """A file of two services."""
    file = FileDescriptorProto(name="p.proto", package="p", syntax="proto3")
    file.dependency.extend(["google/api/annotations.proto", "google/protobuf/timestamp.proto"])
    file.enum_type.add(name="E").value.add(name="NONE", number=0)
    file.message_type.extend(draw(messages()))
    taken: set[tuple[str, str]] = set()
    for name in draw(st.sampled_from([["S"], ["S", "T"]])):
        service = file.service.add(name=name)
        for number in range(draw(st.integers(1, 3))):
            request, answer = draw(st.integers(0, 2)), draw(st.integers(0, 2))
            method = service.method.add(name=f"Do{number}", input_type=f".p.M{request}", output_type=f".p.M{answer}")
            method.client_streaming = draw(st.sampled_from([False, False, False, True]))
            method.server_streaming = draw(st.sampled_from([False, False, True]))
            if not method.client_streaming and draw(st.integers(0, 3)):
                rule = draw(bindings(file.message_type[request], taken))
                method.options.Extensions[annotations_pb2.http].CopyFrom(rule)
    return file


SELECTORS = ["'*'", "p.S.*", "p.S.Do0", "p.S.Do1", "p.T.*"]
BACKENDS = [
    "address: 'grpc://a.example.com'",
    "address: 'grpcs://b.example.com:8443', deadline: 7.5, jwt_audience: aud",
    "deadline: 30",
    "deadline: 15",
    "address: 'https://c.example.com/v2', disable_auth: true",
    "address: 'http://d.example.com', protocol: h2, path_translation: CONSTANT_ADDRESS",
    "address: 'http://e.example.com', overrides_by_request_protocol: {grpc: {address: 'grpc://e.example.com'}}",
    "overrides_by_request_protocol: {grpc: {address: 'grpc://f.example.com', deadline: 3}}",
    "address: 'grpc://g.example.com', overrides_by_request_protocol: {grpc: {deadline: 15}}",
    "protocol: http/1.1",
]
AUDIENCES = st.sampled_from(["", ", audiences: one", ", audiences: 'one, two'"])


@st.composite
def yamls(draw):
    """Rules of every kind, each for some of the methods."""

    def rules(section, entry, most=2, name="rules"):
        entries = [
            f"  - {{selector: {draw(st.sampled_from(SELECTORS))}, {draw(entry)}}}"
            for _ in range(draw(st.integers(0, most)))
        ]
        return [f"{section}:", f"  {name}:", *entries] if entries else []

    # One provider twice becomes one of both audiences: test_security has that.
    providers = st.lists(st.sampled_from(["one", "two"]), min_size=1, unique=True)
    wanted = providers.flatmap(
        lambda names: st.tuples(*(AUDIENCES.map(f"{{{{provider_id: {name}{{}}}}}}".format) for name in names))
    )
    tokens = st.tuples(wanted, st.booleans()).map(
        lambda both: f"requirements: [{', '.join(both[0])}], allow_without_credential: {str(both[1]).lower()}"
    )
    places = st.lists(PLACES, min_size=1, max_size=3, unique=True).map(
        lambda some: f"parameters: [{', '.join('{name: api_key, ' + place[1:] for place in some)}]"
    )
    costs = st.dictionaries(st.sampled_from(["reads", "p.example.com/w"]), st.integers(0, 9), min_size=1)
    authentication = rules("authentication", tokens)
    issuers = (
        "  providers: [{id: one, issuer: 'https://one.example', audiences: 'x, y'}, {id: two, issuer: two, "
        "jwks_uri: 'https://two.example/keys', jwt_locations: [{header: X-T, value_prefix: 'T '}, {query: t}]}]"
    )
    quota = rules("quota", costs.map(lambda some: f"metric_costs: {json.dumps(some)}"), name="metric_rules")
    limits = "  limits: [{name: r, metric: reads, unit: '1/min/{project}', values: {STANDARD: 5}}]"
    options = {
        "always_print_enums_as_ints": st.booleans(),
        "preserve_proto_field_names": st.booleans(),
        "stream_sse": st.booleans(),
        "ignore_query_parameters": st.lists(st.sampled_from("abc"), max_size=2),
        "max_request_bytes": st.integers(1, 1 << 20),
    }
    transcoding = draw(st.none() | st.fixed_dictionaries({}, optional=options))
    return "\n".join([
        "type: google.api.Service",
        *([] if transcoding is None else [f"x-authz-transcoding: {json.dumps(transcoding)}"]),
        "name: p.example.com",
        *([authentication[0], issuers, *authentication[1:]] if authentication else []),
        *rules("usage", st.booleans().map(lambda flag: f"allow_unregistered_calls: {str(flag).lower()}")),
        *rules("system_parameters", places),
        "metrics: [{name: reads, display_name: R}, {name: p.example.com/w}]",
        *([quota[0], limits, *quota[1:]] if quota else []),
        *rules("backend", st.sampled_from(BACKENDS), 3),
        f"endpoints: [{{name: p.example.com, allow_cors: {str(draw(st.booleans())).lower()}}}]",
    ])  # fmt: skip


IMPORTED = [descriptor_pb2, http_pb2, annotations_pb2, timestamp_pb2]


def packed(file: FileDescriptorProto) -> SourceText:
    files = FileDescriptorSet()
    for module in IMPORTED:
        module.DESCRIPTOR.CopyToProto(files.file.add())
    files.file.add().CopyFrom(file)
    return SourceText("p.proto", pack(files.SerializeToString(), ["p.proto"]))


@given(protos(), yamls(), st.sampled_from(VERSIONS))
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
)
def test_any_service_comes_back(proto, yaml, version):
    texts = [packed(proto), SourceText("p.yaml", yaml)]
    before = compile_service(texts)
    event(f"errors: {sorted({finding.code for finding in before.errors})}")
    assume(not before.errors)
    written = openapi(before.configs[0], texts, version)
    # What it says that it cannot say is not expected of it.
    assume(not written.remarks)
    deployed = [texts[0], SourceText("written.yaml", as_yaml(written.document))]
    after = compile_texts(deployed)

    assert {one.code for one in after.findings} <= {one.code for one in before.findings}
    assert meaning(after.configs[0]) == meaning(before.configs[0])
    assert openapi(after.configs[0], deployed, version).document == written.document
    openapi_spec_validator.validate(written.document)
