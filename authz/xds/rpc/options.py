"""Which of the transcoder's options hold for a service: its own, and the gateway's where it says nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from authz.model.transcoding import TranscodingOptions
from authz.settings import Settings


def resolve(said: TranscodingOptions, settings: Settings) -> Settings:
    """The gateway's settings as they hold for a service that says something of its own."""
    options: dict[str, Any] = dict(said.said)
    # A stream has one form: whoever chooses one does not keep the gateway's other one beside it.
    if said.stream_sse:
        options["stream_newline_delimited"] = False
    elif said.stream_newline_delimited:
        options["stream_sse"] = False
    return (
        replace(settings, **{f"transcoding_{name}": value for name, value in options.items()}) if options else settings
    )
