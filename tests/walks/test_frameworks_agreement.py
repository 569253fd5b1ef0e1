"""What a document says and what is accepted agree: schemathesis reads one and asks the other, through the gateway."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import APIOperation, Case, GenerationMode, openapi
from schemathesis.config import SchemathesisConfig

from authz.admin import keys
from authz.frameworks.load import documents
from authz.settings import Settings
from harness import gateway
from walks.kinds import APIS
from walks.shelf_stage import COMBINATIONS, Combination, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOST = "kinds.example.test"
EXAMPLES = settings(max_examples=20, deadline=None, database=None, suppress_health_check=list(HealthCheck))
CONFIG = SchemathesisConfig.from_dict({"seed": 1, "generation": {"with-security-parameters": False}})

openapi.format("int64", st.integers(-(2**63), 2**63 - 1).map(str))
openapi.format("uint64", st.integers(0, 2**64 - 1).map(str))
BOUNDS = {
    "int32": {"minimum": -(2**31), "maximum": 2**31 - 1},
    "uint32": {"minimum": 0, "maximum": 2**32 - 1},
}
"""What formats of integers mean; OpenAPI 2.0 documents of old say no more than the format."""


@dataclass
class Stage:
    running: gateway.Running
    operations: dict[str, APIOperation]
    key: str

    def send(self, case: Case) -> Any:
        return case.call(
            base_url=f"http://127.0.0.1:{self.running.port}", headers={"host": HOST, "x-api-key": self.key}
        )


@pytest.fixture(scope="module")
def transport() -> str:
    """Nothing here depends on it."""
    return Settings().transport


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=COMBINATIONS, ids=str)
async def stage(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, transport: str
) -> AsyncIterator[Stage]:
    combination: Combination = request.param
    things = APIS[combination.style]
    (written,) = documents(things, version=combination.version)
    schema = openapi.from_dict(bounded(written.document), config=CONFIG)
    operations = {str(found.ok().label).rpartition("/")[2]: found.ok() for found in schema.get_all_operations()}
    async with (
        serving(things, combination.server) as port,
        gateway.running(
            tmp_path_factory.mktemp("kinds"),
            [written.text],
            now=time.time(),
            backend=f"http://127.0.0.1:{port}",
            transport=transport,
        ) as running,
    ):
        yield Stage(running, operations, keys.create(running.store, "ann", now=time.time()).text)


def bounded(said: Any) -> Any:
    """The document with what formats of numbers mean, in place of these."""
    if isinstance(said, list):
        return [bounded(one) for one in said]
    if not isinstance(said, dict):
        return said
    found = {name: bounded(one) for name, one in said.items()}
    if said.get("type") in {"integer", "number"}:
        found = BOUNDS.get(found.pop("format", ""), {}) | found
    return found


@pytest.mark.parametrize("name", ["kinds", "{shade}", "nothing"])
async def test_what_the_document_allows_is_accepted_and_answered_as_it_says(stage: Stage, name: str) -> None:
    operation = stage.operations[name]

    @EXAMPLES
    @given(operation.as_strategy(generation_mode=GenerationMode.POSITIVE))
    def check(case: Case) -> None:
        answer = stage.send(case)
        assert answer.status_code == (204 if name == "nothing" else 200), answer.text
        operation.validate_response(answer, case=case)

    await asyncio.to_thread(check)


@pytest.mark.parametrize("name", ["kinds", "{shade}"])
async def test_what_it_does_not_allow_is_refused(stage: Stage, name: str) -> None:
    operation = stage.operations[name]

    @EXAMPLES
    @given(operation.as_strategy(generation_mode=GenerationMode.NEGATIVE).filter(lambda case: any(broken(case))))
    def check(case: Case) -> None:
        answer = stage.send(case)
        # An empty segment of a path is another path.
        assert answer.status_code in {400, 404}, (list(broken(case)), answer.text)

    await asyncio.to_thread(check)


def broken(case: Case) -> Iterator[str]:
    """The rules that a case breaks on the wire as well.

    In a query, one value is a list of one; and parameters that nobody declared are nobody's.
    """
    assert case.meta
    said = getattr(case.meta.phase.data, "description", None) or ""
    for rule in said.splitlines():
        if case.query is None or not ("(was array" in rule or "additionalProperties" in rule):
            yield rule
