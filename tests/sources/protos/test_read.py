"""Protos and service YAML put together: services, APIs, findings, and what a store gets of them."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest
from google.api import annotations_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from hypothesis import given, settings
from hypothesis import strategies as st

from authz.model.service import Api, SourceText
from authz.sources import compile_service, compile_texts, read_files
from authz.sources.protos.packed import pack

BAD = sorted((Path(__file__).parent / "bad").glob("*.yaml"))
MARK = re.compile(r"# <- ([a-z0-9-]+)")
OPENAPI = """\
swagger: "2.0"
info: {title: Shop, version: 1.0.0}
host: shop.example.com
paths:
  PATH:
    get: {operationId: listItems}
"""


def codes(compiled):
    return [finding.code for finding in compiled.findings]


def descriptors(config):
    return FileDescriptorSet.FromString(config.descriptors)


def annotations(config):
    return {
        f"{service.name}.{method.name}": method.options.Extensions[annotations_pb2.http]
        for file in descriptors(config).file
        for service in file.service
        for method in service.method
        if method.options.HasExtension(annotations_pb2.http)
    }


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_bad_yaml_has_exactly_its_findings(path, bookstore):
    text = path.read_text(encoding="utf-8")
    marked = [(code, line) for line, row in enumerate(text.splitlines(), 1) for code in MARK.findall(row)]

    compiled = compile_texts([bookstore, SourceText(path.name, text)])

    found = [one for one in compiled.findings if one.code != "api-unlisted"]
    assert sorted((one.code, one.line) for one in found) == sorted(marked)
    assert all(one.file == path.name and one.message and one.hint for one in found)
    assert bool(compiled.configs) is not bool(compiled.errors)


def test_every_rpc_has_its_own_path_and_its_bindings(service):
    (config,) = service("").configs

    assert [(one.short_name, one.method, one.template.text) for one in config.operations] == [
        ("ListShelves", "GET", "/v1/shelves"),
        ("ListShelves", "HEAD", "/v1/shelves"),
        ("ListShelves", "POST", "/shop.v1.Bookstore/ListShelves"),
        ("GetShelf", "GET", "/v1/shelves/{shelf}"),
        ("GetShelf", "POST", "/shop.v1.Bookstore/GetShelf"),
        ("CreateBook", "POST", "/v1/shelves/{shelf}/books"),
        ("CreateBook", "POST", "/v1/shelves/{shelf}/books/{book.id}"),
        ("CreateBook", "POST", "/shop.v1.Bookstore/CreateBook"),
        ("WatchShelf", "GET", "/v1/shelves/{shelf}:watch"),
        ("WatchShelf", "POST", "/shop.v1.Bookstore/WatchShelf"),
        ("Cover", "POST", "/shop.v1.Bookstore/Cover"),
        ("Import", "POST", "/shop.v1.Bookstore/Import"),
        ("Chat", "POST", "/shop.v1.Bookstore/Chat"),
    ]
    assert {one.rpc.path for one in config.operations} == {
        one.template.text for one in config.operations if one.is_rpc_path
    }


def test_operations_know_their_line_and_comment(service):
    (config,) = service("").configs

    shelves = [one for one in config.operations if one.short_name == "ListShelves"]

    assert [(one.file, one.line) for one in shelves] == [("bookstore.proto", 15)] * 2 + [("bookstore.proto", 14)]
    assert {one.summary for one in shelves} == {"All shelves."}


def test_the_apis_are_the_services_with_the_version_of_their_package(service):
    assert service("").configs[0].apis == (Api("shop.v1.Bookstore", "v1"),)

    head = (
        "type: google.api.Service\nname: shop.example.com\ntitle: Shop\napis: [{name: shop.v1.Internal, version: v7}]\n"
    )
    (config,) = service("", head=head).configs

    assert (config.title, config.apis) == ("Shop", (Api("shop.v1.Internal", "v7"),))
    assert {one.rpc.service for one in config.operations} == {"shop.v1.Internal"}


def test_a_service_that_apis_leave_out_is_not_served_and_said_so(service):
    compiled = service("")

    assert [(one.code, one.file, one.line) for one in compiled.findings] == [("api-unlisted", "1.yaml", 3)]
    assert "shop.v1.Internal" in compiled.findings[0].message


def test_without_apis_every_service_of_the_protos_is_served(service):
    compiled = service("", head="type: google.api.Service\nname: shop.example.com\n")

    assert not compiled.findings
    assert [api.name for api in compiled.configs[0].apis] == ["shop.v1.Bookstore", "shop.v1.Internal"]


def test_protos_alone_take_the_name_they_are_given(bookstore):
    nameless = compile_texts([bookstore])
    (config,) = compile_texts([bookstore], service="shop.example.com").configs

    assert [(one.code, one.file) for one in nameless.findings] == [("host-missing", "bookstore.proto")]
    assert "--service" in nameless.findings[0].hint
    assert (config.name, config.documents) == ("shop.example.com", ("bookstore.proto",))
    assert not compile_texts([bookstore], service="Shop").configs


def test_protos_name_their_services_themselves(protos):
    paths = protos(**{
        name: f"""
        package {name};
        import "google/api/client.proto";
        message M {{}}
        service S {{
          option (google.api.default_host) = "{host}";
          rpc Get(M) returns (M);
        }}
        """
        for name, host in (("a", "a.example.com:443"), ("b", "b.example.com"))
    })  # fmt: skip
    texts = read_files(paths)
    compiled = compile_texts(texts, service="other.example.com")

    assert [(one.name, one.documents) for one in compiled.configs] == [
        ("a.example.com", (str(paths[0]),)),
        ("b.example.com", (str(paths[1]),)),
    ]
    assert "hosts-differ" in codes(compile_service(texts))
    # What a store keeps of one of them means the same.
    assert compile_texts(texts[1:], service="b.example.com").configs == compiled.configs[1:]


def test_a_yaml_needs_protos(service):
    compiled = compile_texts([SourceText("api.yaml", "type: google.api.Service\nname: shop.example.com\napis: []\n")])

    assert [(one.code, one.line) for one in compiled.findings] == [("descriptors-missing", 3)]
    assert not compiled.configs


def test_a_later_yaml_says_again_what_an_earlier_one_said(service):
    first = """\
    title: First
    metrics: [{name: reads, display_name: one}, {name: writes}]
    quota:
      limits: [{name: reads, metric: reads, unit: "1/min/{project}", values: {STANDARD: 1}}]
      metric_rules: [{selector: "*", metric_costs: {reads: 1}}]
    authentication:
      providers: [{id: us, issuer: first}]
      rules: [{selector: "*", requirements: [{provider_id: us}]}]
    endpoints: [{name: shop.example.com, target: 192.0.2.1, allow_cors: true}]
    http: {rules: [{selector: shop.v1.Bookstore.Cover, get: "/one/{shelf}"}]}
    """
    second = """\
    title: Second
    metrics: [{name: reads, displayName: two}]
    quota: {limits: [{name: reads, metric: reads, unit: "1/min/{project}", values: {STANDARD: 2}}]}
    authentication: {providers: [{id: us, issuer: second}]}
    endpoints: [{name: shop.example.com, target: 192.0.2.2}]
    http: {rules: [{selector: shop.v1.Bookstore.Cover, get: "/two/{shelf}"}], fully_decode_reserved_expansion: true}
    """
    (config,) = service(first, second).configs

    assert config.title == "Second"
    assert {one.name: one.display_name for one in config.metrics} == {"writes": "", "reads": "two"}
    assert [one.value for one in config.limits] == [2]
    assert [one.issuer for one in config.providers] == ["second"]
    assert (config.endpoint_target, config.allow_cors) == ("192.0.2.2", False)
    assert annotations(config)["Bookstore.Cover"].get == "/two/{shelf}"
    assert config.fully_decode_reserved
    assert config.documents == ("bookstore.proto", "1.yaml", "2.yaml")


def test_two_services_do_not_share_a_nameless_yaml(bookstore):
    names = [f"type: google.api.Service\nname: {name}.example.com\n" for name in ("a", "b")]
    texts = [SourceText("a", names[0]), SourceText("b", names[1]), SourceText("c", "type: google.api.Service\n")]

    assert [(one.code, one.file) for one in compile_texts([bookstore, *texts]).findings] == [("host-missing", "c")]
    assert [one.name for one in compile_texts([bookstore, *texts[:2]]).configs] == ["a.example.com", "b.example.com"]


def test_openapi_and_protos_of_one_name_make_one_service(bookstore, service):
    yaml = SourceText("api.yaml", "type: google.api.Service\nname: shop.example.com\n")

    def both(path):
        return compile_texts([SourceText("openapi.yaml", OPENAPI.replace("PATH", path)), bookstore, yaml])

    (config,) = both("/items").configs

    assert {one.rpc is None for one in config.operations} == {True, False}
    assert config.documents == ("openapi.yaml", "bookstore.proto", "api.yaml")
    assert codes(both("/v1/shelves")) == ["path-duplicate"]


def test_cors_passthrough_of_an_rpc_is_plain_http(service):
    (config,) = service("endpoints: [{name: shop.example.com, allow_cors: true}]").configs

    preflights = [one for one in config.operations if one.method == "OPTIONS"]

    assert preflights
    assert all(one.rpc is None and one.requirement.is_open and not one.stream_timeout for one in preflights)


def test_the_descriptors_hold_the_rules_that_hold_and_no_comments(service):
    (config,) = service("""\
    http:
      rules:
      - selector: shop.v1.Bookstore.GetShelf
        custom: {kind: search, path: "/v2/{shelf}"}
        additional_bindings: [{put: "/v2/{shelf}", body: book}]
      - selector: shop.v1.Bookstore.Cover
        get: /v2/{shelf}/cover
        response_body: image
    """).configs

    found = annotations(config)

    rule = found["Bookstore.GetShelf"]
    assert (rule.custom.kind, rule.custom.path, rule.selector) == ("SEARCH", "/v2/{shelf}", "")
    assert [(one.put, one.body) for one in rule.additional_bindings] == [("/v2/{shelf}", "book")]
    assert found["Bookstore.Cover"].response_body == "image"
    assert found["Bookstore.ListShelves"].additional_bindings[0].custom.kind == "HEAD"
    assert "Bookstore.Chat" not in found
    assert not any(file.HasField("source_code_info") for file in descriptors(config).file)


def test_the_descriptors_are_in_order_and_have_the_types_of_errors(service):
    files = descriptors(service("").configs[0]).file
    names = [file.name for file in files]

    assert {"google/rpc/status.proto", "google/rpc/error_details.proto", "google/protobuf/any.proto"} <= set(names)
    assert len(names) == len(set(names))
    assert all(names.index(one) < names.index(file.name) for file in files for one in file.dependency)


def test_the_order_of_protos_does_not_change_the_descriptors(protos):
    paths = protos(
        a="import 'b.proto'; package p; service A { rpc G(p.M) returns (p.M); }", b="package p; message M {}"
    )
    one, other = (compile_texts(read_files(some), service="a.example.com") for some in (paths, paths[::-1]))

    assert not one.findings
    assert one.configs[0].descriptors == other.configs[0].descriptors
    assert set(one.configs[0].documents) == {str(path) for path in paths}


def test_protos_without_a_service_are_a_warning(protos):
    compiled = compile_texts(read_files(protos(a="message M {}")), service="a.example.com")

    assert codes(compiled) == ["no-operations"]


# Descriptor sets.


def a_set(*files):
    return FileDescriptorSet(file=files).SerializeToString()


def a_file(name="a.proto", package="p", service="S", dependency=()):
    file = FileDescriptorProto(name=name, package=package, syntax="proto3", dependency=dependency)
    file.message_type.add(name="M" + service)
    made = file.service.add(name=service)
    made.method.add(name="Get", input_type=f".{package}.M{service}", output_type=f".{package}.M{service}")
    return file


def compiled_sets(*sets):
    texts = [SourceText(f"{number}.pb", pack(one)) for number, one in enumerate(sets, 1)]
    return compile_texts(texts, service="a.example.com")


def test_a_descriptor_set_is_read_like_its_protos(tmp_path, bookstore):
    raw = base64.b64decode(bookstore.text.partition("\n")[2])
    for name in ("api.pb", "api.protoset", "api.binpb", "api.desc"):
        path = tmp_path / name
        path.write_bytes(raw)
        (config,) = compile_texts(read_files([path]), service="shop.example.com").configs

        assert (config.documents, len(config.apis)) == ((str(path),), 2)
        # The set names the proto: it is where the line is.
        assert (config.operations[0].file, config.operations[0].line) == ("bookstore.proto", 15)


def test_googles_services_of_a_set_are_served_only_if_there_are_no_others_or_apis_name_them():
    ours, theirs = a_file(), a_file("google/x.proto", "google.x", "X")

    (both,) = compiled_sets(a_set(ours, theirs)).configs
    (only,) = compiled_sets(a_set(theirs)).configs

    assert [api.name for api in both.apis] == ["p.S"]
    assert [api.name for api in only.apis] == ["google.x.X"]


@pytest.mark.parametrize(
    ("sets", "code", "words"),
    [
        ([b"not a set"], "descriptor-invalid", "no serialised"),
        ([b""], "descriptor-invalid", "empty"),
        ([a_set(FileDescriptorProto())], "descriptor-invalid", "names that are empty"),
        ([a_set(a_file(dependency=["b.proto"]))], "descriptor-imports", "'b.proto'"),
        ([a_set(a_file("a.proto"), a_file("b.proto"))], "descriptor-conflict", "'a.proto'"),
        ([a_set(a_file()), a_set(a_file(service="T"))], "descriptor-conflict", "1.pb"),
        (
            [a_set(a_file("a", dependency=["b"]), a_file("b", dependency=["a"], service="T"))],
            "descriptor-invalid",
            "fit",
        ),
    ],
)
def test_a_set_that_cannot_be_used_is_one_clear_error(sets, code, words):
    compiled = compiled_sets(*sets)

    assert [one.code for one in compiled.errors] == [code]
    assert words in compiled.findings[0].message
    assert compiled.findings[0].hint
    assert not compiled.configs


def test_a_set_with_a_type_that_is_nowhere_is_refused():
    file = a_file()
    file.service[0].method[0].input_type = ".p.Nothing"

    compiled = compiled_sets(a_set(file))

    assert [one.code for one in compiled.errors] == ["descriptor-invalid"]
    assert "p.Nothing" in compiled.findings[0].message


def test_a_field_whose_name_in_json_is_no_text_is_refused():
    file = a_file()
    file.message_type[0].field.add(name="f", number=99, type=9, label=1, json_name="~~")

    compiled = compiled_sets(a_set(file).replace(b"~~", b"\xf5~"))

    assert [one.code for one in compiled.errors] == ["descriptor-invalid"]


def test_two_sets_may_have_files_in_common():
    common = a_file("common.proto", "c", "C")

    compiled = compiled_sets(a_set(common, a_file(dependency=["common.proto"])), a_set(common))

    assert not compiled.findings
    assert [api.name for api in compiled.configs[0].apis] == ["c.C", "p.S"]


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_any_bytes_make_a_config_or_findings(data):
    good = a_set(a_file("b.proto", "q", "B"), a_file(dependency=["b.proto"]))
    cut = data.draw(st.integers(0, len(good)))
    raw = good[:cut] + data.draw(st.binary(max_size=20)) + good[cut + data.draw(st.integers(0, 5)) :]

    compiled = compiled_sets(raw)

    assert bool(compiled.configs) is not bool(compiled.errors)


@given(st.text(max_size=40))
def test_any_text_behind_the_mark_makes_findings(text):
    for body in (text, f"[]\n{text}", f'["a.proto"]\n{text}'):
        assert compile_texts([SourceText("a", f"%authz-descriptor-set 1 {body}")]).errors
