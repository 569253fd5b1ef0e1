"""The documents of what was loaded: one for each API and full version, under the names that they always had."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from authz.errors import UsageError
from authz.frameworks.load.faults import told
from authz.frameworks.service import Api, Version

MAJOR_MINOR_PATCH = 3


@dataclass(frozen=True, slots=True)
class Written:
    """One API's document."""

    api: Api
    document: dict[str, Any]

    @property
    def file(self) -> str:
        """`echov1openapi.json`."""
        return f"{self.api.name}{self.api.version}".replace("-", "") + "openapi.json"

    @property
    def text(self) -> str:
        """The document as it stands in a file."""
        return json.dumps(self.document, indent=2, sort_keys=True) + "\n"


def documents(
    things: Sequence[Any],
    *,
    version: Version = "2.0",
    hostname: str | None = None,
    api_name: bool = False,
    place: str | Path = ".",
) -> tuple[Written, ...]:
    """The documents of all APIs, in their order. `hostname` is for those that name none themselves.

    APIs of one host and major version that could not be deployed together otherwise get an API name; `api_name` gives
    one to all.

    Raises:
        UsageError: the code cannot be an API, or two documents would have one name.
    """
    from authz.frameworks.declare import apis
    from authz.frameworks.document import openapi

    with told(place):
        made = tuple(
            Written(api, openapi(api, version=version, hostname=api.hostname or hostname, api_name=api_name))
            for api in apis(things)
        )
    _check_files(made)
    return made if api_name else _told_apart(made, hostname)


def _check_files(made: Iterable[Written]) -> None:
    seen: dict[str, Written] = {}
    for one in made:
        before = seen.setdefault(one.file, one)
        if before is not one:
            both = f"{before.api.name} {before.api.version} and {one.api.name} {one.api.version}"
            raise UsageError(f"the documents of {both} would both be {one.file}", "Write one of them at a time.")


def _told_apart(made: tuple[Written, ...], hostname: str | None) -> tuple[Written, ...]:
    def group(one: Written) -> tuple[str, str]:
        parts = one.api.version.split(".")
        return one.api.hostname or hostname or "", parts[0] if len(parts) == MAJOR_MINOR_PATCH else one.api.version

    alike: set[str] = set()
    for _, several in groupby(sorted(made, key=group), key=group):
        files = [one.file for one in several]
        alike.update(files if len(files) > 1 else ())
    return tuple(_with_name(one) if one.file in alike else one for one in made)


def _with_name(one: Written) -> Written:
    """The same with an API name, as far as its name can be one; in 2.0 and 3.x it stands in different places."""
    name = re.sub(r"[^a-z0-9]", "", one.api.name.lower()).lstrip("0123456789")[:40]
    if not name:
        return one
    if "swagger" in one.document:
        return Written(one.api, {**one.document, "x-google-api-name": name})
    management = one.document.get("x-google-api-management", {})
    return Written(one.api, {**one.document, "x-google-api-management": {**management, "apiName": name}})
