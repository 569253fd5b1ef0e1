"""Names that are made from other names: method ids, operation ids, tags, and the version in a URL."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9_.]")
_NOT_IN_SELECTORS = re.compile(r"[^A-Za-z0-9_]")
_NUMBER = r"(?:0|[1-9][0-9]*)"
_BEFORE = r"(?:0|[1-9][0-9]*|[1-9][0-9]*[A-Za-z-][0-9A-Za-z-]*|[A-Za-z-][0-9A-Za-z-]*)"
_SEMVER = re.compile(
    rf"(?P<major>{_NUMBER})\.{_NUMBER}\.{_NUMBER}"
    rf"(?:-{_BEFORE}(?:\.{_BEFORE})*)?"
    r"(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
)


def path_version(version: str) -> str:
    """The version in URLs: `v` and the major number of a semantic version, any other version as it is."""
    match = _SEMVER.fullmatch(version)
    return f"v{match['major']}" if match else version


def safe(name: str) -> str:
    """A part of a method id: letters, digits, `_` and `.`, with a small letter first."""
    kept = _NOT_IN_IDS.sub("", name).lstrip("_")
    return kept[:1].lower() + kept[1:]


def method_id(*parts: str | None) -> str:
    """`api.resource.method`; an API without a resource name leaves it out."""
    return ".".join(safe(part) for part in parts if part)


def camel(name: str) -> str:
    """`entries_get` as `entriesGet`: the first part as it is, later ones with one capital."""
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def distinct(wanted: Iterable[str]) -> Iterator[str]:
    """Operation ids that differ as gateways see them; one that is taken already gets a number."""
    taken: set[str] = set()
    for stem in wanted:
        name, number = stem, 1
        while selector(name) in taken:
            number += 1
            name = f"{stem}_{number}"
        taken.add(selector(name))
        yield name


def selector(operation_id: str) -> str:
    """What google.api.Service makes of an operation id."""
    kept = _NOT_IN_SELECTORS.sub("", operation_id)
    return kept[:1].upper() + kept[1:]
