"""Requests and answers of an operation: parameters, bodies and responses, as either family spells them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor

from authz.sources.write.dialect import Dialect, Json
from authz.sources.write.lexicon import Lexicon, field
from authz.sources.write.plan import Planned
from authz.sources.write.schemas import BINARY, BODY, Schemas, leaves

_VARIABLE = re.compile(r"\{([^{}=]+)(?:=([^{}]*))?\}")
_ALL_FIELDS = "*"
_JSON, _EVENTS, _ANYTHING = "application/json", "text/event-stream", "*/*"
_DEEPEST = 4
_MOST_PARAMETERS = 100
ERROR = "Error"
_TROUBLE = (
    "What went wrong. Where the gateway refuses a call, `code` is the HTTP status; where the service does, it is "
    "google.rpc.Code's, and `details` may say more."
)
_WILD = {"*": "[^/]+", "**": ".*"}


@dataclass(frozen=True, slots=True)
class Content:
    """A body: its media type, its schema, and the name that OpenAPI 2.0 gives it."""

    media: str
    schema: Json
    name: str = "body"
    about: str = ""


class Messages:
    """What is sent and what comes back. `credentials` are query parameters that are never fields."""

    def __init__(self, lexicon: Lexicon, schemas: Schemas, dialect: Dialect, credentials: frozenset[str]) -> None:
        self.lexicon = lexicon
        self.schemas = schemas
        self.dialect = dialect
        self.credentials = credentials
        self.remarks: dict[str, None] = {}

    def described(self, one: Planned) -> Json:
        """The fields of an operation that say what is sent and what comes back; and x-authz-grpc, which says why."""
        method = self.lexicon.method(one.rpc)
        sent = self._request(one, method)
        parameters = [*self._path(one, method), *self._query(one, method)]
        fields: Json = {}
        if self.dialect.is_version2:
            if sent:
                about = {"description": sent.about} if sent.about else {}
                parameters.append({"name": sent.name, "in": "body", **about, "required": True, "schema": sent.schema})
                fields |= {"consumes": [sent.media]} if sent.media != _JSON else {}
        elif sent:
            about = {"description": sent.about} if sent.about else {}
            body = {**about, "required": True, "content": {sent.media: {"schema": sent.schema}}}
            fields["requestBody"] = body
        listed = {"parameters": parameters} if parameters else {}
        return {"x-authz-grpc": self._binding(one, method, sent), **listed, **fields, **self._responses(one, method)}

    def _binding(self, one: Planned, method: MethodDescriptor, sent: Content | None) -> str | Json:
        """The RPC's name alone where it says enough; else with what becomes of the bodies."""
        name = one.rpc.path[1:]
        rule = one.rule
        if rule is None:
            return name
        assumed = _ALL_FIELDS if sent else ""
        if sent and self.dialect.is_version2:
            # A body that is called like a field is taken for it.
            assumed = _called(method.input_type, sent.name) or assumed
        parts = {
            "body": rule.body if rule.body != assumed else "",
            "response_body": rule.response_body,
        }
        said = {key: value for key, value in parts.items() if value}
        return {"method": name, **said} if said else name

    # -- what is sent ------------------------------------------------------------------------------------------

    def _request(self, one: Planned, method: MethodDescriptor) -> Content | None:
        message = method.input_type
        if self._is_grpc_only(one):
            return None
        body = one.rule.body if one.rule is not None else _ALL_FIELDS
        if not body:
            return None
        if body == _ALL_FIELDS:
            if message.full_name == BODY:
                return Content(_ANYTHING, BINARY)
            bound = frozenset(variable.name for variable in one.operation.template.variables)
            return Content(_JSON, self.schemas.object(message, bound) if bound else self.schemas.message(message))
        chosen = message.fields_by_name[body]
        about = self.lexicon.comment(chosen.full_name)
        if chosen.message_type is not None and chosen.message_type.full_name == BODY:
            return Content(_ANYTHING, BINARY, body, about)
        return Content(_JSON, self.schemas.field(chosen), body, about)

    def _is_grpc_only(self, one: Planned) -> bool:
        return one.rpc.client_streaming or (one.rule is None and not one.operation.speaks_grpc)

    def _path(self, one: Planned, method: MethodDescriptor) -> Iterator[Json]:
        """A parameter for each variable, by what stands between its braces: that is what OpenAPI calls it."""
        for match in _VARIABLE.finditer(one.path):
            name, pattern = match[1], match[2]
            found = field(method.input_type, name)
            schema = self.schemas.text(found) if found else None
            schema = schema or {"type": "string"}
            if pattern and pattern not in _WILD and schema.get("type") == "string":
                schema = {**schema, "pattern": _regex(pattern)}
            about = self.lexicon.comment(found.full_name) if found else ""
            yield self._parameter(match[0][1:-1], "path", schema, about, required=True)

    def _query(self, one: Planned, method: MethodDescriptor) -> Iterator[Json]:
        """A parameter for each field that neither path nor body has."""
        body = one.rule.body if one.rule is not None else _ALL_FIELDS
        if body == _ALL_FIELDS:
            return
        bound = {variable.name for variable in one.operation.template.variables}
        count = 0
        for way in leaves(method.input_type, _DEEPEST):
            name = ".".join(part.name for part in way)
            if name in bound or way[0].name == body or (schema := self._parameter_schema(way[-1])) is None:
                continue
            spelt = ".".join(_spelt(part) for part in way)
            if {name, spelt} & self.credentials:
                self._remark(one, f"the field '{name}' is no query parameter, because credentials stand there")
                continue
            count += 1
            if count > _MOST_PARAMETERS:
                self._remark(one, f"of its query parameters the first {_MOST_PARAMETERS} are listed")
                return
            yield self._parameter(spelt, "query", schema, self.lexicon.comment(way[-1].full_name))

    def _parameter_schema(self, last: FieldDescriptor) -> Json | None:
        schema = self.schemas.text(last)
        return {"type": "array", "items": schema} if schema and last.is_repeated else schema

    def _parameter(self, name: str, place: str, schema: Json, about: str, *, required: bool = False) -> Json:
        fields: Json = {"name": name, "in": place}
        if about:
            fields["description"] = about
        if required:
            fields["required"] = True
        if not self.dialect.is_version2:
            return {**fields, "schema": schema}
        many = {"collectionFormat": "multi"} if schema.get("type") == "array" else {}
        return {**fields, **schema, **many}

    def _remark(self, one: Planned, text: str) -> None:
        self.remarks[f"{one.operation.selector}: {text}"] = None

    # -- what comes back ---------------------------------------------------------------------------------------

    def _responses(self, one: Planned, method: MethodDescriptor) -> Json:
        error = {"$ref": f"#/{'' if self.dialect.is_version2 else 'components/'}responses/{ERROR}"}
        if self._is_grpc_only(one):
            return {"responses": {"200": {"description": _for_grpc(one, method)}, "default": error}}
        content = self._response(one, method)
        media = {"produces": [content.media, _JSON]} if self.dialect.is_version2 and content.media != _JSON else {}
        return {**media, "responses": {"200": self.response(content), "default": error}}

    def response(self, content: Content) -> Json:
        """One response."""
        about = {"description": content.about or "OK"}
        if self.dialect.is_version2:
            return {**about, "schema": content.schema}
        return {**about, "content": {content.media: {"schema": content.schema}}}

    def error(self) -> Json:
        """The response that is an error, whichever."""
        return self.response(Content(_JSON, self.schemas.status(), about=_TROUBLE))

    def _response(self, one: Planned, method: MethodDescriptor) -> Content:
        message = method.output_type
        streams = one.rpc.server_streaming
        if message.full_name == BODY or (one.rule is not None and one.rule.response_body):
            return Content(
                _ANYTHING,
                BINARY,
                about="Whatever the server says it is." if not streams else "One piece after the other.",
            )
        schema = self.schemas.message(message)
        if not streams:
            return Content(_JSON, schema)
        printed = self.schemas.printed
        if printed.stream_sse:
            return Content(_EVENTS, schema, about="One message after the other, each as an event.")
        if printed.stream_newline_delimited:
            return Content(_JSON, schema, about="One message after the other, each on a line.")
        return Content(_JSON, {"type": "array", "items": schema}, about="One message after the other, as an array.")


def _called(message: Descriptor, name: str) -> str:
    """The field that a proto or JSON name means; '' if none."""
    by_json = {one.json_name: one.name for one in message.fields}
    return name if name in message.fields_by_name else by_json.get(name, "")


def _spelt(one: FieldDescriptor) -> str:
    """A field's JSON name, unless another is called so or it could be mistaken for a path of names."""
    name, message = one.json_name, one.containing_type
    is_clear = name.isidentifier() and message is not None and _called(message, name) == one.name
    return name if is_clear else one.name


def _for_grpc(one: Planned, method: MethodDescriptor) -> str:
    sent = f"{'a stream of ' if one.rpc.client_streaming else ''}{method.input_type.full_name}"
    answer = f"{'a stream of ' if one.rpc.server_streaming else ''}{method.output_type.full_name}"
    return f"For gRPC clients: {sent} is answered with {answer}."


def _regex(template: str) -> str:
    """A variable's template as a pattern of its values."""
    return f"^{'/'.join(_WILD.get(part) or re.escape(part) for part in template.split('/'))}$"
