"""`MODULE` and `MODULE:NAME,NAME` made into the objects that they name, by importing the user's code."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import operator
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from authz.errors import UsageError
from authz.frameworks import adapters
from authz.frameworks.load.faults import MissingError, told
from authz.frameworks.load.words import is_word
from authz.frameworks.serve import AsgiServer, WsgiServer

_SHOWN: Final = 8
_OURS: Final = "authz.frameworks."


def load(words: Sequence[str], directory: str | Path = ".") -> tuple[Any, ...]:
    """What `MODULE` or `MODULE:NAME,NAME` name, in this order; without a name, all that a module declares.

    Modules are looked for in `directory` first, then in the current one. What they print goes to standard error.

    Raises:
        UsageError: there is no such module or name, or the code raised an exception; with its file and line.
    """
    place = str(Path(directory).absolute())
    if not Path(place).is_dir():
        raise UsageError(f"{directory} is no directory", "Name the directory in which the modules are.")
    sys.path[:0] = dict.fromkeys((place, str(Path().absolute())))
    importlib.invalidate_caches()
    with contextlib.redirect_stdout(sys.stderr):
        found = [thing for word in words for thing in _named(word, place)]
    # An API that is named twice is meant once.
    return tuple({id(thing): thing for thing in found}.values())


def _named(word: str, place: str) -> Iterable[Any]:
    if not is_word(word):
        raise UsageError(f"'{word}' names no module", "Write MODULE or MODULE:CLASS, for example main:EchoApi.")
    name, colon, names = word.partition(":")
    module, rest = _module(name, place)
    if rest:
        return [_attribute(module, rest)]
    if colon:
        return [_attribute(module, one) for one in names.split(",")]
    return _declared(module)


def _module(name: str, place: str) -> tuple[ModuleType, str]:
    """A module, and what of the name it does not have: `main.EchoApi` is how the old tool named a class."""
    parent, _, last = name.rpartition(".")
    try:
        with told(place):
            return importlib.import_module(name), ""
    except MissingError as missing:
        if parent and missing.name in {name, parent} and last[:1].isupper():
            module, rest = _module(parent, place)
            return module, f"{rest}.{last}" if rest else last
        if missing.name is None or not f"{name}.".startswith(f"{missing.name}."):
            raise
        remedy = f"It is looked for in {place} first; --application names another directory."
        if last == "py":
            remedy = f"Write it without .py: {parent}, or {parent}:CLASS."
        raise UsageError(f"there is no module '{name}'", remedy) from None


def _attribute(module: ModuleType, name: str) -> Any:
    try:
        return operator.attrgetter(name)(module)
    except AttributeError:
        declared = [one for one, thing in vars(module).items() if is_declared(thing)]
        near = difflib.get_close_matches(name, declared, 1)
        has = ", ".join(near or declared[:_SHOWN])
        remedy = f"It declares {has}." if has else "No class in it is decorated with an API."
        raise UsageError(f"{_file(module)} has no '{name}'", remedy) from None


def _declared(module: ModuleType) -> Sequence[Any]:
    """What a module serves; else what it declares; else what it has from others.

    Classes stand for the API object over them.
    """
    named = {id(thing): thing for name, thing in vars(module).items() if not name.startswith("_")}
    declared = [thing for thing in named.values() if is_declared(thing)]
    if served := [thing for thing in declared if serves_itself(thing)]:
        return served
    own = [thing for thing in declared if getattr(thing, "__module__", "") == module.__name__]
    classes = [thing for thing in own or declared if isinstance(thing, type)]
    others = [thing for thing in declared if not isinstance(thing, type) and hasattr(thing, "describe")]
    if not classes and not others:
        remedy = "Decorate a class with @endpoints.api, or name what declares the API: MODULE:NAME."
        raise UsageError(f"{_file(module)} declares no API", remedy)
    return [*classes, *others]


def is_declared(thing: object) -> bool:
    """Whether it is a decorated class, an object of ours that has APIs, or another framework's app.

    What describes itself by other means is found by its name only: `describe` is a method of many things.
    """
    if isinstance(thing, type):
        return "api_info" in vars(thing)
    kind = type(thing)
    is_ours = kind.__module__.startswith(_OURS) and (hasattr(kind, "describe") or hasattr(kind, "get_api_classes"))
    return is_ours or adapters.is_app(thing)


def serves_itself(thing: object) -> bool:
    """Whether it is a server of classes, or another framework's app."""
    return isinstance(thing, AsgiServer | WsgiServer) or adapters.is_app(thing)


def _file(module: ModuleType) -> str:
    return getattr(module, "__file__", None) or f"the module {module.__name__}"
