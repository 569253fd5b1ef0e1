"""x-authz-transcoding: what documents say of a service's JSON, alone and together."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from authz.model.service import SourceText
from authz.model.transcoding import OPTIONS, UNSAID, TranscodingOptions
from authz.settings import TABLE
from authz.sources import Compiled, compile_texts, read_files

HOST = "shop.example.com"
VERSION2 = f'swagger: "2.0"\ninfo: {{title: Shop, version: 1.0.0}}\nhost: {HOST}\npaths: {{}}\n'
VERSION3 = f"openapi: 3.0.4\ninfo: {{title: Shop, version: 1.0.0}}\nservers: [{{url: https://{HOST}}}]\npaths: {{}}\n"
YAML = f"type: google.api.Service\nname: {HOST}\n"
UNRELATED = {"no-operations", "grpc-unserved"}


@pytest.fixture(scope="module")
def proto() -> SourceText:
    (text,) = read_files([Path(__file__).parent / "claims" / "shop.proto"])
    return SourceText("shop.proto", text.text)


def together(proto: SourceText, *documents: str) -> Compiled:
    return compile_texts([proto, *(SourceText(f"{number}.yaml", text) for number, text in enumerate(documents, 1))])


def found(compiled: Compiled) -> list[tuple[str, str, int]]:
    return [(one.code, one.file, one.line) for one in compiled.findings if one.code not in UNRELATED]


def test_the_options_are_the_settings() -> None:
    prefix = "transcoding_"
    settings = {row.name.removeprefix(prefix): row for row in TABLE if row.name.startswith(prefix)}

    assert set(OPTIONS) == set(settings)
    for option in fields(TranscodingOptions):
        kind = "tuple[str, ...]" if settings[option.name].many else settings[option.name].kind.__name__
        assert option.type == f"{kind} | None"


@pytest.mark.parametrize("head", [VERSION2, VERSION3, YAML])
def test_every_option_is_read_from_every_kind_of_document(proto: SourceText, head: str) -> None:
    said = {
        option: ("[a, b]", ("a", "b"))
        if "ignore_query" in option
        else ("100", 100)
        if "bytes" in option
        else ("true", True)
        for option in OPTIONS
        if option != "stream_sse"
    }
    compiled = together(
        proto, head + "x-authz-transcoding:\n" + "".join(f"  {option}: {text}\n" for option, (text, _) in said.items())
    )

    assert found(compiled) == []
    assert compiled.configs[0].transcoding.said == {option: value for option, (_, value) in said.items()}


def test_what_says_nothing_leaves_it_to_the_settings(proto: SourceText) -> None:
    compiled = together(proto, YAML, VERSION3 + "x-authz-transcoding: {}\n")

    assert found(compiled) == []
    assert compiled.configs[0].transcoding == UNSAID


def test_no_and_nothing_are_said_too(proto: SourceText) -> None:
    compiled = together(proto, YAML + "x-authz-transcoding: {stream_sse: false, ignore_query_parameters: []}\n")

    assert compiled.configs[0].transcoding == TranscodingOptions(stream_sse=False, ignore_query_parameters=())


@pytest.mark.parametrize("head", [VERSION2, VERSION3, YAML])
@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("stream_sse: 1", "wrong-type"),
        ("ignore_query_parameters: a", "wrong-type"),
        ("ignore_query_parameters: [1]", "wrong-type"),
        ("max_request_bytes: many", "wrong-type"),
        ("max_request_bytes: 0", "bad-value"),
        ("max_request_bytes: 4294967296", "bad-value"),
        ("transcoding_stream_sse: true", "unknown-field"),
        ("stream_sse: true, stream_newline_delimited: true", "transcoding-streams"),
    ],
)
def test_what_is_no_option_is_found(proto: SourceText, head: str, said: str, code: str) -> None:
    compiled = together(proto, f"{head}x-authz-transcoding: {{{said}}}\n")

    assert found(compiled) == [(code, "1.yaml", head.count("\n") + 1)]
    assert all(one.message and one.hint for one in compiled.findings)


@pytest.mark.parametrize("head", [VERSION2, VERSION3, YAML])
@pytest.mark.parametrize("value", ["", "true", "[stream_sse]"])
def test_it_is_a_mapping(proto: SourceText, head: str, value: str) -> None:
    compiled = together(proto, f"{head}x-authz-transcoding: {value}\n")

    assert found(compiled) == [("wrong-type", "1.yaml", head.count("\n") + 1)]


def test_documents_share_options_and_repeat_them(proto: SourceText) -> None:
    compiled = together(
        proto,
        YAML + "x-authz-transcoding: {stream_sse: true}\n",
        VERSION3 + "x-authz-transcoding: {stream_sse: true, max_request_bytes: 5}\n",
    )

    assert found(compiled) == []
    assert compiled.configs[0].transcoding == TranscodingOptions(stream_sse=True, max_request_bytes=5)


@pytest.mark.parametrize(
    ("said", "code"),
    [("stream_sse: false", "transcoding-differs"), ("stream_newline_delimited: true", "transcoding-streams")],
)
def test_documents_do_not_contradict(proto: SourceText, said: str, code: str) -> None:
    compiled = together(
        proto, VERSION3 + "x-authz-transcoding: {stream_sse: true}\n", f"{YAML}x-authz-transcoding:\n  {said}\n"
    )

    assert found(compiled) == [(code, "2.yaml", 4)]
    assert not compiled.configs


def test_each_service_has_its_own(proto: SourceText) -> None:
    text = VERSION2.replace("{}\n", "{/v1/items: {get: {operationId: get, x-authz-grpc: shop.v1.Items/Get}}}\n")
    text += "x-authz-transcoding: {stream_sse: STREAMS}\n"
    compiled = together(
        proto, text.replace("STREAMS", "true"), text.replace("STREAMS", "false").replace(HOST, "other.example.com")
    )

    assert compiled.errors == ()
    assert {config.name: config.transcoding.stream_sse for config in compiled.configs} == {
        HOST: True,
        "other.example.com": False,
    }


def test_a_service_without_rpcs_has_no_use_for_it() -> None:
    text = VERSION2.replace("{}\n", "{/x: {get: {operationId: x}}}\n") + "x-authz-transcoding: {stream_sse: true}\n"
    compiled = compile_texts([SourceText("1.yaml", text)])

    assert found(compiled) == [("transcoding-unused", "1.yaml", 5)]
    assert compiled.errors == ()
