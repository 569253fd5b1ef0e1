"""A config's documents, compiled by themselves for its name, mean the same again: a store keeps nothing else of it."""

from __future__ import annotations

import itertools

import pytest

from authz.model.service import SourceText
from authz.sources import compile_texts, read_files

PROTO = """\
syntax = "proto3";
package p;
import "google/api/annotations.proto";
import "google/api/client.proto";
message M { string id = 1; }
service One { rpc Get(M) returns (M) { option (google.api.http).get = "/one/{id}"; } rpc Plain(M) returns (M); }
service Two { rpc Get(M) returns (M) { option (google.api.http).get = "/two/{id}"; } rpc Plain(M) returns (M); }
service Hosted {
  option (google.api.default_host) = "hosted.example.com";
  rpc Get(M) returns (M) { option (google.api.http).get = "/hosted/{id}"; }
}
"""
OTHER = """\
syntax = "proto3";
package q;
import "google/api/annotations.proto";
import "google/api/client.proto";
message M { string id = 1; }
service Hosted2 {
  option (google.api.default_host) = "a.example.com";
  rpc Get(M) returns (M) { option (google.api.http).get = "/hosted2/{id}"; }
}
service Hosted3 {
  option (google.api.default_host) = "e.example.com";
  rpc Get(M) returns (M) { option (google.api.http).get = "/hosted3/{id}"; }
}
"""


def openapi(host, *rpcs, extra=""):
    paths = "".join(
        f"  /{host or 'nobody'}/{number}:\n    get: {{operationId: o{number}, x-authz-grpc: {rpc}}}\n"
        for number, rpc in enumerate(rpcs)
    )
    paths += "  /rest:\n    get: {operationId: rest}\n"
    named = f"host: {host}\n" if host else ""
    info = "swagger: '2.0'\ninfo: {title: T, version: 1.0.0}\n"
    return SourceText(f"{host or 'nobody'}.yaml", f"{info}{named}{extra}paths:\n{paths}")


def service(name, *apis):
    listed = "".join(f"- name: {api}\n" for api in apis)
    return SourceText(
        f"{name}.service.yaml", f"type: google.api.Service\nname: {name}\n" + ("apis:\n" + listed) * bool(apis)
    )


A, B, C = "a.example.com", "b.example.com", "c.example.com"
BESIDE = {
    "a-rest": openapi(A),
    "a-one": openapi(A, "p.One/Get"),
    "b-two": openapi(B, "p.Two/Get"),
    "b-both": openapi(B, "p.Two/Plain", "p.One/Plain"),
    "c-hosted": openapi(C, "p.Hosted/Get"),
    "nobody-one": openapi("", "p.One/Get"),
    "a-service": service(A),
    "b-service": service(B, "p.Two"),
}
SETS = [
    names
    for size in range(4)
    for names in itertools.combinations(BESIDE, size)
    # Two texts with one name are one file.
    if len({BESIDE[name].file for name in names}) == size
]


@pytest.fixture(scope="module")
def protos(tmp_path_factory: pytest.TempPathFactory) -> list[SourceText]:
    paths = [tmp_path_factory.mktemp("protos") / name for name in ("p.proto", "q.proto")]
    for path, text in zip(paths, (PROTO, OTHER), strict=True):
        path.write_text(text)
    return [SourceText(path.name, text.text) for path, text in zip(paths, read_files(paths), strict=True)]


@pytest.mark.parametrize("name", ["", A, "d.example.com"])
@pytest.mark.parametrize("names", SETS, ids="+".join)
def test_what_is_kept_of_a_config_means_that_config(names, name, protos):
    texts = [*protos, *(BESIDE[name] for name in names)]
    compiled = compile_texts(texts, service=name)

    for config in compiled.configs:
        kept = [text for text in texts if text.file in config.documents]
        again = compile_texts(kept, service=config.name)
        assert not again.errors
        assert again.configs[0] == config


def test_most_of_these_sets_have_configs(protos):
    """Otherwise what is above proves nothing."""
    made = [compile_texts([*protos, *(BESIDE[name] for name in names)], service=A).configs for names in SETS]

    assert sum(map(bool, made)) > len(SETS) / 2
    assert max(map(len, made)) >= 3


def test_a_service_beside_those_of_several_hosts_must_name_its_own(tmp_path):
    path = tmp_path / "mixed.proto"
    path.write_text(OTHER + "service Nobody { rpc Get(M) returns (M); }\n")

    compiled = compile_texts(read_files([path]), service=A)

    assert [one.code for one in compiled.errors] == ["host-missing"]
    assert "q.Nobody" in compiled.errors[0].message
