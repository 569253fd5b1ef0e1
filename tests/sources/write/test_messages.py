"""What is sent and what comes back: path, query and body, and the RPC that they are for."""

import pytest

from authz.sources.write import VERSIONS, openapi


def names(operation, place):
    return [one["name"] for one in operation.get("parameters", ()) if one["in"] == place]


@pytest.mark.parametrize(
    ("path", "method", "rpc"),
    [
        ("/v1/{name=halls/*/exhibits/*}", "get", "museum.v1.Museum/GetExhibit"),
        ("/v1/{name=halls/*/exhibits/*}", "head", "museum.v1.Museum/GetExhibit"),
        ("/v1/exhibits/{name=**}", "get", "museum.v1.Museum/GetExhibit"),
        ("/v1/{parent=halls/*}/exhibits", "post", {"method": "museum.v1.Museum/CreateExhibit", "body": "exhibit"}),
        ("/v1/{exhibit.name=halls/*/exhibits/*}", "put", "museum.v1.Museum/UpdateExhibit"),
        (
            "/v1/{name=halls/*}/photo",
            "put",
            {"method": "museum.v1.Museum/Hang", "body": "photo", "response_body": "receipt"},
        ),
        ("/museum.v1.Museum/Count", "post", "museum.v1.Museum/Count"),
        ("/museum.v1.Museum/Upload", "post", "museum.v1.Museum/Upload"),
    ],
)
def test_an_operation_names_its_rpc(museum_document, path, method, rpc):
    assert museum_document["paths"][path][method]["x-authz-grpc"] == rpc


@pytest.mark.parametrize(
    ("path", "method", "in_path", "in_query"),
    [
        (
            "/v1/{parent=halls/*}/exhibits",
            "get",
            ["parent=halls/*"],
            # Neither maps nor repeated messages, and nothing twice on the way down.
            ["pageSize", "pageToken", "filter.artist", "filter.span.from", "filter.span.to", "labels", "views", "since",
             "lent", "secret"],
        ),
        ("/v1/{parent=halls/*}/exhibits", "post", ["parent=halls/*"], ["validateOnly"]),
        ("/v1/{exhibit.name=halls/*/exhibits/*}", "patch", ["exhibit.name=halls/*/exhibits/*"], ["updateMask"]),
        ("/v1/exhibits/{number}:move", "post", ["number"], []),
        ("/v1/exhibits/{number}/{hall}:move", "post", ["number", "hall"], ["metres"]),
        ("/museum.v1.Museum/Count", "post", [], []),
    ],
)  # fmt: skip
def test_fields_are_in_the_path_in_the_query_or_in_the_body(museum_document, path, method, in_path, in_query):
    operation = museum_document["paths"][path][method]

    assert names(operation, "path") == in_path
    assert names(operation, "query") == in_query


def test_a_path_variable_says_what_it_takes(museum_document):
    (name, *_) = museum_document["paths"]["/v1/{name=halls/*/exhibits/*}"]["get"]["parameters"]

    assert name["required"]
    assert name["schema"] == {"type": "string", "pattern": "^halls/[^/]+/exhibits/[^/]+$"}


def test_a_field_of_a_credentials_name_is_left_out_with_a_remark(small):
    written = small("""
        service S { rpc Get(M) returns (M) { option (google.api.http) = {get: "/v1/m"}; } }
        message M { string key = 1; N more = 2; }
        message N { string key = 1; }
        """)

    assert names(written.document["paths"]["/v1/m"]["get"], "query") == ["more.key"]
    assert written.remarks == ("p.S.Get: the field 'key' is no query parameter, because credentials stand there",)


def test_names_of_query_parameters_are_never_mistaken(small):
    written = small("""
        service S { rpc Get(M) returns (M) { option (google.api.http) = {get: "/v1/m"}; } }
        message M {
          string first_one = 1;
          string second_one = 2 [json_name = "a.b"];
          string third_one = 3 [json_name = "fourth_one"];
          string fourth_one = 4;
        }
        """)

    assert names(written.document["paths"]["/v1/m"]["get"], "query") == [
        "firstOne", "second_one", "third_one", "fourthOne",
    ]  # fmt: skip


def body(operation):
    ((media, content),) = operation["requestBody"]["content"].items()
    return media, content["schema"]


@pytest.mark.parametrize(
    ("path", "method", "media", "schema"),
    [
        (
            "/v1/{parent=halls/*}/exhibits",
            "post",
            "application/json",
            {"$ref": "#/components/schemas/museum.v1.Exhibit"},
        ),
        ("/v1/tags", "put", "application/json", {"type": "array", "items": {"type": "string"}}),
        ("/v1/raw", "post", "*/*", {"type": "string", "format": "binary"}),
        ("/v1/everything", "post", "application/json", {"type": "object", "additionalProperties": True}),
        ("/v1/{name=halls/*}/photo", "put", "*/*", {"type": "string", "format": "binary"}),
        (
            "/museum.v1.Museum/Count",
            "post",
            "application/json",
            {"$ref": "#/components/schemas/museum.v1.TagsRequest"},
        ),
    ],
)
def test_a_body_is_what_the_rule_says(museum_document, path, method, media, schema):
    assert body(museum_document["paths"][path][method]) == (media, schema)


