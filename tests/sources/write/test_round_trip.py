"""The document, deployed beside the protos, is the same service; and written again, it is the same document."""

from __future__ import annotations

import string
from dataclasses import replace
from pathlib import Path

import pytest
from google.api import annotations_pb2, http_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from authz.model.service import ServiceConfig, SourceText
from authz.sources import compile_service, compile_texts, read_files
from authz.sources.document import is_packed
from authz.sources.write import VERSIONS, as_yaml, openapi

ROOT = Path(__file__).parents[3]
BOOKSTORE = (ROOT / "protos/bookstore/v1/bookstore.proto", ROOT / "envoy/examples/bookstore-grpc.yaml")


def rule_of(http: http_pb2.HttpRule) -> tuple[object, ...]:
    """An http rule as what it means: `custom` may spell any method, and additional bindings have no order."""
    kind = http.WhichOneof("pattern")
    pattern = (http.custom.kind.upper(), http.custom.path) if kind == "custom" else (kind.upper(), getattr(http, kind))
    return (*pattern, http.body, http.response_body, sorted(rule_of(one) for one in http.additional_bindings))


def rules(config: ServiceConfig) -> dict[str, tuple[object, ...]]:
    return {
        f"{file.package}.{service.name}.{method.name}": rule_of(method.options.Extensions[annotations_pb2.http])
        for file in FileDescriptorSet.FromString(config.descriptors).file
        for service in file.service
        for method in service.method
        if method.options.HasExtension(annotations_pb2.http)
    }


def meaning(config: ServiceConfig) -> dict[str, object]:
    """What of a config is not just where it was written."""
    return {
        "name": config.name,
        "operations": {
            (one.selector, one.method, one.template.text): replace(one, file="", line=0, summary="")
            for one in config.operations
        },
        "order": list(dict.fromkeys(one.selector for one in config.operations)),
        "providers": [replace(one, file="", line=0) for one in config.providers],
        "metrics": config.metrics,
        "limits": config.limits,
        "allow_cors": config.allow_cors,
        "rules": rules(config),
    }


def protos_of(texts) -> list[SourceText]:
    return [text for text in texts if is_packed(text.text)]


def there_and_back(texts, version: str = VERSIONS[0]) -> tuple[ServiceConfig, ServiceConfig]:
    """A config, and the one of the document that is written of it, which has no findings and is a fixed point."""
    (before,) = compile_service(texts).configs
    written = openapi(before, texts, version)
    assert written.remarks == ()
    deployed = [*protos_of(texts), SourceText("written.yaml", as_yaml(written.document))]
    compiled = compile_texts(deployed)
    assert compiled.findings == ()
    (after,) = compiled.configs
    again = openapi(after, deployed, version)
    assert again == written
    return before, after


@pytest.mark.parametrize("version", VERSIONS)
def test_the_demo_comes_back(version):
    proto, yaml = read_files(BOOKSTORE)
    filled = string.Template(yaml.text).substitute(ISSUER="https://issuer.example.com")
    before, after = there_and_back([proto, SourceText(yaml.file, filled)], version)

    assert meaning(after) == meaning(before)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_museum_comes_back(museum, version):
    before, after = there_and_back(museum, version)

    assert meaning(after) == meaning(before)
