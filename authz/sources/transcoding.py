"""`x-authz-transcoding`: how a service's JSON differs from what the gateway's settings make of others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from authz.model.transcoding import OPTIONS, TranscodingOptions
from authz.sources.node import Node

KEY = "x-authz-transcoding"
_NAMES = "ignore_query_parameters"
_SIZE = "max_request_bytes"
_FLAGS = tuple(option for option in OPTIONS if option not in (_NAMES, _SIZE))
_STREAMS = ("stream_sse", "stream_newline_delimited")
_MOST_BYTES = (1 << 32) - 1
"""Envoy counts them in 32 bits."""


class Said(NamedTuple):
    """What one document says: `node` is the mapping below its root."""

    root: Node
    node: Node
    options: TranscodingOptions


def transcoding(root: Node) -> Said | None:
    """What the root of a document says; None if it says nothing."""
    if KEY in root and root.value[KEY] is None:
        root.wrong(KEY, "given a value")
    node = root.child(KEY)
    if node is None:
        return None
    node.known(*OPTIONS)
    flags = {option: node.flag(option) for option in _FLAGS}
    names = node.texts(_NAMES) if node.pick((_NAMES,)) else None
    options = TranscodingOptions(**flags, ignore_query_parameters=names, max_request_bytes=_size(node))
    return Said(root, node, options)


def _size(node: Node) -> int | None:
    size = node.integer(_SIZE)
    if size is None or 0 < size <= _MOST_BYTES:
        return size
    message = f"'{_SIZE}' of {node.name} is {size}"
    node.report("bad-value", message, f"Write a number of bytes from 1 to {_MOST_BYTES}.", _SIZE)
    return None


def together(documents: Iterable[Said]) -> TranscodingOptions:
    """What the documents of a service say together. They may share the options, or repeat them, but not contradict."""
    values: dict[str, Any] = {}
    places: dict[str, Node] = {}
    for _, node, options in documents:
        for option, value in options.said.items():
            first = places.setdefault(option, node)
            if values.setdefault(option, value) != value:
                message = f"'{option}' is not the same as in {first.document.file}:{first.line(option)}"
                hint = "The JSON of a service is one: write the option into one of its documents, or the same into all."
                node.report("transcoding-differs", message, hint, option)
        if all(values.get(option) for option in _STREAMS) and (key := node.pick(_STREAMS)):
            message = "'stream_sse' and 'stream_newline_delimited' are two forms of one stream"
            node.report("transcoding-streams", message, "Keep one of them.", key)
    return TranscodingOptions(**values)
