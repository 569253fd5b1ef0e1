"""The named schemas of one document, written once each, whoever refers to them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from authz.frameworks.exceptions import ApiConfigurationError
from authz.frameworks.service import Version

_BETWEEN = re.compile(r"[^A-Za-z0-9]+")
_PREFIXES: Final[Mapping[Version, str]] = {"2.0": "#/definitions/", "3.1": "#/components/schemas/"}


class SchemaNameError(ApiConfigurationError, KeyError):
    """Two shapes with one name. The old generator raised a KeyError, so it is one as well."""

    __str__ = Exception.__str__


class Definitions:
    """Implements service.Definitions."""

    def __init__(self, version: Version, prefix: str | None = None) -> None:
        self.version = version
        self.prefix = _PREFIXES[version] if prefix is None else prefix
        self.schemas: dict[str, dict[str, Any]] = {}
        self.shapes: dict[str, object] = {}
        self._names: dict[str, tuple[str, object]] = {}

    def ref(self, name: str, write: Callable[[], dict[str, Any]], shape: object = None) -> dict[str, Any]:
        """`{"$ref": …}` to the schema named so; `write` is called for it once, and may itself refer to any name.

        Raises:
            SchemaNameError: another shape has this name.
        """
        key = written(name)
        before = self._names.setdefault(key, (name, shape))
        if before[0] != name or before[1] is not shape:
            message = (
                f"two schemas would be '{key}': {_told(before)} and {_told((name, shape))}; rename one, or give its "
                "module a 'package' of its own"
            )
            raise SchemaNameError(message)
        if key not in self.schemas:
            self.schemas[key] = {}
            self.shapes[key] = shape
            self.schemas[key] = write()
        return {"$ref": f"{self.prefix}{key}"}


def written(name: str) -> str:
    """The key of a schema: `my.pkg-name.Outer.Inner` as `MyPkgNameOuterInner`."""
    return "".join(part[:1].upper() + part[1:] for part in _BETWEEN.split(name))


def _told(named: tuple[str, object]) -> str:
    name, shape = named
    module = getattr(shape, "__module__", "")
    return f"'{name}'" + (f" of {module}" if module else "")
