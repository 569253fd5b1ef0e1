"""Messages after the JSON mapping of protobuf."""

import time

import pytest
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool

from authz.sources.write import openapi
from authz.sources.write.schemas import leaves


@pytest.fixture(scope="module")
def exhibit(museum_document):
    return museum_document["components"]["schemas"]["museum.v1.Exhibit"]


@pytest.mark.parametrize(
    ("name", "schema"),
    [
        ("name", {"type": "string"}),
        ("title", {"type": "string"}),  # its json_name
        ("thumbnail", {"type": "string", "format": "byte", "readOnly": True}),
        ("height", {"type": "number", "format": "double"}),
        ("width", {"type": "number", "format": "float"}),
        ("big", {"type": "string", "format": "uint64"}),
        ("small", {"type": "integer", "format": "int32"}),
        ("made", {"type": "string", "format": "date-time", "deprecated": True}),
        ("note", {"type": "string", "nullable": True}),
        ("labels", {"type": "object", "additionalProperties": True}),
        (
            "partOf",
            {"allOf": [{"$ref": "#/components/schemas/museum.v1.Exhibit"}], "description": "What it is made of."},
        ),
        ("parts", {"type": "array", "items": {"$ref": "#/components/schemas/museum.v1.Exhibit"}}),
        ("museum", {"$ref": "#/components/schemas/museum.v1.Exhibit.Museum"}),
        ("onLoan", {"type": "boolean"}),
        ("nothing", {}),
    ],
)
def test_a_field_is_its_json(exhibit, name, schema):
    assert exhibit["properties"][name] == schema


def test_a_duration_is_seconds_as_text(exhibit):
    assert exhibit["properties"]["lentFor"]["type"] == "string"


def test_an_any_names_its_type(exhibit):
    assert exhibit["properties"]["extra"]["properties"] == {"@type": {"type": "string"}}


def test_a_oneof_is_told(exhibit):
    assert exhibit["description"] == "What stands in a hall.\n\nAt most one of person, museum."


def test_maps_have_values_of_their_type(museum_document):
    listed = museum_document["components"]["schemas"]["museum.v1.ListExhibitsResponse"]["properties"]

    assert listed["byNumber"] == {
        "type": "object",
        "additionalProperties": {"$ref": "#/components/schemas/museum.v1.Exhibit"},
    }
    assert listed["views"]["additionalProperties"] == {"$ref": "#/components/schemas/museum.v1.View"}


def test_an_enum_is_its_names_with_their_comments(museum_document):
    view = museum_document["components"]["schemas"]["museum.v1.View"]

    assert view["enum"] == ["VIEW_UNSPECIFIED", "FULL"]
    assert view["description"] == "- VIEW_UNSPECIFIED: The title only.\n- FULL: All of it, and more."


def test_only_what_is_used_is_described(museum_document):
    schemas = museum_document["components"]["schemas"]

    assert "museum.v1.GetExhibitRequest" not in schemas
    assert "google.protobuf.Timestamp" not in schemas


@pytest.mark.parametrize(
    ("version", "note", "part"),
    [
        (
            "3.1",
            {"type": ["string", "null"]},
            {"$ref": "#/components/schemas/museum.v1.Exhibit", "description": "What it is made of."},
        ),
        (
            "2.0",
            {"type": "string", "x-nullable": True},
            {"allOf": [{"$ref": "#/definitions/museum.v1.Exhibit"}], "description": "What it is made of."},
        ),
    ],
)
def test_versions_have_their_own_words(museum_config, museum, version, note, part):
    document = openapi(museum_config, museum, version).document
    schemas = document["definitions"] if version == "2.0" else document["components"]["schemas"]

    assert schemas["museum.v1.Exhibit"]["properties"]["note"] == note
    assert schemas["museum.v1.Exhibit"]["properties"]["partOf"] == part


def test_needed_fields_are_required(small):
    written = small("""
        service S { rpc Get(M) returns (M) { option (google.api.http) = {post: "/v1/m" body: "*"}; } }
        message M { string a = 1 [(google.api.field_behavior) = REQUIRED]; string b = 2; }
        """)

    assert written.document["components"]["schemas"]["p.M"]["required"] == ["a"]


def test_messages_of_nothing_but_messages_end_some_time():
    file = FileDescriptorProto(name="m.proto", package="m", syntax="proto3")
    for number in range(60):
        message = file.message_type.add(name=f"M{number}")
        for other in range(60):
            kind = FieldDescriptorProto.TYPE_MESSAGE
            message.field.add(name=f"f{other}", number=other + 1, type=kind, label=1, type_name=f".m.M{other}")
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    begun = time.process_time()

    found = list(leaves(pool.FindMessageTypeByName("m.M0"), 12))

    assert not found
    assert time.process_time() - begun < 5


def test_names_and_enums_are_those_that_the_service_prints(small):
    schemas = small(
        """
        service S { rpc Get(M) returns (M) { option (google.api.http) = {get: "/v1/m"}; } }
        message M { string given_name = 1; Kind kind_of = 2; }
        enum Kind {
          option allow_alias = true;
          NONE = 0;
          // Both
          // of them.
          SOME = 2;
          ANY = 2;
        }
        """,
        "x-authz-transcoding: {preserve_proto_field_names: true, always_print_enums_as_ints: true}",
    ).document["components"]["schemas"]

    assert list(schemas["p.M"]["properties"]) == ["given_name", "kind_of"]
    assert schemas["p.Kind"] == {
        "type": "integer",
        "enum": [0, 2],
        "description": "- 0: NONE\n- 2: SOME: Both of them.\n- 2: ANY",
    }
