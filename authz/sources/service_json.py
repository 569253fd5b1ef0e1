"""A ServiceConfig as google.api.Service JSON, comparable to what Google's compiler makes of the same documents.

Security is folded as Google folds it: `usage` asks for a key only where every alternative has one, and
`authentication` lists the tokens of all alternatives. CORS passthrough is a flag of the endpoint, not methods.
An RPC stands there once, with what its descriptor says of types, streams and http rule. What it has no field for is
not there: extensions of our own say how the gateway serves, not what the service is (`x-authz-transcoding`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from authz.model.auth import DEFAULT_KEY_PLACES, DEFAULT_TOKEN_PLACES, JwtProvider, JwtRequirement, Place, PlaceKind
from authz.model.paths import Template
from authz.model.service import DEFAULT_DEADLINE, LOCAL, Backend, Operation, Protocol, ServiceConfig, SourceText
from authz.sources.document import is_packed

_TYPE_URL = "type.googleapis.com/"
_EMPTY = "google.protobuf.Empty"
_CONFIG_FILE = "google.api.servicemanagement.v1.ConfigFile"
_BORDER = re.compile(r"(?<!^)(?=[A-Z])")
_NOT_IN_FIELDS = re.compile(r"[^A-Za-z0-9_]")
_VARIABLE = re.compile(r"\{([^{}=]+)\}")
_VERBS = frozenset({"GET", "PUT", "POST", "DELETE", "PATCH"})
_CORS = "OPTIONS"
_OWN = (LOCAL, Backend(protocol=Protocol.HTTP2))  # the gateway's own backend, for REST and for gRPC
_SERVICE_TYPE = re.compile(r"""^\s*["']?type["']?\s*:\s*["']?google\.api\.Service\b""", re.MULTILINE)
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Described:
    """What a descriptor says of a method: full names of its types, and its http rule."""

    request: str
    response: str
    http: Json


def service_json(config: ServiceConfig, texts: Sequence[SourceText] = ()) -> Json:
    """The service as google.api.Service. `texts` are named as its sources where the config was made of them."""
    operations = list(_methods(config))
    bindings = {one.selector: one for one in reversed(config.operations) if one.rpc and not one.is_rpc_path}
    rpcs = _described(config.descriptors)
    return {
        "name": config.name,
        **({"id": config.id} if config.id else {}),
        "title": config.title,
        "apis": [_api(api.name, api.version, operations, rpcs) for api in config.apis],
        "types": [_type(operation) for operation in operations if _fields(operation)],
        "http": {
            "rules": [rule for one in operations if (rule := _http(one, rpcs))],
            **_given(fullyDecodeReservedExpansion=config.fully_decode_reserved),
        },
        "backend": {"rules": list(_backends(operations, bindings))},
        "usage": {"rules": [_usage(operation) for operation in operations]},
        "authentication": _authentication(config, operations),
        "systemParameters": _system_parameters(operations),
        "quota": _quota(config, operations),
        "metrics": [
            {"name": one.name, "metricKind": "DELTA", "valueType": "INT64", **_given(displayName=one.display_name)}
            for one in config.metrics
        ],
        "endpoints": [_endpoint(config)],
        "control": {"environment": "servicecontrol.googleapis.com"},
        "sourceInfo": {"sourceFiles": [_source(text) for text in texts if text.file in config.documents]},
        "configVersion": 3,
    }


def _methods(config: ServiceConfig) -> Iterator[Operation]:
    """One operation for each method: of an RPC, the last, which has its own path."""
    rpcs = {one.selector: one for one in config.operations if one.rpc}
    for operation in config.operations:
        if (
            not (operation.generated and operation.method == _CORS)
            and rpcs.get(operation.selector, operation) is operation
        ):
            yield operation


def _described(descriptors: bytes) -> dict[str, Described]:
    """The methods of a descriptor set by selector."""
    if not descriptors:
        return {}
    # Protobuf is loaded by those who need it.
    from google.api import annotations_pb2
    from google.protobuf.descriptor_pb2 import FileDescriptorSet
    from google.protobuf.json_format import MessageToDict

    return {
        f"{file.package}.{service.name}.{method.name}".lstrip("."): Described(
            method.input_type.lstrip("."),
            method.output_type.lstrip("."),
            MessageToDict(method.options.Extensions[annotations_pb2.http]),
        )
        for file in FileDescriptorSet.FromString(descriptors).file
        for service in file.service
        for method in service.method
    }


def _given(**fields: object) -> Json:
    """Only the fields that say something."""
    return {name: value for name, value in fields.items() if value}


def _api(name: str, version: str, operations: list[Operation], rpcs: Mapping[str, Described]) -> Json:
    methods = [operation for operation in operations if operation.selector.rpartition(".")[0] == name]
    return {"name": name, "version": version, "methods": [_method(operation, rpcs) for operation in methods]}


def _method(operation: Operation, rpcs: Mapping[str, Described]) -> Json:
    rpc, described = operation.rpc, rpcs.get(operation.selector)
    if rpc and described:
        return {
            "name": operation.short_name,
            "requestTypeUrl": _TYPE_URL + described.request,
            "responseTypeUrl": _TYPE_URL + described.response,
            **_given(requestStreaming=rpc.client_streaming, responseStreaming=rpc.server_streaming),
        }
    request = _request_type(operation) if _fields(operation) else _EMPTY
    return {
        "name": operation.short_name,
        "requestTypeUrl": _TYPE_URL + request,
        "responseTypeUrl": f"{_TYPE_URL}google.protobuf.Value",
    }


def _request_type(operation: Operation) -> str:
    return f"{operation.short_name}Request"


def _type(operation: Operation) -> Json:
    fields = enumerate(_fields(operation), 1)
    return {
        "name": _request_type(operation),
        "fields": [{"number": number, "name": field_name(name), "jsonName": name} for number, name in fields],
    }


def _fields(operation: Operation) -> tuple[str, ...]:
    body = (operation.body_name,) if operation.body_name else ()
    return tuple(dict.fromkeys((*operation.parameters, *body)))


def field_name(name: str) -> str:
    """A parameter's name as a protobuf field: `shelfId` becomes `shelf_id`."""
    return _BORDER.sub("_", _NOT_IN_FIELDS.sub("_", name)).lower()


