"""The document as a whole: valid for others, in a sensible order, and as long as the service."""

import openapi_spec_validator
import pytest

from authz.sources.write import VERSIONS, as_yaml, openapi


@pytest.mark.parametrize("version", VERSIONS)
def test_it_is_valid_openapi(museum, museum_config, version):
    openapi_spec_validator.validate(openapi(museum_config, museum, version).document)


@pytest.mark.parametrize(
    ("version", "keys"),
    [
        (
            "3.0",
            ["openapi", "info", "servers", "tags", "security", "x-google-api-management", "x-authz-transcoding",
             "paths", "components"],
        ),
        (
            "2.0",
            ["swagger", "info", "host", "schemes", "consumes", "produces", "x-google-endpoints", "tags", "security",
             "x-google-management", "x-authz-transcoding", "paths", "securityDefinitions", "responses", "definitions"],
        ),
    ],
)  # fmt: skip
def test_it_begins_with_what_a_reader_wants_to_know(museum, museum_config, version, keys):
    assert list(openapi(museum_config, museum, version).document) == keys


def test_it_is_of_its_service(museum_document):
    assert museum_document["info"] == {"title": 'The "Museum": a test', "version": "v1"}
    assert museum_document["servers"] == [
        {"url": "https://museum.example.com", "x-google-endpoint": {"allowCors": True}}
    ]


def test_what_most_operations_ask_for_stands_at_the_root(museum_document):
    paths = museum_document["paths"]

    assert museum_document["security"] == [{"api_key": []}]
    assert "security" not in paths["/v1/{name=halls/*}:watch"]["get"]
    assert paths["/v1/raw"]["post"]["security"] == []
    assert paths["/v1/{name=halls/*}/film"]["get"]["security"] == [{"elsewhere": []}, {}]


def test_where_nothing_is_asked_nothing_is_said_of_it(small):
    written = small(
        'service S { rpc Get(M) returns (M) { option (google.api.http) = {get: "/v1/m"}; } } message M {}',
        'usage: {rules: [{selector: "*", allow_unregistered_calls: true}]}',
    )

    assert "security" not in written.document
    assert "security" not in written.document["paths"]["/v1/m"]["get"]
    assert "securitySchemes" not in written.document["components"]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        (
            "/v1/{name=halls/*/exhibits/*}",
            {"summary": "One exhibit.", "description": 'By the name that its hall gives it: "halls/3", say.'},
        ),
        ("/v1/{name=halls/*}:watch", {}),
    ],
)
def test_comments_are_summaries_and_descriptions(museum_document, path, told):
    operation = museum_document["paths"][path]["get"]

    assert {key: operation[key] for key in ("summary", "description") if key in operation} == told


def test_a_sentence_in_two_lines_is_no_summary(museum_document):
    operation = museum_document["paths"]["/v1/{parent=halls/*}/exhibits"]["post"]

    assert "summary" not in operation
    assert operation["description"] == "A new exhibit,\nin one of the halls"


@pytest.mark.parametrize(
    ("deadline", "said"), [("", None), ("deadline: 60", None), ("deadline: 15", 15), ("deadline: 0.5", None)]
)
def test_streams_say_how_long_they_may_be_silent_where_it_is_not_what_is_usual(small, deadline, said):
    written = small(
        'service S { rpc Get(M) returns (stream M) { option (google.api.http) = {get: "/v1/m"}; } } message M {}',
        f"backend: {{rules: [{{selector: '*', {deadline}}}]}}",
    )

    assert written.document["paths"]["/v1/m"]["get"].get("x-authz-stream-timeout") == said


def test_deprecated_methods_are(museum_document):
    item = museum_document["paths"]["/v1/{name=halls/*/exhibits/*}"]

    assert item["delete"]["deprecated"]
    assert "deprecated" not in item["get"]


def test_what_has_no_word_is_told(small):
    written = small(
        'service S { rpc Get(M) returns (M) { option (google.api.http) = {get: "/v1/m"}; } } message M {}',
        """
        http: {fully_decode_reserved_expansion: true}
        endpoints: [{name: p.example.com, target: 10.0.0.1}]
        """,
    )

    assert written.remarks == (
        "'fully_decode_reserved_expansion' has no word in OpenAPI: keep a google.api.Service YAML with it",
        "the endpoint's target '10.0.0.1' has no word in OpenAPI 3.x",
    )


def test_the_first_line_says_how_to_use_it(museum_document):
    first = as_yaml(museum_document).partition("\n")[0]

    assert first.startswith("# ")
    assert "authz up" in first
