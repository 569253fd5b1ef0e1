"""Which types of a document fit which fields: proto3's JSON mapping, read leniently."""

from __future__ import annotations

import pytest

TYPES = ("string", "integer", "number", "boolean", "array", "object")
NUMBERS = {"integer", "number"}
FITTING = {
    "aDouble": NUMBERS,
    "anInt": NUMBERS,
    "aLong": NUMBERS | {"string"},
    "aFlag": {"boolean"},
    "aText": {"string"},
    "aBlob": {"string"},
    "aColor": {"string", "integer"},
    "anItem": {"object"},
    "ints": {"array"},
    "items": {"object"},
    "aTime": {"string"},
    "aWhile": {"string"},
    "aMask": {"string"},
    "aStruct": {"object"},
    "aValue": set(TYPES),
    "aList": {"array"},
    "anAny": {"object"},
    "aWrappedText": {"string"},
    "aWrappedLong": NUMBERS | {"string"},
    "aWrappedFlag": {"boolean"},
    "nothing": {"object"},
    "null": set(TYPES),
    "many": {"array"},
    "times": {"array"},
    "aRaw": set(TYPES),
}
HEAD3 = """\
openapi: 3.1.0
info: {title: Shop, version: 1.0.0}
servers: [{url: https://shop.example.com}]
"""
BODY = """\
paths:
  /all:
    post:
      operationId: all
      x-authz-grpc: shop.v1.Items/Everything
      requestBody:
        content:
          application/json:
            schema: SCHEMA
"""


def complaints(shop, schema):
    return [one.message for one in shop(BODY.replace("SCHEMA", schema), head=HEAD3).errors]


@pytest.mark.parametrize("name", FITTING)
def test_a_property_has_a_type_of_its_field(name, shop):
    fits = {kind for kind in TYPES if not complaints(shop, f"{{properties: {{{name}: {{type: {kind}}}}}}}")}

    assert fits == FITTING[name]


@pytest.mark.parametrize(
    "schema",
    [
        "{type: object}",
        "{}",
        "{properties: {an_int: {type: [integer, 'null']}}}",
        "{properties: {anInt: {type: string, format: int32}}}",
        "{properties: {aDouble: {type: string, format: double}}}",
        "{properties: {anInt: {oneOf: [{type: string}, {type: boolean}]}}}",
        "{oneOf: [{properties: {nonsense: {}}}]}",
        "{properties: {anInt: {$ref: 'other.yaml#/x'}}}",
        "{properties: {anInt: true, made: {readOnly: true}}}",
        "{properties: {items: {additionalProperties: {properties: {displayName: {type: string}}}}}}",
        "{properties: {items: {additionalProperties: true}}}",
        "{properties: {aStruct: {properties: {anything: {type: string}}}}}",
        "{properties: {anAny: {properties: {'@type': {type: string}}}}}",
        "{properties: {many: {items: {properties: {tags: {items: {type: string}}}}}}}",
        "{allOf: [{properties: {anInt: {type: integer}}}, {properties: {aText: {type: string}}}]}",
        "{properties: {aColor: {type: string, enum: [red, COLOR_UNSPECIFIED]}}}",
    ],
)
def test_what_fits_or_is_not_for_us_to_judge_is_let_be(schema, shop):
    assert complaints(shop, schema) == []


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ("{type: array}", "the schema is a list, but shop.v1.Types is an object"),
        ("{properties: {anInt: {type: [string, boolean]}}}", "'anInt' is a boolean or a string"),
        ("{properties: {items: {additionalProperties: {type: string}}}}", "'additionalProperties' is a string"),
        (
            "{properties: {ints: {items: {type: boolean}}}}",
            "'items' is a boolean, which the field 'repeated int32 ints'",
        ),
        ("{properties: {many: {items: {properties: {nonsense: {}}}}}}", "'nonsense' is no field of shop.v1.Item"),
        ("{properties: {nothing: {properties: {nonsense: {}}}}}", "'nonsense' is no field of google.protobuf.Empty"),
        ("{properties: {aColor: {type: string, enum: [BLUE]}}}", "'BLUE' is no value of shop.v1.Color"),
        ("{allOf: [{properties: {nonsense: {}}}]}", "'nonsense' is no field of shop.v1.Types"),
        ("{$ref: '#/nowhere'}", "points at nothing"),
    ],
)
def test_what_does_not_fit_is_an_error(schema, words, shop):
    (message,) = complaints(shop, schema)

    assert words in message


def test_schemas_that_contain_themselves_end(shop):
    schema = "{$ref: '#/components/schemas/Item'}"
    document = BODY.replace("SCHEMA", f"{{properties: {{anItem: {schema}}}}}") + (
        f"components: {{schemas: {{Item: {{allOf: [{schema}], properties: {{parent: {schema}, wrong: {schema}}}}}}}}}\n"
    )
    compiled = shop(document, head=HEAD3)

    assert [one.code for one in compiled.errors] == ["grpc-body"]


PARAMETER = """\
paths:
  /all:
    get:
      operationId: all
      x-authz-grpc: shop.v1.Items/Everything
      parameters: [{in: query, name: NAME, schema: SCHEMA}]
"""


@pytest.mark.parametrize(
    ("name", "schema", "fits"),
    [
        ("aText", "{type: integer}", True),
        ("aWrappedText", "{type: boolean}", True),
        ("aText", "{type: array, items: {type: string}}", False),
        ("anInt", "{type: integer}", True),
        ("anInt", "{type: string}", False),
        ("aLong", "{type: string}", True),
        ("aFlag", "{type: boolean}", True),
        ("aFlag", "{type: string}", False),
        ("aColor", "{type: string, enum: [RED]}", True),
        ("aColor", "{type: string, enum: [BLUE]}", False),
        ("aTime", "{type: string, format: date-time}", True),
        ("aMask", "{type: string}", True),
        ("ints", "{type: integer}", True),
        ("ints", "{type: array, items: {type: integer}}", True),
        ("ints", "{type: array, items: {type: boolean}}", False),
        ("ints", "{type: boolean}", False),
        ("anItem.displayName", "{type: string}", True),
        ("an_item.color", "{type: string}", True),
        ("anItem", "{type: object}", False),
        ("aStruct", "{type: object}", False),
        ("aValue", "{type: string}", True),
        ("many", "{type: array}", False),
        ("many.id", "{type: string}", False),
        ("items", "{type: object}", False),
        ("aTime.seconds", "{type: integer}", False),
        ("times", "{type: array, items: {type: string}}", True),
        ("times", "{type: array, items: {type: integer}}", False),
        ("aRaw", "{type: string}", False),
        ("aRaw.contentType", "{type: string}", True),
    ],
)
def test_a_query_parameter_is_text_that_its_field_takes(name, schema, fits, shop):
    compiled = shop(PARAMETER.replace("NAME", name).replace("SCHEMA", schema), head=HEAD3)

    assert (not compiled.errors) is fits
