"""What a service says of its own JSON, where it wants another than the gateway's settings give it."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscodingOptions:
    """`x-authz-transcoding`: options by their settings' names without `transcoding_`; None: the setting's own value."""

    always_print_primitive_fields: bool | None = None
    always_print_enums_as_ints: bool | None = None
    preserve_proto_field_names: bool | None = None
    stream_newline_delimited: bool | None = None
    stream_sse: bool | None = None
    ignore_query_parameters: tuple[str, ...] | None = None
    ignore_unknown_query_parameters: bool | None = None
    case_insensitive_enum_parsing: bool | None = None
    query_parameters_disable_unescape_plus: bool | None = None
    max_request_bytes: int | None = None
    match_unregistered_custom_verb: bool | None = None

    @property
    def said(self) -> dict[str, bool | int | tuple[str, ...]]:
        """The options that have a value, by name."""
        values = {option: getattr(self, option) for option in OPTIONS}
        return {option: value for option, value in values.items() if value is not None}


OPTIONS = tuple(one.name for one in fields(TranscodingOptions))

UNSAID = TranscodingOptions()
