"""The URLs that are no methods: discovery below each base path, and the OpenAPI document. Both only where asked for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, Final
from urllib.parse import parse_qs

from authz.frameworks.exceptions import ApiConfigurationError
from authz.frameworks.serve.answers import JSON, NOT_FOUND, Answer
from authz.frameworks.serve.core import Core, Target, base
from authz.frameworks.serve.request import Request
from authz.frameworks.service import Api, Version

_UTF8: Final = ("content-type", "application/json; charset=UTF-8")
_ICONS: Final = {
    f"x{size}": f"https://www.gstatic.com/images/branding/product/1x/googleg_{size}dp.png" for size in (16, 32)
}
_VERSIONS: Final[dict[str, Version]] = {"2.0": "2.0", "2": "2.0", "3.1": "3.1", "3": "3.1", "": "3.1"}


def add(core: Core, apis: Sequence[Api]) -> None:
    """The routes that the server's options ask for.

    Raises:
        ApiConfigurationError: a method has this URL, or one path is to hold several documents.
    """
    if core.options.discovery:
        for root in dict.fromkeys(base(api) for api in apis):
            _discovery(core, root, [api for api in apis if base(api) == root])
    if core.options.openapi:
        _openapi(core, core.options.openapi, apis)


def _discovery(core: Core, root: str, apis: Sequence[Api]) -> None:
    place = f"{root}/discovery/v1/apis"
    core.add("GET", place, Target(own=lambda request: _json(_directory(apis, _origin(request) + place), _UTF8)))
    for api in apis:
        core.add("GET", f"{place}/{api.name}/{api.version}/rest", Target(own=_rest(api)))


def _origin(request: Request) -> str:
    return f"{request.scheme}://{request.headers.get('host', 'localhost')}"


def _directory(apis: Iterable[Api], place: str) -> dict[str, Any]:
    items = [
        {
            "kind": "discovery#directoryItem",
            "id": f"{api.name}:{api.version}",
            "name": api.name,
            "version": api.version,
            **({"description": api.description} if api.description else {}),
            "discoveryLink": f"./apis/{api.name}/{api.version}/rest",
            "discoveryRestUrl": f"{place}/{api.name}/{api.version}/rest",
            "icons": _ICONS,
            "preferred": True,
        }
        for api in apis
    ]
    return {"kind": "discovery#directoryList", "discoveryVersion": "v1", "items": items}


def _rest(api: Api) -> Callable[[Request], Answer]:
    # Callers choose the Host header: a few are remembered, not all.
    @lru_cache(maxsize=8)
    def written(hostname: str) -> Answer:
        from authz.frameworks import document

        return _json(document.discovery(api, hostname=hostname), _UTF8)

    return lambda request: written(request.headers.get("host", "localhost"))


def _openapi(core: Core, path: str, apis: Sequence[Api]) -> None:
    paths = [path.replace("{api}", api.name).replace("{version}", api.version) for api in apis]
    if len(set(paths)) < len(paths):
        raise ApiConfigurationError(
            f"openapi={path!r} would hold the documents of {len(apis)} APIs; write {{api}} and {{version}} into it"
        )
    for one, api in zip(paths, apis, strict=True):
        core.add("GET", one, Target(own=_document(api)))


def _document(api: Api) -> Callable[[Request], Answer]:
    @lru_cache
    def written(version: Version) -> Answer:
        from authz.frameworks import document

        return _json(document.openapi(api, version=version), JSON)

    def answer(request: Request) -> Answer:
        asked = parse_qs(request.query).get("version", [""])[0]
        return written(_VERSIONS[asked]) if asked in _VERSIONS else NOT_FOUND

    return answer


def _json(value: object, kind: tuple[str, str]) -> Answer:
    return Answer(200, (kind,), json.dumps(value, separators=(",", ":")).encode())
