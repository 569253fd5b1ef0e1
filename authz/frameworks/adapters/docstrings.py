"""Docstrings as operations: text for people, and below a line of `---`, in YAML, what OpenAPI says of it.

Starlette, and the tools that Flask's users know, read docstrings so.
"""

from __future__ import annotations

import inspect
from typing import Any, Final

from authz.frameworks.exceptions import ApiConfigurationError

_FIELDS: Final = frozenset({"responses", "parameters", "requestBody", "summary", "description", "tags", "operationId"})
ANSWER: Final = {"200": {"description": "A successful response"}}
"""Of operations that say nothing of their answers."""


def operation(function: Any, place: str) -> dict[str, Any]:
    """What the docstring of a function says.

    Raises:
        ApiConfigurationError: what should be YAML is not.
    """
    text, below, yaml = (inspect.getdoc(function) or "").partition("---\n")
    said = _parsed(yaml if below else text, place, is_needed=bool(below))
    found = {} if said is not None and not below else _words(text)
    found.update(said or {})
    answers = found.get("responses") or ANSWER
    found["responses"] = {str(status): answer for status, answer in answers.items()}
    return found


def _parsed(text: str, place: str, *, is_needed: bool) -> dict[str, Any] | None:
    import yaml

    try:
        said = yaml.safe_load(text)
    except yaml.YAMLError as error:
        if is_needed:
            raise ApiConfigurationError(f"{place}: the docstring is no YAML below '---': {error}") from error
        return None
    is_operation = isinstance(said, dict) and (is_needed or not said.keys() - _FIELDS)
    return said if is_operation else None


def _words(text: str) -> dict[str, Any]:
    summary, _, rest = text.strip().partition("\n")
    words = {"summary": summary.strip(), "description": text.strip() if rest.strip() else ""}
    return {key: value for key, value in words.items() if value}
