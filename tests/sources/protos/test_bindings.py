"""http rules of protos: what binds, and what is refused at which line of the proto."""

from __future__ import annotations

import pytest

from authz.sources import compile_texts, read_files

PROTO = """\
package a;
import "google/api/annotations.proto";
import "google/api/httpbody.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/field_mask.proto";
import "google/protobuf/any.proto";
message M {
  string name = 1;
  repeated string names = 2;
  M inner = 3;
  google.protobuf.Timestamp at = 4;
  google.protobuf.FieldMask mask = 5;
  google.protobuf.Any any = 6;
  oneof kind { string one = 7; int32 other = 8; }
  optional bool given = 9;
  google.api.HttpBody raw = 10;
}
service S {
  rpc Get(REQUEST) returns (M) {
    option deprecated = false;
    option (google.api.http) = { RULE };
  }
}
"""
LINE = 22  # of the option, with the syntax line in front


def compiled(protos, rule, request="M"):
    (path,) = protos(a=PROTO.replace("RULE", rule).replace("REQUEST", request))
    return compile_texts(read_files([path]), service="a.example.com"), str(path)


@pytest.mark.parametrize(
    ("rule", "bound"),
    [
        ('get: "/{name}"', ["GET /{name}"]),
        ('get: "/{name=shelves/*/books/**}:read"', ["GET /{name=shelves/*/books/**}:read"]),
        ('put: "/{inner.inner.name}" body: "inner"', ["PUT /{inner.inner.name}"]),
        ('patch: "/{at}/{mask}/{one}/{other}/{given}"', ["PATCH /{at}/{mask}/{one}/{other}/{given}"]),
        ('custom { kind: "*" path: "/**" }', ["* /**"]),
        ('custom { kind: "purge" path: "/x" } body: "*"', ["PURGE /x"]),
        ('post: "/x" body: "names" response_body: "raw"', ["POST /x"]),
        (
            'post: "/x" body: "raw" additional_bindings { put: "/x" body: "raw" }',
            ["POST /x", "PUT /x"],
        ),
        ('delete: "/x" additional_bindings { get: "/y" }', ["DELETE /x", "GET /y"]),
        ('post: "/a.S/Get" body: "*"', []),
        ('get: "/a.S/Get"', ["GET /a.S/Get"]),
    ],
)  # fmt: skip
def test_a_rule_binds_beside_the_path_of_the_rpc(rule, bound, protos):
    found, _ = compiled(protos, rule)

    assert not found.findings
    assert [f"{one.method} {one.template.text}" for one in found.configs[0].operations] == [*bound, "POST /a.S/Get"]


@pytest.mark.parametrize(
    ("rule", "code", "words"),
    [
        ('get: "/{nam}"', "http-field", "has no field 'nam'"),
        ('get: "/{inner.nam}"', "http-field", "has no field 'nam'"),
        ('get: "/{names}"', "http-field", "repeated"),
        ('get: "/{inner}"', "http-field", "a message, a.M"),
        ('get: "/{any}"', "http-field", "google.protobuf.Any"),
        ('get: "/{name.x}"', "http-field", "'name' is not a single message"),
        ('get: "/x" additional_bindings { get: "/{y}" }', "http-field", "'y'"),
        ('post: "/x" body: "nam"', "http-body", "'nam'"),
        ('post: "/x" body: "inner.name"', "http-body", "'inner.name'"),
        ('post: "/x/{name}" body: "name"', "http-body", "fills 'name' already"),
        ('get: "/x" response_body: "name"', "http-response-body", "no single google.api.HttpBody"),
        ('get: "/x" response_body: "nam"', "http-response-body", "no field"),
        ('post: "/x" body: "raw" additional_bindings { post: "/y" body: "*" }', "http-body-mixed", "holds for all"),
        ('get: "/x" additional_bindings { post: "/y" body: "raw" }', "http-body-mixed", "holds for all"),
        ('get: "/x" additional_bindings { get: "/y" response_body: "raw" }', "http-body-mixed", "holds for all"),
        ('get: "x"', "path-invalid", "slash"),
        ('get: "/x/{name}_y"', "path-invalid", "whole segment"),
        ('body: "*"', "http-pattern", "no method and path"),
        ('custom { kind: "G T" path: "/x" }', "http-pattern", "no method and path"),
        ('get: "/{name}" additional_bindings { get: "/{one}" }', "path-duplicate", "matches the same paths"),
        ('get: "/x" additional_bindings { get: "/y" additional_bindings { get: "/z" } }', "http-nested", "additional"),
    ],
)  # fmt: skip
def test_a_rule_that_cannot_bind_is_an_error_at_its_line(rule, code, words, protos):
    found, file = compiled(protos, rule)

    assert [(one.code, one.file, one.line) for one in found.errors] == [(code, file, LINE)]
    assert words in found.errors[0].message
    assert found.errors[0].hint


def test_a_stream_of_requests_has_no_http_rule(protos):
    found, file = compiled(protos, 'post: "/x"', request="stream M")

    assert [(one.code, one.file, one.line) for one in found.errors] == [("http-streaming", file, LINE)]
