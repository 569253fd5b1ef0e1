"""Messages as JSON, both ways, and how a request of path, query and body becomes one message.

`decode` and `encode` are compiled once for each message class, on first use: a table of small functions by field name.
What does not fit is `exceptions.InvalidValue`, with the field's place: `items[2].price`.
"""

from __future__ import annotations

from authz.frameworks.protojson.bind import FieldParameter, MessageBinding
from authz.frameworks.protojson.decode import decode, parse
from authz.frameworks.protojson.encode import encode, to_json

__all__ = ["FieldParameter", "MessageBinding", "decode", "encode", "parse", "to_json"]
