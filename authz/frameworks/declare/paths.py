"""Paths of methods: joined, checked, and taken apart. They are templates of whole segments, as gateways have them."""

from __future__ import annotations

import re

from authz.frameworks.exceptions import ApiConfigurationError

_VARIABLE = re.compile(r"\{([^{}]*)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")
_SEGMENT = re.compile(r"\{[^{}]+\}|[^{}]+")
_LAST_SEGMENT = re.compile(r"\{[^{}]+\}(?::[^{}]+)?|[^{}]+")
_LITERAL = re.compile(r"[^*/:?#%\x00-\x20\x7f-\U0010ffff]+")


def joined(class_path: str | None, path: str, name: str) -> str:
    """The path of a method below its API: the class's path before it, unless it begins with a slash itself.

    The slash at its end goes: servers and gateways accept it anyway.
    """
    if not path.startswith("/") and class_path:
        path = f"{class_path.strip('/')}/{path or name}"
    return (path or name).lstrip("/").rstrip("/") if path != "/" else ""


def check(path: str, place: str) -> None:
    """Refuse a path that is no template.

    Raises:
        ApiConfigurationError: with the segment and the path.
    """
    segments = path.split("/")
    for index, segment in enumerate(segments):
        why = _fault(segment, is_last=index == len(segments) - 1)
        if why:
            message = f"{place}: the segment '{segment}' of path '{path}' {why}"
            raise ApiConfigurationError(message)
    names = variables(path)
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        message = f"{place}: the variable '{twice}' stands twice in path '{path}'; give each a name of its own"
        raise ApiConfigurationError(message)


def _fault(segment: str, *, is_last: bool) -> str:
    """Why a segment cannot be, or ''."""
    pattern = _LAST_SEGMENT if is_last else _SEGMENT
    if not segment:
        return "is empty; write one slash between segments"
    if not pattern.fullmatch(segment):
        where = "; only the last segment may go on, as {name}:verb" if not is_last else ", or {name}:verb"
        return f"mixes braces with other text; a variable fills a whole segment: {{name}}{where}"
    name = _VARIABLE.match(segment)
    if name and not _NAME.fullmatch(name[1]):
        return "has no variable name in its braces; write a letter or '_', then letters, digits, '_' and '.'"
    literals = segment[name.end() + 1 :] if name else segment
    parts = [literals] if name or not is_last else literals.split(":", 1)
    if (literals or not name) and not all(_LITERAL.fullmatch(part) for part in parts):
        return "holds a character that does not stand in paths as itself: one of * : ? # %, a blank, or beyond ASCII"
    return ""


def variables(path: str) -> list[str]:
    """The names in braces, from left to right."""
    return _VARIABLE.findall(path)


def shape(path: str) -> str:
    """What decides which requests a path matches: the names of its variables do not."""
    return _VARIABLE.sub("{}", path)
