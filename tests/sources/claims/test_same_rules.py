"""Whether http rules are annotations of a proto or operations of an OpenAPI document: they are the same rules."""

from __future__ import annotations

import json

from google.api import annotations_pb2, http_pb2
from google.protobuf import empty_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet
from hypothesis import given, settings
from hypothesis import strategies as st

from authz.model.service import SourceText
from authz.sources import compile_texts
from authz.sources.protos.packed import pack

HOST = "shop.example.com"
VERBS = ("get", "put", "post", "delete", "patch", "head", "options")
# Field paths of the request, as protos and as JSON spell them.
SCALARS = {"id": "id", "display_name": "displayName", "below.display_name": "below.displayName", "below.id": "below.id"}
BODIES = {"": "", "*": "*", "below": "below", "other_one": "otherOne"}


def file(rules):
    """A service with a method for each rule; a rule may be None."""
    made = FileDescriptorProto(name="a.proto", package="p", syntax="proto3")
    made.dependency.extend(["google/api/annotations.proto", "google/protobuf/empty.proto"])
    message = made.message_type.add(name="M")
    for number, name in enumerate(("id", "display_name"), 1):
        message.field.add(name=name, number=number, type=FieldDescriptorProto.TYPE_STRING, label=1)
    for number, name in enumerate(("below", "other_one"), 3):
        message.field.add(name=name, number=number, type=FieldDescriptorProto.TYPE_MESSAGE, type_name=".p.M", label=1)
    service = made.service.add(name="S")
    for number, rule in enumerate(rules):
        method = service.method.add(name=f"M{number}", input_type=".p.M", output_type=".google.protobuf.Empty")
        if rule is not None:
            method.options.Extensions[annotations_pb2.http].CopyFrom(rule)
    return made


def packed(rules):
    files = []
    for module in (annotations_pb2, empty_pb2):
        waiting = [module.DESCRIPTOR]
        while waiting:
            one = waiting.pop()
            waiting += one.dependencies
            if one.name not in {made.name for made in files}:
                files.append(FileDescriptorProto())
                one.CopyToProto(files[-1])
    return SourceText("a.pb", pack(FileDescriptorSet(file=[*files, file(rules)]).SerializeToString(), ["a.proto"]))


@st.composite
def operations(draw):
    """Operations of an OpenAPI document, and the http rules that they mean, method by method."""
    paths, rules = {}, []
    for number in range(draw(st.integers(1, 4))):
        written = [_operation(draw, number, nth, paths) for nth in range(draw(st.integers(1, 3)))]
        first, *more = written
        first.additional_bindings.extend(more)
        rules.append(first)
    return paths, rules


def _operation(draw, number, nth, paths):
    verb = draw(st.sampled_from(VERBS))
    fields = draw(st.lists(st.sampled_from(sorted(SCALARS)), unique=True, max_size=2))
    body = draw(st.sampled_from(sorted(BODIES)))
    deep = draw(st.booleans())
    tail = draw(st.sampled_from(["", ":go"]))
    json_names = draw(st.booleans())
    template, path, parameters = f"/m{number}/b{nth}", f"/m{number}/b{nth}", []
    for place, name in enumerate(fields):
        shown = SCALARS[name] if json_names else name
        is_deep = deep and place == len(fields) - 1
        template += f"/{{{name}=**}}" if is_deep else f"/{{{name}}}"
        path += f"/{{{shown}}}"
        more = {"x-google-parameter": {"pattern": "**"}} if is_deep else {}
        parameters.append({"in": "path", "name": shown, "type": "string", "required": True, **more})
    operation = {"operationId": f"m{number}b{nth}", "x-authz-grpc": f"p.S/M{number}"}
    if body == "*" and draw(st.booleans()):
        operation["x-authz-grpc"] = {"method": f"p.S/M{number}", "body": "*"}
    elif body:
        shown = BODIES[body] if body != "*" else "everything"
        parameters.append({"in": "body", "name": shown if json_names or body == "*" else body, "schema": {}})
    paths[path + tail] = {verb: {**operation, "parameters": parameters}}
    rule = http_pb2.HttpRule(body=body)
    if verb in {"head", "options"}:
        rule.custom.kind, rule.custom.path = verb.upper(), template + tail
    else:
        setattr(rule, verb, template + tail)
    return rule


def meaning(config):
    return (
        config.descriptors,
        [
            (one.selector, one.method, one.template, one.backend, one.rpc, one.stream_timeout)
            for one in config.operations
        ],
    )


@settings(deadline=None, max_examples=100)
@given(operations())
def test_operations_mean_what_annotations_mean(made):
    paths, rules = made
    document = {"swagger": "2.0", "info": {"title": "T", "version": "1.0.0"}, "host": HOST, "paths": paths}

    by_annotation = compile_texts([packed(rules)], service=HOST)
    by_document = compile_texts([SourceText("a.json", json.dumps(document)), packed([None] * len(rules))])

    assert not by_annotation.findings
    assert not by_document.findings
    assert meaning(by_document.configs[0]) == meaning(by_annotation.configs[0])
