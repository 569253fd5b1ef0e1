"""Whether a served API does what its own document says: schemathesis, with bounded, repeatable examples."""

from __future__ import annotations

from typing import Any

import hypothesis
import schemathesis
from hypothesis import HealthCheck, Phase
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.positive_data_acceptance,
    checks.negative_data_rejection,
]
BOUNDED = hypothesis.settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)


def conforms(document: dict[str, Any], *, asgi: Any = None, wsgi: Any = None, refusals: bool = True) -> int:
    """Call every operation with what its schemas allow, and with what they do not. Gives the number of calls.

    Who may call is the gateway's to check: the document's security is left aside. Without `refusals`, what schemas do
    not allow is not tried.
    """
    schema = schemathesis.openapi.from_dict(_open(document))
    schema.app = asgi or wsgi
    calls = 0

    def call(case: Any) -> None:
        nonlocal calls
        calls += 1
        response = case.call()
        # A value that no segment of a path can hold leads nowhere.
        if response.status_code != 404:
            case.validate_response(response, checks=CHECKS)

    for found in schema.get_all_operations():
        operation = found.ok()
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            if mode is GenerationMode.NEGATIVE and not (refusals and _has_input(operation)):
                continue
            BOUNDED(hypothesis.given(case=operation.as_strategy(generation_mode=mode))(call))()
    return calls


def _open(document: dict[str, Any]) -> dict[str, Any]:
    paths = {
        path: {
            verb: {key: one for key, one in operation.items() if key != "security"} for verb, operation in item.items()
        }
        for path, item in document["paths"].items()
    }
    return {**document, "paths": paths}


def _has_input(operation: Any) -> bool:
    return any(list(group) for group in (operation.path_parameters, operation.query, operation.body))
