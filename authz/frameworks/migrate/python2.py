"""Names, methods and modules that only Python 2 has. What it only could parse is found while parsing."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from authz.frameworks.migrate.reading.names import Module
from authz.frameworks.migrate.rules import Found

NAMES: Final = {
    "unicode": "Write str.",
    "basestring": "Write str.",
    "long": "Write int.",
    "unichr": "Write chr.",
    "xrange": "Write range.",
    "raw_input": "Write input.",
    "reduce": "Import it from functools.",
    "reload": "Import it from importlib.",
    "file": "Write open.",
    "cmp": "Compare with < and ==, or give a key.",
    "execfile": "Write exec(Path(name).read_text()).",
    "StandardError": "Write Exception.",
    "intern": "Write sys.intern.",
    "apply": "Write f(*args).",
    "buffer": "Write memoryview.",
}
METHODS: Final = {
    "has_key": "Write `key in it`.",
    "iteritems": "Write items().",
    "iterkeys": "Write keys().",
    "itervalues": "Write values().",
    "viewitems": "Write items().",
}
MODULES: Final = {
    "urllib2": "urllib.request, or httpx",
    "urlparse": "urllib.parse",
    "StringIO": "io",
    "cStringIO": "io",
    "cPickle": "pickle",
    "ConfigParser": "configparser",
    "Queue": "queue",
    "httplib": "http.client",
    "Cookie": "http.cookies",
    "cookielib": "http.cookiejar",
    "HTMLParser": "html.parser",
    "SocketServer": "socketserver",
    "BaseHTTPServer": "http.server",
    "thread": "threading",
    "commands": "subprocess",
    "md5": "hashlib",
    "sha": "hashlib",
    "sets": "set",
    "__builtin__": "builtins",
    "exceptions": "builtins",
    "itertools.izip": "zip",
    "itertools.imap": "map",
    "itertools.ifilter": "filter",
    "urllib.urlencode": "urllib.parse.urlencode",
    "urllib.quote": "urllib.parse.quote",
    "urllib.unquote": "urllib.parse.unquote",
    "urllib.urlopen": "urllib.request.urlopen, or httpx",
    "string.letters": "string.ascii_letters",
}


def check(module: Module) -> Iterator[Found]:
    """Findings of one module."""
    for node in module.all(ast.Name):
        if node.id in NAMES and isinstance(node.ctx, ast.Load) and node.id not in module.bound:
            yield Found("python2-name", node.lineno, f"{node.id} is not in Python 3", NAMES[node.id])
    for attribute in module.all(ast.Attribute):
        yield from _attribute(module, attribute)
    yield from _modules(module)
    yield from _beside(module)
    for statement in module.nodes:
        if _prints(statement):
            hint = "Write print(), with file=... for another file, or use logging."
            yield Found("python2-syntax", getattr(statement, "lineno", 0), "print is a statement", hint)
    for name in module.all(ast.Assign):
        if ast.unparse(name.targets[0]) == "__metaclass__":
            hint = "Write class Name(Base, metaclass=Meta)."
            yield Found("python2-name", name.lineno, "__metaclass__ has no effect in Python 3", hint)


def _prints(node: ast.AST) -> bool:
    """`print` alone, and `print >>file, ...`: Python 3 parses them as something else."""
    printed = node.left if isinstance(node, ast.BinOp) else node.value if isinstance(node, ast.Expr) else None
    return isinstance(printed, ast.Name) and printed.id == "print"


def _attribute(module: Module, node: ast.Attribute) -> Iterator[Found]:
    if node.attr in METHODS and module.refers(node.value) != "six":
        yield Found("python2-name", node.lineno, f".{node.attr} is not in Python 3", METHODS[node.attr])
    full = module.refers(node)
    if full in MODULES and "." in full:
        yield Found("python2-name", node.lineno, f"{full} is not in Python 3", f"Use {MODULES[full]}.")


def _beside(module: Module) -> Iterator[Found]:
    """Imports without a dot of what is in the same package."""
    taken = list(module.all(ast.ImportFrom))
    if any(one.module == "__future__" and "absolute_import" in {a.name for a in one.names} for one in taken):
        return
    for node in module.all(ast.Import):
        for alias in node.names:
            above, _, last = f".{alias.name}".rpartition(".")
            as_name = f" as {alias.asname}" if alias.asname else ""
            yield from _without_dot(module, node.lineno, alias.name, f"from {above or '.'} import {last}{as_name}")
    for one in taken:
        if one.module and not one.level:
            names = ", ".join(ast.unparse(alias) for alias in one.names)
            yield from _without_dot(module, one.lineno, one.module, f"from .{one.module} import {names}")


def _without_dot(module: Module, line: int, name: str, instead: str) -> Iterator[Found]:
    first = name.partition(".")[0]
    if first in module.beside:
        message = f"{first} is beside this file in a package, where Python 3 does not look without a dot"
        yield Found("python2-import", line, message, f"Write: {instead}")


def _modules(module: Module) -> Iterator[Found]:
    for node in module.all(ast.Import):
        for alias in node.names:
            if alias.name in MODULES:
                yield _module(node.lineno, alias.name)
    for taken in module.all(ast.ImportFrom):
        full = [str(taken.module), *(f"{taken.module}.{alias.name}" for alias in taken.names)]
        found = [name for name in full if name in MODULES and not taken.level]
        yield from (_module(taken.lineno, name) for name in found[:1])


def _module(line: int, name: str) -> Found:
    return Found("python2-module", line, f"{name} is not in Python 3", f"Use {MODULES[name]}.")
