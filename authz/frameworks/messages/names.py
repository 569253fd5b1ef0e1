"""The full name of a definition, which becomes the name of its schema."""

from __future__ import annotations

import sys
from pathlib import PurePath


def package(module_name: str) -> str | None:
    """What names the definitions of a module: its `package`, else its name; for a script, the file's."""
    module = sys.modules.get(module_name)
    if module is None:
        return None
    declared = getattr(module, "package", None)
    if isinstance(declared, str):
        return declared
    if module_name == "__main__":
        return PurePath(getattr(module, "__file__", None) or module_name).stem
    return module_name


def definition_name(definition: type) -> str:
    """Package, enclosing messages and the class's own name, joined with dots."""
    outer: type | None = definition.__dict__.get("__outer__")
    prefix = definition_name(outer) if outer else package(definition.__module__)
    return f"{prefix}.{definition.__name__}" if prefix else definition.__name__


def adopt(outer: type, name: str, nested: type) -> None:
    """Notes the message that a class was written in; a class that is only mentioned there keeps its own place."""
    if nested.__module__ == outer.__module__ and nested.__qualname__ == f"{outer.__qualname__}.{name}":
        type.__setattr__(nested, "__outer__", outer)
