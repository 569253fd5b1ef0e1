"""google.api.http: the paths of an RPC, and whether its request can be made of them.

What Envoy's transcoder would refuse is refused here, where file and line are known: it refuses a whole configuration
for one wrong rule. What it would find out request by request (a path variable without a field) is refused here too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from google.api import http_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from authz.model.paths import PathError, Template
from authz.sources.node import Node
from authz.sources.protos.descriptors import Method, Place

_VERBS = ("get", "put", "post", "delete", "patch")
_BODY = "google.api.HttpBody"
_ALL_FIELDS = "*"
_KIND = re.compile(r"(?:[A-Za-z][A-Za-z0-9-]*|\*)\Z")
# Messages that are one JSON string, number or boolean: the transcoder makes them of a path's text.
_WRAPPED = ("Bool", "Bytes", "Double", "Float", "Int32", "Int64", "String", "UInt32", "UInt64")
_SCALARS = frozenset(
    f"google.protobuf.{name}" for name in ("Timestamp", "Duration", "FieldMask", *(f"{one}Value" for one in _WRAPPED))
)


@dataclass(frozen=True, slots=True)
class Rule:
    """One http rule and where it stands; `more` are the places of its additional bindings."""

    http: http_pb2.HttpRule
    place: Place
    more: tuple[Place, ...] = ()

    @classmethod
    def of(cls, method: Method) -> Rule | None:
        """The annotation of a method, if it has one."""
        if method.http is None:
            return None
        return cls(_upper(method.http), method.http_place, (method.http_place,) * len(method.http.additional_bindings))

    @classmethod
    def read(cls, node: Node) -> Rule:
        """A rule of a google.api.Service YAML."""
        node.known("selector", *_FIELDS, *_ADDITIONAL)
        http = _binding(node)
        more = []
        for entry in node.children(*_ADDITIONAL):
            entry.known("selector", *_FIELDS, *_ADDITIONAL)
            http.additional_bindings.append(_binding(entry))
            if entry.pick(_ADDITIONAL):
                http.additional_bindings[-1].additional_bindings.add()
            more.append(_place(entry))
        return cls(http, _place(node), tuple(more))


_ADDITIONAL = ("additional_bindings", "additionalBindings")
_RESPONSE = ("response_body", "responseBody")
_FIELDS = (*_VERBS, "custom", "body", *_RESPONSE)


@dataclass(frozen=True, slots=True)
class Binding:
    """One way to call an RPC over HTTP."""

    method: str
    template: Template
    place: Place


def bindings(method: Method, rule: Rule) -> Iterator[Binding]:
    """The bindings of a rule, without those that cannot be; each of these is a finding."""
    if method.rpc.client_streaming:
        message = f"{method.selector} takes a stream of requests, which no HTTP rule can bind"
        rule.place.report("http-streaming", message, f"Remove it: gRPC clients call POST {method.rpc.path}.")
        return
    for http, place in zip((rule.http, *rule.http.additional_bindings), (rule.place, *rule.more), strict=True):
        if http is not rule.http and http.additional_bindings:
            message = f"an additional binding of {method.selector} has additional bindings"
            place.report("http-nested", message, "Put all of them into one list of the rule.")
        if http is not rule.http:
            _check_alike(method, rule.http, http, place)
        binding = _bound(method, http, place)
        if binding:
            yield binding


def _bound(method: Method, http: http_pb2.HttpRule, place: Place) -> Binding | None:
    verb, path = _pattern(http)
    if not path or not _KIND.match(verb):
        message = f"the http rule of {method.selector} has no method and path"
        place.report("http-pattern", message, "Write get, put, post, delete, patch, or custom {kind, path}.")
        return None
    try:
        template = Template.parse(path)
    except PathError as error:
        hint = "A path is '/' and whole segments: literals, '{field}', '{field=a/*}', '*', '**', ':verb' at the end."
        place.report("path-invalid", str(error), hint)
        return None
    for variable in template.variables:
        _check_variable(method, variable.name, place)
    _check_bodies(method, http, template, place)
    return Binding(verb, template, place)


def _pattern(http: http_pb2.HttpRule) -> tuple[str, str]:
    kind = http.WhichOneof("pattern")
    if kind is None:
        return "", ""
    if kind == "custom":
        return http.custom.kind, http.custom.path
    return kind.upper(), getattr(http, kind)


def _check_variable(method: Method, path: str, place: Place) -> None:
    found = field(method.request, path)
    if isinstance(found, str):
        why = found
    elif is_scalar(found):
        return
    elif found.is_repeated or found.message_type is None:
        why = f"'{found.name}' is repeated"
    else:
        why = f"'{found.name}' is a message, {found.message_type.full_name}"
    message = f"the path variable '{path}' cannot fill {method.request.full_name}: {why}"
    place.report("http-field", message, f"Name a single scalar field{_fields(method.request)}.")


def is_scalar(field: FieldDescriptor) -> bool:
    """Whether one text of a path is a value of the field."""
    return not field.is_repeated and is_text_of_url(field)


def is_text_of_url(field: FieldDescriptor) -> bool:
    """Whether one text of a path or a query is one value of the field."""
    message = field.message_type
    return message is None or message.full_name in _SCALARS


def _check_bodies(method: Method, http: http_pb2.HttpRule, template: Template, place: Place) -> None:
    if http.body and http.body != _ALL_FIELDS and http.body not in method.request.fields_by_name:
        message = f"the body field '{http.body}' is no field of {method.request.full_name}"
        place.report("http-body", message, f"Write '*', or a field{_fields(method.request)}.")
    if http.body and any(variable.name == http.body for variable in template.variables):
        message = f"the path of {method.selector} fills '{http.body}' already; the body cannot"
        place.report("http-body", message, f"Name another field{_fields(method.request)}, or leave out 'body'.")
    if not http.response_body:
        return
    found = method.response.fields_by_name.get(http.response_body)
    if found is None or found.message_type is None or found.message_type.full_name != _BODY or found.is_repeated:
        what = "no field" if found is None else "a field that is no single google.api.HttpBody"
        message = f"the response body '{http.response_body}' is {what} of {method.response.full_name}"
        hint = "Remove 'response_body': the whole message is the answer. Envoy takes out a google.api.HttpBody only."
        place.report("http-response-body", message, hint)


def _check_alike(method: Method, first: http_pb2.HttpRule, other: http_pb2.HttpRule, place: Place) -> None:
    """Envoy asks the first binding of a method whether bodies are taken as they are, and does the same for all."""
    alike = _raw_body(method, first) == _raw_body(method, other) and first.response_body == other.response_body
    if not alike:
        message = (
            f"the bindings of {method.selector} differ in their google.api.HttpBody; the first one's holds for all"
        )
        hint = "Write the same 'body' and 'response_body' into each, or give each a method of its own."
        place.report("http-body-mixed", message, hint)


def _raw_body(method: Method, http: http_pb2.HttpRule) -> str:
    found = method.request.fields_by_name.get(http.body)
    is_raw = found is not None and found.message_type is not None and found.message_type.full_name == _BODY
    return http.body if is_raw else ""


def field(message: Descriptor, path: str) -> FieldDescriptor | str:
    """The field that a dotted path leads to, or why it leads nowhere."""
    *above, last = path.split(".")
    for name in above:
        found = message.fields_by_name.get(name)
        if found is None:
            return f"{message.full_name} has no field '{name}'"
        if found.message_type is None or found.is_repeated:
            return f"'{name}' is not a single message"
        message = found.message_type
    found = message.fields_by_name.get(last)
    return found if found is not None else f"{message.full_name} has no field '{last}'"


def _fields(message: Descriptor) -> str:
    names = [one.name for one in message.fields]
    return f": {', '.join(names[:12])}" if names else f"; {message.full_name} has none"


def _upper(http: http_pb2.HttpRule) -> http_pb2.HttpRule:
    """The same with custom methods in capital letters, as they come in requests."""
    same = http_pb2.HttpRule()
    same.CopyFrom(http)
    for one in (same, *same.additional_bindings):
        if one.WhichOneof("pattern") == "custom":
            one.custom.kind = one.custom.kind.upper()
    same.ClearField("selector")
    return same


def _place(node: Node) -> Place:
    return Place(node.document.file, node.line(), node.document.findings)


def _binding(node: Node) -> http_pb2.HttpRule:
    http = http_pb2.HttpRule(body=node.text("body"), response_body=node.text(*_RESPONSE))
    patterns = [key for key in (*_VERBS, "custom") if node.pick((key,))]
    if len(patterns) > 1:
        message = f"an http rule has one method, not {len(patterns)}: {', '.join(patterns)}"
        node.report("http-pattern", message, "Put the others into 'additional_bindings'.", patterns[1])
    custom = node.child("custom")
    if custom:
        custom.known("kind", "path")
        http.custom.kind, http.custom.path = custom.text("kind").upper(), custom.text("path")
    for key in patterns:
        if key != "custom":
            setattr(http, key, node.text(key))
    return http
