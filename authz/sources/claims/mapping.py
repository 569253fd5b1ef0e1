"""One operation as one binding of its RPC: what its path, query and body are in the request, and what does not fit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from google.api import http_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from authz.model.paths import PathError, Template
from authz.sources.claims.fields import is_map, is_plain, is_value, listed, shown
from authz.sources.claims.judge import Judge, Way, misfit
from authz.sources.claims.said import Taken
from authz.sources.claims.schemas import shape
from authz.sources.node import Node
from authz.sources.openapi.rpcs import Claim
from authz.sources.protos.bindings import is_scalar, is_text_of_url
from authz.sources.protos.descriptors import Method, Place

ALL = "*"
_VERBS = frozenset({"GET", "PUT", "POST", "DELETE", "PATCH"})
_BODY = "google.api.HttpBody"
_USUAL = frozenset({"key", "api_key", "access_token"})  # credentials, as documents like to show them


class Mapping:
    """An operation held against its RPC. `taken` says which query parameters are no fields of it."""

    def __init__(self, claim: Claim, method: Method, judge: Judge, taken: Taken) -> None:
        self.claim = claim
        self.method = method
        self.request: Descriptor = method.request
        self.judge = judge
        self.taken = taken
        self.filled: set[str] = set()
        operation = claim.operation
        # Before the RPC's own path no base path is needed; one may be the first part of it.
        own = claim.called, operation.template.text if operation.method == "POST" else ""
        self.is_own_path = method.rpc.path in own
        self.place = Place(operation.file, operation.line, claim.node.document.findings)

    def rule(self) -> http_pb2.HttpRule | None:
        """The http rule; None for the RPC's own path, which needs none, and where there cannot be one."""
        path = self.path()
        body = ALL if self.is_own_path else self.body()
        self.check_body(body)
        self.check_query(body)
        self.check_answer()
        if self.is_own_path or not path:
            return None
        http = http_pb2.HttpRule(body=body, response_body=self.answer())
        verb = self.claim.operation.method
        if verb in _VERBS:
            setattr(http, verb.lower(), path)
        else:
            http.custom.kind, http.custom.path = verb, path
        return http

    # The path.

    def path(self) -> str:
        """The template with the names of fields in place of the document's; '' (and a finding) if one is no field."""
        template = self.claim.operation.template
        text, is_sound = template.text, True
        for variable in template.variables:
            name = self.variable(variable.name)
            is_sound = is_sound and bool(name)
            for end in ("}", "="):
                # No other part of a template has a brace.
                text = text.replace(f"{{{variable.name}{end}", f"{{\0{name}{end}")
        text = text.replace("\0", "")
        try:
            return Template.parse(text).text if is_sound else ""
        except PathError as error:
            hint = "Two of its variables are one field: leave one out."
            self.place.report("path-invalid", str(error), hint)
            return ""

    def variable(self, name: str) -> str:
        """The field path of a path variable; '' (and a finding) if it has none."""
        found = self.judge.fields.path(self.request, name)
        declared = next((one for one in self.claim.parameters if _is(one, "path", name)), None)
        if isinstance(found, str):
            why = found
        elif not is_scalar(found[-1]):
            why = f"'{shown(found[-1])}' is no single value"
        else:
            self.filled.add(_dotted(found))
            self.check_type(declared, found[-1])
            return _dotted(found)
        message = f"the path variable '{name}' cannot fill {self.request.full_name}: {why}"
        self.report(declared, "name", "http-field", message, f"Name a single scalar field: {listed(self.request)}.")
        return ""

    # The query.

    def check_query(self, body: str) -> None:
        """Complain of query parameters that fill no field, or one that is filled already."""
        for parameter in self.claim.parameters:
            if parameter.text("in") == "query":
                self.query(parameter, parameter.text("name"), body)

    def query(self, parameter: Node, name: str, body: str) -> None:
        """One query parameter."""
        found = self.judge.fields.path(self.request, name)
        if isinstance(found, str) and (self.taken.is_all_ignored or name in self.taken.ignored):
            return
        if name in self.taken.credentials or (name in _USUAL and isinstance(found, str)):
            if not isinstance(found, str) and not self.is_own_path:
                message = f"'{name}' in the query is a credential: the field '{shown(found[-1])}' never gets it"
                parameter.report("grpc-credential", message, "Move the credential, or rename the field.", "name")
        elif body == ALL:
            hint = "Name the field that is the body (x-authz-grpc: {method: ..., body: FIELD}), or leave it out."
            message = f"the body fills all of {self.request.full_name}, nothing is left for the query's '{name}'"
            parameter.report("grpc-query", message, hint, "name")
        elif isinstance(found, str):
            hint = f"{listed(self.judge.fields.above(self.request, name))}; x-authz-transcoding may ignore others."
            parameter.report("grpc-query", f"the query parameter '{name}' fills nothing: {found}", hint, "name")
        elif _dotted(found) in self.filled or found[0].name == body:
            message = f"the path or the body fills '{found[0].name}' already; the query's '{name}' cannot"
            parameter.report("grpc-query", message, "Leave out one of the two.", "name")
        elif not (is_text_of_url(found[-1]) or is_value(found[-1])):
            message = f"the query parameter '{name}' is '{shown(found[-1])}', which no text of a query can be"
            hint = f"Name its fields one by one: {name}.FIELD" if not found[-1].is_repeated else "Put it into the body."
            parameter.report("grpc-query", message, hint, "name")
        else:
            self.check_type(parameter, found[-1])
            if found[-1].is_repeated:
                _check_list(parameter, name)

    # The bodies.

    def body(self) -> str:
        """The field that the body is, `*` for the whole request, '' without a body."""
        if written := self.claim.named.body:
            found = self.judge.fields.named(self.request, written)
            return found.name if found is not None else written
        declared = next((one for one in self.claim.parameters if one.text("in") == "body"), None)
        if declared is not None:
            found = self.judge.fields.named(self.request, declared.text("name"))
            return found.name if found is not None and not self.is_whole(declared, found) else ALL
        return ALL if self.claim.node.value.get("requestBody") is not None else ""

    def is_whole(self, declared: Node, field: FieldDescriptor) -> bool:
        """Whether a body is the request although it is called like a field: many are called `body`, whatever they are.

        It is where its schema is an object which the field cannot be, or whose properties are the request's alone.
        """
        schema = declared.child("schema") if "schema" in declared else None
        found = shape(schema) if schema else None
        if found is None or is_map(field):
            return False
        message = field.message_type
        if message is None or field.is_repeated:
            return "object" in found.types
        known, names = self.judge.fields, found.properties.keys()
        is_other = bool(names) and not is_plain(message) and not names & known.of(message).keys()
        return is_other and names <= known.of(self.request).keys()

    def check_body(self, body: str) -> None:
        """Complain of a body that cannot be the request, or the field that it is to be."""
        for parameter in self.claim.parameters:
            if parameter.text("in") == "formData":
                message = f"the form field '{parameter.text('name')}' reaches no RPC: its body is JSON"
                parameter.report("grpc-body", message, "Declare one parameter with 'in: body'.", "in")
        field = self.request.fields_by_name.get(body)
        if self.is_raw(field):
            return
        self.check_consumed(body)
        schema = self.body_schema()
        if schema is None:
            return
        if body == ALL:
            better = self.better(schema)
            if better is not None:
                self.report_better(better)
                self.judge.field(schema, better, Way.ASK)
            else:
                self.judge.message(schema, self.request, Way.ASK)
        elif field is not None:
            self.judge.field(schema, field, Way.ASK)

    def check_consumed(self, body: str) -> None:
        """OpenAPI 2.0: complain of bodies that are said to be something else than JSON."""
        node = self.claim.node
        written = node.value.get("consumes")
        kinds = [kind for kind in written if isinstance(kind, str)] if isinstance(written, list) else []
        if body and kinds and not _json_of(kinds):
            node.report("grpc-body", *_not_json(kinds), "consumes")

    def is_raw(self, field: FieldDescriptor | None) -> bool:
        """Whether the body is taken as it comes."""
        message = field.message_type if field is not None else self.request
        return message is not None and message.full_name == _BODY

    def body_schema(self) -> Node | None:
        """The schema of the body, if there is one."""
        declared = next((one for one in self.claim.parameters if one.text("in") == "body"), None)
        if declared is not None:
            return declared.child("schema")
        written = self.claim.node.child("requestBody") if "requestBody" in self.claim.node else None
        body = written.resolved() if written else None
        content = body.child("content") if body else None
        if content is None:
            return None
        schema, kinds = _json(content)
        if kinds and not schema:
            content.report("grpc-body", *_not_json(kinds), kinds[0])
        return schema.child("schema") if schema else None

    def better(self, schema: Node) -> FieldDescriptor | None:
        """Where nothing in a body is a field of the request: the field of it that has the most of what is in it."""
        found = shape(schema)
        if found is None or not found.properties or found.properties.keys() & self.judge.fields.of(self.request).keys():
            return None
        fitting = {
            len(found.properties.keys() & self.judge.fields.of(field.message_type).keys()): field
            for field in reversed(self.request.fields)
            if field.message_type is not None and not field.is_repeated
        }
        most = max(fitting, default=0)
        return fitting[most] if most else None

    def report_better(self, field: FieldDescriptor) -> None:
        """Complain of a body that is one field of the request, not all of it."""
        rpc = f"{self.method.rpc.service}/{self.method.rpc.method}"
        message = f"the body is the field '{shown(field)}' of {self.request.full_name}, not the whole of it"
        self.claim.node.report(
            "grpc-body", message, f"Write 'x-authz-grpc: {{method: {rpc}, body: {field.name}}}'.", self.claim.key
        )

    def answer(self) -> str:
        """The field of the response that is the answer; '' for the whole of it."""
        written = self.claim.named.response_body
        found = self.judge.fields.named(self.method.response, written)
        return found.name if found is not None else written

    def check_answer(self) -> None:
        """Warn of properties of the answer that the RPC's response does not have."""
        response = self.method.response
        if self.claim.named.response_body or response.full_name == _BODY:
            return
        schema = self.answer_schema()
        found = shape(schema) if schema else None
        if schema is None or found is None:
            return
        if self.method.rpc.server_streaming and "array" in found.types:
            schema = found.items
        if schema is not None:
            self.judge.message(schema, response, Way.ANSWER)

    def answer_schema(self) -> Node | None:
        """The schema of the first answer that is a success."""
        responses = self.claim.node.value.get("responses")
        codes = sorted(code for code in responses if str(code).startswith("2")) if isinstance(responses, dict) else []
        node = self.claim.node.child("responses") if codes else None
        written = node.child(codes[0]) if node else None
        answer = written.resolved() if written else None
        if answer is None:
            return None
        if "content" not in answer:
            return answer.child("schema")
        content = answer.child("content")
        kind, _ = _json(content) if content else (None, [])
        return kind.child("schema") if kind else None

    # What both have.

    def check_type(self, parameter: Node | None, field: FieldDescriptor) -> None:
        """Complain of a parameter whose values are none of its field."""
        if parameter is None or "content" in parameter:
            return
        schema = parameter.child("schema") if "schema" in parameter else parameter
        found = shape(schema) if schema else None
        items = shape(found.items) if found and found.items and field.is_repeated else None
        for one in filter(None, (found, items)):
            one.node.name = f"the parameter '{parameter.text('name')}'"
            # A list in a query is the same name several times.
            is_item = field.is_repeated and "array" not in one.types
            if why := misfit(one, field, one=is_item, is_text_of_url=True):
                one.node.report("grpc-type", why[0], why[1], "type" if "type" in one.node else "enum")

    def report(self, node: Node | None, key: str, code: str, message: str, hint: str) -> None:
        """Remember a finding at a parameter, or at the operation if that is not declared."""
        if node is not None:
            node.report(code, message, hint, key)
        else:
            self.place.report(code, message, hint)


