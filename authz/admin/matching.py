"""Which operation a request would reach, worked out for people.

Envoy matches requests, never this module: it retells what the routes that `xds` makes will do, so that
`authz explain` can say why. The order of the steps is Envoy's: escaped slashes, dot segments, merged slashes, routes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from authz.errors import UsageError
from authz.model.paths import disguise_regexes, safe_path_regex
from authz.model.service import Operation, ServiceConfig
from authz.settings import Settings

_ESCAPED_SLASH = re.compile(r"%2f|%5c", re.IGNORECASE)
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1", "0.0.0.0"})


@dataclass(frozen=True, slots=True)
class Target:
    """What a request names: host (empty when only a path was given), path and query."""

    host: str
    path: str
    query: str

    @classmethod
    def parse(cls, text: str) -> Target:
        """Read a URL or a path.

        Raises:
            UsageError: it is neither.
        """
        parts = urlsplit(text)
        if parts.scheme in {"http", "https"} and parts.hostname:
            return cls("" if parts.hostname in _LOOPBACK else parts.hostname, parts.path or "/", parts.query)
        path, _, query = text.partition("#")[0].partition("?")
        if not path.startswith("/"):
            raise UsageError(f"'{text}' is neither a path nor a URL", "Write /v1/shelves or http://HOST/v1/shelves.")
        return cls("", path, query)


@dataclass(frozen=True, slots=True)
class Match:
    """Where a request ends: at an `operation`, or with a `status` of Envoy's own. `notes` tell how it got there."""

    path: str
    operation: Operation | None = None
    status: int = 200
    reason: str = ""
    allow: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def choose(configs: Sequence[ServiceConfig], service: str, host: str, settings: Settings) -> ServiceConfig | None:
    """The service that answers: the one named, else the host's, else the default. None: no service claims the host.

    Raises:
        UsageError: the named service does not exist, or several could be meant.
    """
    named = {config.name: config for config in configs}
    if service:
        if service not in named:
            raise UsageError(f"there is no service '{service}'", f"Name one of: {', '.join(sorted(named)) or 'none'}.")
        return named[service]
    if host in named:
        return named[host]
    default = settings.default_service or (configs[0].name if len(configs) == 1 else "")
    if default in named:
        return named[default]
    if not host:
        raise UsageError("several services are live", f"Name one with --service: {', '.join(sorted(named))}.")
    return None


def match(config: ServiceConfig, method: str, path: str, settings: Settings) -> Match:
    """What Envoy would make of a method and a path (no query)."""
    plain, notes, refused = _normalised(path, settings, keep_escaped=config.keep_escaped_slashes)
    if refused := refused or _unsafe(plain, config):
        return Match(plain, status=400, reason=refused, notes=notes)
    fitting = [
        operation
        for operation in sorted(config.operations, key=lambda o: (o.template.sort_key, o.method == "*", o.method))
        if operation.template.matches(plain, colon_in_wildcards=settings.colon_in_wildcards)
    ]
    for operation in fitting:
        if operation.method in {method, "*"}:
            return Match(plain, operation, notes=(*notes, *_told(operation, plain, fitting)))
    if fitting:
        allow = tuple(sorted({operation.method for operation in fitting}))
        reason = f"The path is known, but not with {method}: it allows {', '.join(allow)}."
        return Match(plain, status=405, reason=reason, allow=allow, notes=notes)
    return Match(
        plain, status=404, reason="No operation of the service has this path.", notes=notes + _near(config, plain)
    )


def _unsafe(path: str, config: ServiceConfig) -> str:
    """Why a normalised path is refused before any template is looked at; empty: it is not."""
    # Escaped slashes have been judged: what is here may have them.
    if not re.fullmatch(safe_path_regex(keep_slashes=True), path):
        return "The path holds a broken escape, one of a control character, or a dot segment with parameters."
    if any(re.fullmatch(one, path) for one in disguise_regexes({o.template for o in config.operations})):
        return "The path spells what is fixed in one of the API's paths with escapes; write it as the document does."
    return ""


def _told(operation: Operation, path: str, fitting: Sequence[Operation]) -> tuple[str, ...]:
    notes = []
    if path.endswith("/") and not operation.template.text.endswith(("/", "**}", "**")):
        notes.append("the trailing slash is accepted")
    if others := {o.template.text for o in fitting} - {operation.template.text}:
        notes.append(f"it is more specific than {', '.join(sorted(others))}, which would match too")
    return tuple(notes)


def _near(config: ServiceConfig, path: str) -> tuple[str, ...]:
    """What a stranger to the API most likely got wrong: letters' case, or the base path."""
    lower = path.lower()
    found = [o.template.text for o in config.operations if re.fullmatch(o.template.regex(), lower, re.IGNORECASE)]
    if found:
        return (f"paths are case-sensitive; {found[0]} would match",)
    bases = [api.base_path for api in config.apis if api.base_path.strip("/")]
    behind = [base for base in bases if any(o.template.matches(base.rstrip("/") + path) for o in config.operations)]
    return (f"the base path is missing: {behind[0].rstrip('/')}{path} would match",) if behind else ()


def _normalised(path: str, settings: Settings, *, keep_escaped: bool) -> tuple[str, tuple[str, ...], str]:
    """The path as routes see it, what was done to it, and why it is refused (empty: it is not)."""
    notes: list[str] = []
    action = "keep" if keep_escaped else settings.escaped_slashes
    if _ESCAPED_SLASH.search(path):
        if action == "reject":
            return path, (), "The path holds an escaped slash (%2F or %5C), and the service does not keep them."
        if action == "redirect":
            return path, (), "The path holds an escaped slash; the client is redirected to the path with real ones."
        notes.append("the escaped slash is kept: it separates nothing")
    if settings.normalize_path and (plain := _without_dots(_ESCAPE.sub(_unescaped, path))) != path:
        notes.append(f"normalised to {plain}")
        path = plain
    if settings.merge_slashes and (merged := re.sub("/{2,}", "/", path)) != path:
        notes.append(f"slashes merged: {merged}")
        path = merged
    return path, tuple(notes), ""


def _unescaped(escape: re.Match[str]) -> str:
    char = chr(int(escape[1], 16))
    return char if char in _UNRESERVED else escape[0]


def _without_dots(path: str) -> str:
    """RFC 3986 section 5.2.4, with backslashes as slashes, as Envoy's URL library has it."""
    out: list[str] = []
    segments = path.replace("\\", "/").split("/")[1:]
    for index, segment in enumerate(segments):
        last = index == len(segments) - 1
        if segment == "..":
            del out[-1:]
        elif segment != ".":
            out.append(segment)
            continue
        if last:
            out.append("")
    return "/" + "/".join(out)
