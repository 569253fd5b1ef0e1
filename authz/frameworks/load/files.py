"""The documents of what was loaded: one for each API and full version, under the names that they always had."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from authz.errors import UsageError
from authz.frameworks import adapters
from authz.frameworks.load.faults import told
from authz.frameworks.service import Version

MAJOR_MINOR_PATCH = 3


@dataclass(frozen=True, slots=True)
class Written:
    """One API's document."""

    name: str
    version: str
    """The API's, as declared."""
    host: str
    document: dict[str, Any]

    @property
    def file(self) -> str:
        """`echov1openapi.json`."""
        return f"{self.name}{self.version}".replace("-", "") + "openapi.json"

    @property
    def text(self) -> str:
        """The document as it stands in a file."""
        return json.dumps(self.document, indent=2, sort_keys=True) + "\n"


def documents(
    things: Sequence[Any],
    *,
    version: Version | None = None,
    hostname: str | None = None,
    api_name: bool = False,
    place: str | Path = ".",
) -> tuple[Written, ...]:
    """The documents of all APIs, in their order. `hostname` is for those that name none themselves.

    `version` is 2.0 if it is left out; but apps of other frameworks have 3.1 documents and no others.

    APIs of one host and major version that could not be deployed together otherwise get an API name; `api_name` gives
    one to all.

    Raises:
        UsageError: the code cannot be an API, or two documents would have one name.
    """
    apps = [thing for thing in things if adapters.is_app(thing)]
    if apps and version == "2.0":
        raise UsageError(f"{type(apps[0]).__name__} apps have OpenAPI 3.1 documents", "Pass --version 3.")
    with told(place):
        declared = [thing for thing in things if not adapters.is_app(thing)]
        made = (*_of_apis(declared, version or "2.0", hostname, api_name=api_name), *_of_apps(apps, hostname))
    _check_files(made)
    return _told_apart(made, always=api_name)


def _of_apis(things: Sequence[Any], version: Version, hostname: str | None, *, api_name: bool) -> Iterator[Written]:
    from authz.frameworks.declare import apis
    from authz.frameworks.document import openapi

    for api in apis(things):
        host = api.hostname or hostname
        document = openapi(api, version=version, hostname=host, api_name=api_name)
        yield Written(api.name, api.version, host or "", document)


def _of_apps(apps: Iterable[Any], hostname: str | None) -> Iterator[Written]:
    for app in apps:
        document = adapters.describe(app) or {}
        own = next((_host(server.get("url", "")) for server in document.get("servers", ())), "")
        if not own and hostname:
            document = adapters.describe(app, hostname=hostname) or {}
        yield Written(*adapters.info(app), own or hostname or "", document)


def _host(url: str) -> str:
    return url.partition("://")[2].partition("/")[0]


def _check_files(made: Iterable[Written]) -> None:
    seen: dict[str, Written] = {}
    for one in made:
        before = seen.setdefault(one.file, one)
        if before is not one:
            both = f"{before.name} {before.version} and {one.name} {one.version}"
            raise UsageError(f"the documents of {both} would both be {one.file}", "Write one of them at a time.")


def _told_apart(made: tuple[Written, ...], *, always: bool) -> tuple[Written, ...]:
    def group(one: Written) -> tuple[str, str]:
        parts = one.version.split(".")
        return one.host, parts[0] if len(parts) == MAJOR_MINOR_PATCH else one.version

    alike: set[str] = set()
    for _, several in groupby(sorted(made, key=group), key=group):
        files = [one.file for one in several]
        alike.update(files if len(files) > 1 or always else ())
    return tuple(_with_name(one) if one.file in alike else one for one in made)


def _with_name(one: Written) -> Written:
    """The same with an API name, as far as its name can be one; in 2.0 and 3.x it stands in different places."""
    name = re.sub(r"[^a-z0-9]", "", one.name.lower()).lstrip("0123456789")[:40]
    if not name:
        return one
    if "swagger" in one.document:
        return replace(one, document={"x-google-api-name": name, **one.document})
    management = {"apiName": name, **one.document.get("x-google-api-management", {})}
    return replace(one, document={**one.document, "x-google-api-management": management})