def _is(parameter: Node, place: str, name: str) -> bool:
    return parameter.value.get("in") == place and parameter.value.get("name") == name


def _check_list(parameter: Node, name: str) -> None:
    """Warn of a list that is written as one text: Envoy takes that for one value."""
    if "schema" not in parameter and parameter.text("type") == "array":
        wrong = "collectionFormat" if parameter.text("collectionFormat") != "multi" else ""
        remedy = "collectionFormat: multi"
    else:
        styled = parameter.text("style") not in {"", "form"}
        wrong = "style" if styled else "explode" if parameter.value.get("explode") is False else ""
        remedy = "explode: true"
    if wrong:
        message = f"the list '{name}' is one text in the query; a field of an RPC takes '{name}=' once for each value"
        parameter.report("grpc-list", message, f"Write '{remedy}'.", wrong)


def _dotted(fields: list[FieldDescriptor]) -> str:
    return ".".join(field.name for field in fields)


def _json(content: Node) -> tuple[Node | None, list[str]]:
    """The entry of a content mapping that JSON has, and the media types that there are."""
    kinds = list(content.value)
    found = _json_of(kinds)
    return content.child(found) if found else None, kinds


def _json_of(kinds: Iterable[str]) -> str:
    """The media type that JSON has among some."""
    return next((kind for kind in kinds if "json" in kind.lower() or kind.startswith(("*/", "application/*"))), "")


def _not_json(kinds: Sequence[str]) -> tuple[str, str]:
    message = f"the body is {', '.join(kinds[:3])}, but an RPC takes JSON"
    return message, "Write 'application/json', or bind a google.api.HttpBody."
