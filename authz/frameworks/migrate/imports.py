"""Imports that change, and names that are not here."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Final

from authz.frameworks.migrate.reading.names import ROOTS, Module, canonical
from authz.frameworks.migrate.rules import Found

ROOM: Final = "authz.frameworks"
SHARED: Final = ("messages", "message_types", "remote")
APPENGINE: Final = {
    "google.appengine.api.users": "endpoints.get_current_user() says who calls.",
    "google.appengine.api.oauth": "The gateway checks tokens; endpoints.get_current_user() says who calls.",
    "google.appengine.api.memcache": "Use a Redis or Memcached client.",
    "google.appengine.api.urlfetch": "Use httpx, requests or aiohttp.",
    "google.appengine.api.taskqueue": "Use Cloud Tasks, or a queue of your own.",
    "google.appengine.api.mail": "Use smtplib, or a mail service's client.",
    "google.appengine.api.app_identity": "Read what you need from a setting of your own.",
    "google.appengine.api.modules": "Read what you need from a setting of your own.",
    "google.appengine.ext.ndb": "google-cloud-ndb has the same models for Python 3.",
    "google.appengine.ext.db": "google-cloud-ndb has models for Python 3.",
    "google.appengine.ext.deferred": "Use Cloud Tasks, or a queue of your own.",
}
GONE: Final = {
    "endpoints_proto_datastore": "Write message classes, and convert your models by hand.",
    "webapp2": "api_server is a WSGI application; put it beside Flask or any other.",
    "google.appengine.ext.webapp": "api_server is a WSGI application; put it beside Flask or any other.",
    "protorpc.wsgi": "endpoints.api_server makes the WSGI application.",
    "protorpc.webapp": "endpoints.api_server makes the WSGI application.",
}


def check(module: Module) -> Iterator[Found]:
    """Findings of one module."""
    for node in module.nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                as_name = f" as {alias.asname}" if alias.asname else ""
                yield from _imported(node.lineno, alias.name, (), as_name)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from _imported_from(node, node.module)
    yield from _names(module)


def _imported_from(node: ast.ImportFrom, name: str) -> Iterator[Found]:
    """`from google.appengine.api import users, memcache` imports two modules; most others import names of one."""
    if name in {"google.appengine.api", "google.appengine.ext", "google.appengine", "google", "protorpc"}:
        for alias in node.names:
            as_name = f" as {alias.asname}" if alias.asname else ""
            yield from _imported(node.lineno, f"{name}.{alias.name}", (), as_name)
    else:
        written = tuple(f"{a.name} as {a.asname}" if a.asname else a.name for a in node.names)
        yield from _imported(node.lineno, name, written)


def _imported(line: int, name: str, names: tuple[str, ...], as_name: str = "") -> Iterator[Found]:
    gone = _within(name, GONE)
    if gone:
        yield Found("name-gone", line, f"{gone} has no counterpart here", GONE[gone])
    elif _within(name, ("endpoints_management",)):
        hint = "Remove it: the gateway checks keys and tokens, and counts quotas, before a call comes here."
        yield Found("import-management", line, f"{name} is imported", hint)
    elif _within(name, ("endpoints", "google.appengine.ext.endpoints")):
        yield _old(line, "import-endpoints", name, names, as_name)
    elif _within(name, ("protorpc",)):
        yield _old(line, "import-protorpc", name, names, as_name)
    elif _within(name, ("google.appengine",)):
        known = _within(name, APPENGINE)
        hint = APPENGINE[known] if known else "Use a library that does not need App Engine's first runtime."
        yield Found("import-appengine", line, f"{name} is imported", hint)


def _within(name: str, names: object) -> str:
    """Which of the names this is, or is below; '' for none."""
    return next((one for one in names if name == one or name.startswith(f"{one}.")), "")  # type: ignore[attr-defined]  # any container of names


def _old(line: int, code: str, name: str, names: tuple[str, ...], as_name: str) -> Found:
    message = f"{name} is imported"
    place = canonical(name) if canonical(name).partition(".")[0] in SHARED else name
    inside = place.removeprefix("google.appengine.ext.").removeprefix("protorpc.")
    if not _is_module(f"{ROOM}.{inside}"):
        return Found(
            "name-gone", line, f"{name} has no counterpart here", "See what it was used for: most is done by itself."
        )
    if not names:
        as_other = "" if as_name == f" as {inside.rpartition('.')[2]}" else as_name
        return Found(code, line, message, f"Write: {_import(inside)}{as_other}")
    here = [one for one in names if not any(_name(line, canonical(f"{name}.{one.partition(' ')[0]}")))]
    if not here:
        return Found(code, line, message, "Remove it: none of these names is here.")
    modules = [one for one in here if one.partition(" ")[0] in SHARED]
    rest = [one for one in here if one not in modules]
    parts = [f"from {ROOM} import {', '.join(modules)}"] * bool(modules)
    parts += [f"from {ROOM}.{inside} import {', '.join(rest)}"] * bool(rest)
    return Found(code, line, message, f"Write: {'; '.join(parts)}")


def _import(inside: str) -> str:
    above, _, last = f"{ROOM}.{inside}".rpartition(".")
    return f"from {above} import {last}"


@cache
def _is_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ImportError:
        return False


def _names(module: Module) -> Iterator[Found]:
    """Names of the old modules, imported or as attributes, that the new ones lack."""
    for node in module.all(ast.ImportFrom):
        for alias in node.names:
            yield from _name(node.lineno, canonical(f"{node.module}.{alias.name}"))
    for attribute in module.all(ast.Attribute):
        yield from _name(attribute.lineno, module.refers(attribute))


def _name(line: int, full: str) -> Iterator[Found]:
    room, _, name = full.partition(".")
    if room in {"endpoints", *SHARED} and name.isidentifier() and name not in {"*", *SHARED}:
        why = _missing(room, name)
        if why:
            yield Found("name-gone", line, f"{room}.{name} is not here", why)


@cache
def _missing(room: str, name: str) -> str:
    """What the new module says of a name that it does not have; '' if it, or one below it, has it."""
    try:
        getattr(import_module(f"{ROOM}.{room}"), name)
    except AttributeError as error:
        below = (f"{ROOM}.{one}" for one, above in ROOTS.items() if above == room)
        held = any(hasattr(import_module(one), name) for one in below if _is_module(one))
        return "" if held or _is_module(f"{ROOM}.{room}.{name}") else f"{str(error)[:1].upper()}{str(error)[1:]}."
    return ""
