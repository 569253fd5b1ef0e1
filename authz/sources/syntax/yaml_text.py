"""A tree as YAML for people: blocks instead of braces, quotes where YAML needs them, texts in lines.

The events are made here, one after the other: PyYAML's representers build a tree of all of them first, which takes
three times as long, and put an anchor wherever one value stands twice.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import yaml
from yaml.events import (
    DocumentEndEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
    StreamStartEvent,
)
from yaml.nodes import ScalarNode

_STRING = "tag:yaml.org,2002:str"
_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_RESOLVER: Any = yaml.SafeDumper(io.StringIO())
_NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?|[0-9]*\.[0-9]+)(?:[eE][-+]?[0-9]+)?|0o[0-7]+|0x[0-9A-Fa-f]+")
"""What YAML 1.2 takes for a number; PyYAML knows those of 1.1, and a reader may be of either."""


def write(value: Any) -> str:
    """Dictionaries, lists and what is in them as block YAML, in their own order."""
    text: str = yaml.emit(_stream(value), Dumper=_Dumper, allow_unicode=True, width=110)
    return text


def _stream(value: Any) -> Iterator[Event]:
    yield StreamStartEvent()
    yield DocumentStartEvent(explicit=False)
    yield from _events(value)
    yield DocumentEndEvent(explicit=False)
    yield StreamEndEvent()


def _events(value: Any) -> Iterator[Event]:
    if isinstance(value, dict):
        yield MappingStartEvent(None, None, implicit=True, flow_style=False)
        for key, one in value.items():
            yield _text(key)
            yield from _events(one)
        yield MappingEndEvent()
    elif isinstance(value, list | tuple):
        yield SequenceStartEvent(None, None, implicit=True, flow_style=False)
        for one in value:
            yield from _events(one)
        yield SequenceEndEvent()
    else:
        yield _text(value) if isinstance(value, str) else ScalarEvent(None, None, (True, False), _plain(value))


def _text(value: str) -> Event:
    return ScalarEvent(None, None, (_is_text(value), True), value, style="|" if "\n" in value else None)


@lru_cache(maxsize=10_000)
def _is_text(value: str) -> bool:
    """Whether a text is taken for one without quotes."""
    return _RESOLVER.resolve(ScalarNode, value, (True, False)) == _STRING and not _NUMBER.fullmatch(value)


def _plain(value: float | None) -> str:
    """What is no text: null, true, and numbers as YAML 1.1 reads them, which with an exponent have a point."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = repr(value)
    return text if "." in text else text.replace("e", ".0e")
