"""A ServiceConfig as google.api.Service JSON, comparable to what Google's compiler makes of the same documents.

Security is folded as Google folds it: `usage` asks for a key only where every alternative has one, and
`authentication` lists the tokens of all alternatives. CORS passthrough is a flag of the endpoint, not methods.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from authz.model.auth import DEFAULT_KEY_PLACES, DEFAULT_TOKEN_PLACES, JwtProvider, JwtRequirement, Place, PlaceKind
from authz.model.paths import Template
from authz.model.service import DEFAULT_DEADLINE, LOCAL, Backend, Operation, ServiceConfig, SourceText

_TYPE_URL = "type.googleapis.com/"
_EMPTY = "google.protobuf.Empty"
_CONFIG_FILE = "google.api.servicemanagement.v1.ConfigFile"
_BORDER = re.compile(r"(?<!^)(?=[A-Z])")
_NOT_IN_FIELDS = re.compile(r"[^A-Za-z0-9_]")
_VARIABLE = re.compile(r"\{([^{}=]+)\}")
_VERBS = frozenset({"GET", "PUT", "POST", "DELETE", "PATCH"})
_CORS = "OPTIONS"
Json = dict[str, Any]


def service_json(config: ServiceConfig, texts: Sequence[SourceText] = ()) -> Json:
    """The service as google.api.Service. `texts` are named as its sources where the config was made of them."""
    operations = [one for one in config.operations if not (one.generated and one.method == _CORS)]
    return {
        "name": config.name,
        **({"id": config.id} if config.id else {}),
        "title": config.title,
        "apis": [_api(api.name, api.version, operations) for api in config.apis],
        "types": [_type(operation) for operation in operations if _fields(operation)],
        "http": {"rules": [_http(operation) for operation in operations]},
        "backend": {"rules": [_backend(one.selector, one.backend) for one in operations if one.backend != LOCAL]},
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


def _given(**fields: object) -> Json:
    """Only the fields that say something."""
    return {name: value for name, value in fields.items() if value}


def _api(name: str, version: str, operations: list[Operation]) -> Json:
    methods = [operation for operation in operations if operation.selector.rpartition(".")[0] == name]
    return {"name": name, "version": version, "methods": [_method(operation) for operation in methods]}


def _method(operation: Operation) -> Json:
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


def _http(operation: Operation) -> Json:
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


def _backend(selector: str, backend: Backend) -> Json:
    deadline = backend.deadline
    return {
        "selector": selector,
        **_given(
            address=backend.address,
            deadline=(int(deadline) if deadline.is_integer() else deadline) if deadline != DEFAULT_DEADLINE else 0,
            pathTranslation=backend.path_translation.value if backend.address else "",
            protocol=backend.protocol.value if backend.protocol else "",
            jwtAudience=backend.jwt_audience,
            disableAuth=backend.disable_auth,
        ),
    }


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
    kind = "OPEN_API_JSON" if text.text.lstrip().startswith("{") else "OPEN_API_YAML"
    return {"@type": _TYPE_URL + _CONFIG_FILE, "filePath": text.file, "fileType": kind}