def _http(operation: Operation, rpcs: Mapping[str, Described]) -> Json:
    """The http rule of a method; empty for an RPC that is called over gRPC only."""
    described = rpcs.get(operation.selector)
    if operation.rpc and described:
        return {"selector": operation.selector, **described.http} if described.http else {}
    path = _path(operation.template)
    verb = operation.method
    pattern: Json = {verb.lower(): path} if verb in _VERBS else {"custom": {"kind": verb, "path": path}}
    body = field_name(operation.body_name) if operation.body_name else ""
    return {"selector": operation.selector, **pattern, **_given(body=body)}


def _path(template: Template) -> str:
    """The template with field names; variables that spell out their pattern keep their name."""
    return _VARIABLE.sub(lambda match: f"{{{field_name(match[1])}}}", template.text)


def _usage(operation: Operation) -> Json:
    return {"selector": operation.selector, "allowUnregisteredCalls": not operation.requirement.needs_key}


def _backends(operations: Iterable[Operation], bindings: Mapping[str, Operation]) -> Iterator[Json]:
    """Where calls go; those of gRPC clients too, where they go elsewhere than the requests that http rules bind."""
    for own in operations:
        bound = bindings.get(own.selector, own)
        elsewhere = {} if bound.backend == own.backend else {"overridesByRequestProtocol": {"grpc": _backend(own)}}
        if elsewhere or bound.backend not in _OWN:
            yield {"selector": own.selector, **_backend(bound), **elsewhere}