def test_a_body_of_everything_is_everything_but_the_path(museum_document):
    _, schema = body(museum_document["paths"]["/v1/exhibits/{number}:move"]["post"])

    assert list(schema["properties"]) == ["hall", "metres"]


@pytest.mark.parametrize(
    ("path", "media", "kind"),
    [
        ("/v1/{name=halls/*}:watch", "application/json", "array"),
        ("/v1/{name=halls/*}/photo", "*/*", "string"),
        ("/v1/{name=halls/*}/film", "*/*", "string"),
    ],
)
def test_an_answer_is_json_an_array_of_it_or_whatever_it_is(museum_document, path, media, kind):
    response = museum_document["paths"][path]["get"]["responses"]["200"]

    assert response["content"][media]["schema"]["type"] == kind


@pytest.mark.parametrize("version", VERSIONS)
def test_what_only_grpc_clients_call_has_no_body(museum_config, museum, version):
    tour = openapi(museum_config, museum, version).document["paths"]["/museum.v1.Museum/Tour"]["post"]

    assert "requestBody" not in tour
    assert "parameters" not in tour
    assert tour["responses"]["200"] == {
        "description": "For gRPC clients: a stream of museum.v1.Exhibit is answered with a stream of museum.v1.Exhibit."
    }


def test_every_operation_may_go_wrong(museum_document):
    errors = {
        operation["responses"]["default"]["$ref"]
        for item in museum_document["paths"].values()
        for operation in item.values()
    }

    assert errors == {"#/components/responses/Error"}
    schema = museum_document["components"]["responses"]["Error"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/google.rpc.Status"}


def test_version_2_has_bodies_among_the_parameters(museum_config, museum):
    paths = openapi(museum_config, museum, "2.0").document["paths"]
    created = paths["/v1/{parent=halls/*}/exhibits"]["post"]
    listed = paths["/v1/{parent=halls/*}/exhibits"]["get"]
    raw = paths["/v1/raw"]["post"]

    assert names(created, "body") == ["exhibit"]
    assert created["x-authz-grpc"] == "museum.v1.Museum/CreateExhibit"  # the name says it
    views = next(one for one in listed["parameters"] if one["name"] == "views")
    assert (views["type"], views["collectionFormat"]) == ("array", "multi")
    assert (raw["consumes"], names(raw, "body")) == (["*/*"], ["body"])


def test_version_2_tells_all_of_the_body_from_a_field_called_body(small):
    written = small(
        """
        service S {
          rpc All(M) returns (M) { option (google.api.http) = {post: "/v1/all" body: "*"}; }
          rpc One(M) returns (M) { option (google.api.http) = {post: "/v1/one" body: "body"}; }
        }
        message M { string body = 1; }
        """,
        version="2.0",
    )
    paths = written.document["paths"]

    assert paths["/v1/all"]["post"]["x-authz-grpc"] == {"method": "p.S/All", "body": "*"}
    assert paths["/v1/one"]["post"]["x-authz-grpc"] == "p.S/One"


def test_parameters_have_an_end(small):
    fields = "".join(f"string f{number} = {number};" for number in range(1, 200))
    service = 'service S { rpc Get(M) returns (M) { option (google.api.http) = {get: "/v1/m"}; } }'
    written = small(f"{service} message M {{{fields}}}")

    assert len(written.document["paths"]["/v1/m"]["get"]["parameters"]) == 100
    assert written.remarks == ("p.S.Get: of its query parameters the first 100 are listed",)


@pytest.mark.parametrize(
    ("said", "media", "answer"),
    [
        ("", "application/json", {"type": "array", "items": {"$ref": "#/components/schemas/p.M"}}),
        ("stream_sse", "text/event-stream", {"$ref": "#/components/schemas/p.M"}),
        ("stream_newline_delimited", "application/json", {"$ref": "#/components/schemas/p.M"}),
    ],
)
def test_a_stream_has_the_form_that_the_service_gives_it(small, said, media, answer):
    written = small(
        """
        service S { rpc Get(M) returns (stream M) { option (google.api.http) = {get: "/v1/m"}; } }
        message M { string name = 1; }
        """,
        f"x-authz-transcoding: {{{said}: true}}" if said else "",
    )
    content = written.document["paths"]["/v1/m"]["get"]["responses"]["200"]["content"]

    assert content == {media: {"schema": answer}}
