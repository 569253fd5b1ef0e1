"""A document as YAML for people: blocks instead of braces, quotes where YAML needs them, texts in lines."""

from __future__ import annotations

from typing import Any

import yaml

_HEAD = "# Written by `authz openapi from-proto`. It belongs to its protos: authz up FILE.proto THIS_FILE\n"
_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Blocks(_Dumper):  # type: ignore[misc]
    """Writes what is shared wherever it stands, and texts of several lines as they are."""

    def ignore_aliases(self, _data: object) -> bool:
        """Never refer: a reader should not have to look for the anchor."""
        return True


def _text(dumper: Any, value: str) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Blocks.add_representer(str, _text)


def as_yaml(document: dict[str, Any]) -> str:
    """A document as block YAML, in its own order, below a line that says what it is."""
    body: str = yaml.dump(document, Dumper=_Blocks, sort_keys=False, allow_unicode=True, width=110)
    return _HEAD + body
