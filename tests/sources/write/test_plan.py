"""Which operations there are, what they are called, and what is said of what there is no word for."""

import pytest


def operations(document):
    return {(method, path): operation for path, item in document["paths"].items() for method, operation in item.items()}


def test_every_binding_is_an_operation_and_what_has_none_has_its_own_path(museum_document):
    found = operations(museum_document)

    assert len(found) == 20
    assert [path for _, path in found if path.startswith("/museum")] == [
        "/museum.v1.Museum/Count",
        "/museum.v1.Museum/Upload",
        "/museum.v1.Museum/Tour",
    ]


def test_ids_are_unique_and_in_order(museum_document):
    ids = [operation["operationId"] for operation in operations(museum_document).values()]

    assert len(set(ids)) == len(ids)
    assert ids[:4] == ["Museum_GetExhibit", "Museum_GetExhibit2", "Museum_DeleteExhibit", "Museum_GetExhibit3"]


def test_ids_that_would_be_the_same_are_not(small):
    written = small("""
        service S {
          rpc Get(M) returns (M) {
            option (google.api.http) = {get: "/v1/a" additional_bindings {get: "/v1/b"}};
          }
          rpc Get2(M) returns (M) { option (google.api.http) = {get: "/v1/c"}; }
        }
        service s { rpc Get(M) returns (M) { option (google.api.http) = {get: "/v1/d"}; } }
        message M {}
        """)

    ids = [operation["operationId"] for operation in operations(written.document).values()]
    assert ids == ["S_Get", "S_Get2", "S_Get22", "s_Get3"]


def test_tags_are_services_with_their_comments(museum_document):
    assert museum_document["tags"] == [{"name": "Museum", "description": "Exhibits, and the halls that they stand in."}]


@pytest.mark.parametrize(("kind", "what"), [("*", "any method"), ("PURGE", "the method PURGE")])
def test_methods_without_a_word_are_left_out_with_a_remark(small, kind, what):
    written = small(f"""
        service S {{ rpc Get(M) returns (M) {{
          option (google.api.http) = {{
            custom {{kind: "{kind}" path: "/v1/a"}} additional_bindings {{get: "/v1/b"}}
          }};
        }} rpc Only(M) returns (M) {{ option (google.api.http) = {{custom {{kind: "{kind}" path: "/v1/c"}}}}; }} }}
        message M {{}}
        """)

    assert list(operations(written.document)) == [("get", "/v1/b"), ("post", "/p.S/Only")]
    assert written.remarks == tuple(
        f"p.S.{name} is bound to {what} of /v1/{path}, which OpenAPI has no word for: this binding is left out"
        for name, path in (("Get", "a"), ("Only", "c"))
    )


def test_bindings_that_cannot_be_in_order_are_told(small):
    written = small("""
        service S {
          rpc A(M) returns (M) { option (google.api.http) = {get: "/v1/a" additional_bindings {post: "/v1/b"}}; }
          rpc B(M) returns (M) { option (google.api.http) = {get: "/v1/b" additional_bindings {post: "/v1/a"}}; }
        }
        message M {}
        """)

    assert written.remarks == (
        "GET /v1/b is no longer the first binding of p.S.B: another RPC has the same paths the other way round",
    )


def test_services_that_would_come_back_are_told(small):
    written = small(
        """
        service S { rpc Get(M) returns (M) { option (google.api.http) = {get: "/v1/a"}; } }
        service T { rpc Get(M) returns (M) { option (google.api.http) = {get: "/v1/b"}; } }
        message M {}
        """,
        "apis: [{name: p.S}]",
    )

    assert list(written.document["paths"]) == ["/v1/a"]
    assert [remark.partition(",")[0] for remark in written.remarks] == ["p.T is not served now"]


@pytest.mark.parametrize(("body", "remarks"), [('body: "*"', 0), ("", 1)])
def test_a_rule_for_an_own_path_is_what_holds_there_anyway_or_is_told(small, body, remarks):
    written = small(f"""
        service S {{ rpc Get(M) returns (M) {{ option (google.api.http) = {{post: "/p.S/Get" {body}}}; }} }}
        message M {{}}
        """)

    assert list(operations(written.document)) == [("post", "/p.S/Get")]
    assert len(written.remarks) == remarks