def _backend(operation: Operation) -> Json:
    backend = operation.backend
    deadline = backend.deadline
    # The path of a gRPC call is its method's: there is nothing to translate.
    translation = "" if operation.speaks_grpc or not backend.address else backend.path_translation.value
    return _given(
        address=backend.address,
        deadline=(int(deadline) if deadline.is_integer() else deadline) if deadline != DEFAULT_DEADLINE else 0,
        pathTranslation=translation,
        protocol=backend.protocol.value if backend.protocol else "",
        jwtAudience=backend.jwt_audience,
        disableAuth=backend.disable_auth,
    )


def _authentication(config: ServiceConfig, operations: list[Operation]) -> Json:
    providers = {provider.id: provider for provider in config.providers}
    rules = []
    for operation in operations:
        tokens = {one.jwt.provider: one.jwt for one in operation.requirement.alternatives if one.jwt}
        if tokens:
            requirements = [_requirement(token, providers[name]) for name, token in tokens.items()]
            optional = _given(allowWithoutCredential=operation.requirement.optional)
            rules.append({"selector": operation.selector, "requirements": requirements, **optional})
    return {"providers": [_provider(provider) for provider in config.providers], "rules": rules}


def _requirement(token: JwtRequirement, provider: JwtProvider) -> Json:
    audiences = ",".join(token.audiences or provider.audiences)
    return {"providerId": token.provider, **_given(audiences=audiences)}


def _provider(provider: JwtProvider) -> Json:
    places = [] if provider.places == DEFAULT_TOKEN_PLACES else [_location(place) for place in provider.places]
    return {
        "id": provider.id,
        "issuer": provider.issuer,
        **_given(
            jwksUri=provider.jwks_uri,
            audiences=",".join(provider.audiences),
            authorizationUrl=provider.authorization_url,
            jwtLocations=places,
        ),
    }


def _location(place: Place) -> Json:
    return {place.kind.value: place.name, **_given(valuePrefix=place.prefix)}


def _system_parameters(operations: list[Operation]) -> Json:
    rules = []
    for operation in operations:
        alternatives = operation.requirement.alternatives
        places = dict.fromkeys(place for one in alternatives for place in one.key_places)
        if places and any(place not in DEFAULT_KEY_PLACES for place in places):
            rules.append({"selector": operation.selector, "parameters": [_parameter(place) for place in places]})
    return _given(rules=rules)


def _parameter(place: Place) -> Json:
    names = {PlaceKind.HEADER: "httpHeader", PlaceKind.QUERY: "urlQueryParameter", PlaceKind.COOKIE: "httpCookie"}
    return {"name": "api_key", names[place.kind]: place.name}


def _quota(config: ServiceConfig, operations: list[Operation]) -> Json:
    limits = [
        {
            "name": limit.name,
            "metric": limit.metric,
            "unit": f"{limit.interval}/{limit.unit.value}/{{project}}",
            "values": {"STANDARD": str(limit.value)},
            **_given(displayName=limit.display_name, description=limit.description),
        }
        for limit in config.limits
    ]
    rules = [
        {"selector": one.selector, "metricCosts": {cost.metric: str(cost.amount) for cost in one.costs}}
        for one in operations
        if one.costs
    ]
    return _given(limits=limits, metricRules=rules)


def _endpoint(config: ServiceConfig) -> Json:
    return {"name": config.name, **_given(target=config.endpoint_target, allowCors=config.allow_cors)}


def _source(text: SourceText) -> Json:
    return {"@type": _TYPE_URL + _CONFIG_FILE, "filePath": text.file, "fileType": _file_type(text.text)}


def _file_type(text: str) -> str:
    if is_packed(text):
        return "FILE_DESCRIPTOR_SET_PROTO"
    if _SERVICE_TYPE.search(text):
        return "SERVICE_CONFIG_YAML"
    return "OPEN_API_JSON" if text.lstrip().startswith("{") else "OPEN_API_YAML"
