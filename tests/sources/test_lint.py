"""One bad document per rule: each line that ends in `# <- code` must be found, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from authz.model.service import SourceText
from authz.sources import compile_service, compile_texts
from authz.sources.lint import RULES

DOCUMENTS = sorted((Path(__file__).parent / "bad").glob("*.yaml"))
MARK = re.compile(r"# <- ([a-z0-9-]+)")

SHOP = """\
swagger: "2.0"
info: {title: Shop, version: VERSION}
host: HOST
basePath: BASE
paths:
  /items:
    get: {operationId: listItems}
"""


def shop(version: str = "1.0.0", host: str = "shop.example.com", base: str = "/v1") -> str:
    return SHOP.replace("VERSION", version).replace("HOST", host).replace("BASE", base)


def codes(*texts: str, service: str = "") -> list[tuple[str, str, int]]:
    sources = [SourceText(f"{number}.yaml", text) for number, text in enumerate(texts, 1)]
    return [(found.code, found.file, found.line) for found in compile_service(sources, service=service).findings]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_a_bad_document_has_exactly_its_findings(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    marked = [(code, line) for line, row in enumerate(text.splitlines(), 1) for code in MARK.findall(row)]
    compiled = compile_texts([SourceText(path.name, text)])
    assert sorted((found.code, found.line) for found in compiled.findings) == sorted(marked)
    assert bool(compiled.configs) is not bool(compiled.errors)
    assert all(found.file == path.name and found.message and found.hint for found in compiled.findings)


def test_a_finding_has_the_severity_of_its_rule() -> None:
    severities = {rule.code: rule.severity for rule in RULES}
    for path in DOCUMENTS:
        for found in compile_texts([SourceText(path.name, path.read_text(encoding="utf-8"))]).findings:
            assert found.severity is severities[found.code]


# Rules about several documents, or about files, have their tests here and in test_document.py.
ELSEWHERE = {"file-empty", "file-too-large", "file-not-text"} | {
    "hosts-differ",
    "api-conflict",
    "scheme-conflict",
    "endpoints-differ",
}
# Rules about protos have bad documents of their own, beside them; those about descriptor sets are in test_read.py, and
# those about documents that meet in claims/test_service.py and test_transcoding.py.
BESIDE_PROTOS = sorted(
    path for room in ("protos", "claims") for path in (Path(__file__).parent / room).glob("bad/*.yaml")
)
DESCRIPTORS = {"descriptor-invalid", "descriptor-imports", "descriptor-conflict", "api-unlisted"} | {
    "grpc-unserved",
    "rule-overruled",
    "transcoding-differs",
}


def test_every_rule_has_a_bad_document() -> None:
    documents = [*DOCUMENTS, *BESIDE_PROTOS]
    shown = {code for path in documents for code in MARK.findall(path.read_text(encoding="utf-8"))}
    assert shown | ELSEWHERE | DESCRIPTORS == {rule.code for rule in RULES}
    assert len(RULES) == len({rule.code for rule in RULES})


def test_two_hosts_are_two_services_but_not_one() -> None:
    texts = [SourceText("a.yaml", shop()), SourceText("b.yaml", shop(host="other.example.com"))]
    assert [config.name for config in compile_texts(texts).configs] == ["shop.example.com", "other.example.com"]
    (finding,) = compile_service(texts).findings
    assert (finding.code, finding.file, finding.line) == ("hosts-differ", "b.yaml", 3)
    assert "other.example.com" in finding.message
    assert "shop.example.com" in finding.message


def test_documents_of_one_service_differ_in_api_or_major_version() -> None:
    assert codes(shop("1.2.0"), shop("1.3.0", base="/v2")) == [("api-conflict", "2.yaml", 1)]
    assert codes(shop("1.2.0"), shop("2.0.0", base="/v2")) == []


def test_documents_of_one_service_do_not_claim_the_same_path() -> None:
    assert codes(shop("1.0.0"), shop("2.0.0")) == [("path-duplicate", "2.yaml", 7)]


def test_a_scheme_means_the_same_in_all_documents() -> None:
    scheme = "securityDefinitions:\n  jwt: {type: oauth2, x-google-issuer: ISSUER}\n"
    used = "security: [{jwt: []}]\n"
    one = shop() + scheme.replace("ISSUER", "one")
    two = shop("2.0.0", base="/v2") + scheme.replace("ISSUER", "two")
    assert codes(one + used, two + used) == [("scheme-conflict", "2.yaml", 9)]
    assert codes(one + used, two.replace("two", "one") + used) == []
    # What one of them only defines, as Endpoints Frameworks do, is no matter of the other's.
    assert codes(one + used, two) == codes(one, two + used) == codes(one, two) == []
    (config,) = compile_texts([SourceText("1.yaml", one), SourceText("2.yaml", two + used)]).configs
    assert [provider.issuer for provider in config.providers] == ["two"]


def test_documents_share_metrics_and_limits() -> None:
    quota = """\
x-google-management:
  metrics: [{name: reads}]
  quota: {limits: [{name: lim, metric: reads, unit: "1/min/{project}", values: {STANDARD: 5}}]}
"""
    second = shop("2.0.0", base="/v2")
    using = second.replace("listItems", "listItems, x-google-quota: {metricCosts: {reads: 1}}")
    assert codes(shop() + quota, using) == []
    assert codes(shop() + quota, second + quota) == []
    assert codes(shop() + quota, second + quota.replace("5", "6")) == [("limit-duplicate", "2.yaml", 10)]


def test_openapi_3_documents_agree_on_their_endpoint() -> None:
    document = """\
openapi: 3.0.4
info: {title: Shop, version: VERSION}
servers:
  - url: https://shop.example.com/VERSION
    x-google-endpoint: {allowCors: FLAG}
paths: {/items: {get: {operationId: listItems}}}
"""
    one = document.replace("VERSION", "v1").replace("FLAG", "true")
    two = document.replace("VERSION", "v2")
    assert codes(one, two.replace("FLAG", "true")) == []
    assert codes(one, two.replace("FLAG", "false")) == [("endpoints-differ", "2.yaml", 4)]


def test_a_document_without_a_host_takes_the_name_it_is_given() -> None:
    nameless = shop().replace("host: shop.example.com\n", "")
    assert codes(nameless) == [("host-missing", "1.yaml", 1)]
    assert codes(nameless, service="shop.example.com") == []
    assert codes(nameless, service="No Host") == [("host-invalid", "1.yaml", 0)]


def test_errors_hold_back_every_service() -> None:
    compiled = compile_texts([SourceText("good.yaml", shop()), SourceText("bad.yaml", "swagger")])
    assert compiled.configs == ()
    assert [found.file for found in compiled.errors] == ["bad.yaml"]
    assert compiled.warnings == ()


def test_a_finding_reads_like_a_compiler_message() -> None:
    (finding,) = compile_service([SourceText("api.yaml", shop(base="v1"))]).errors
    place, *hint = str(finding).splitlines()
    assert place.startswith("api.yaml:4: error base-path: ")
    assert hint == [f"    {finding.hint}"]
