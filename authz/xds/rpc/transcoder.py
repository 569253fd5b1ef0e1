"""A service's descriptors as the configuration of Envoy's transcoder: for its host, and for single routes.

The host's configuration holds every RPC of the first live config that has any. A config beside it, a canary, may have
other messages, other paths and other options, and the transcoder knows one of them only: then the canary's routes bring
their own, each cut down to its RPC (`closure`). Where nothing that matters differs they share the host's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from envoy.extensions.filters.http.grpc_json_transcoder.v3.transcoder_pb2 import GrpcJsonTranscoder
from google.api import annotations_pb2
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorSet

from authz.model.auth import DEFAULT_KEY_PLACES, Place, PlaceKind
from authz.model.inventory import LiveService
from authz.model.service import Operation, Rpc, ServiceConfig
from authz.model.transcoding import TranscodingOptions
from authz.settings import Settings
from authz.xds.rpc import switches
from authz.xds.rpc.closure import BODY, Closures
from authz.xds.rpc.fields import Fields
from authz.xds.rpc.options import resolve


class Transcoding:
    """How one service's JSON becomes RPCs."""

    def __init__(self, service: LiveService, settings: Settings) -> None:
        configs = [live.config for live in service.configs]
        self._settings = settings
        self._resolved: dict[TranscodingOptions, Settings] = {}
        self._credentials = {*_credentials(configs)}
        self._host = next((one for one in configs if one.descriptors and _services(one)), None)
        self._closures: dict[bytes, Closures] = {}
        self._fields: dict[bytes, Fields] = {}
        declared = [operation for config in configs for operation in config.operations if not operation.generated]
        self.is_all = all(operation.speaks_grpc for operation in declared)
        self.has_rpcs = any(operation.rpc for config in configs for operation in config.operations)

    @property
    def host(self) -> GrpcJsonTranscoder | None:
        """The host's configuration; None if there is nothing to transcode."""
        config = self._host
        return self._transcoder(config, config.descriptors, _services(config)) if config else None

    @property
    def most(self) -> int:
        """How many bytes a body may have, where a route says nothing else."""
        return self._options(self._host).transcoding_max_request_bytes if self._host else 0

    def own_most(self, config: ServiceConfig) -> int | None:
        """How many bytes a body may have on this config's routes; None if the host's number is right for it."""
        if self._host is None or self._host is config:
            return None
        most = self._options(config).transcoding_max_request_bytes
        return most if most != self.most else None

    @property
    def off(self) -> bytes:
        """The part of a route, serialised, for which the host's configuration does not hold."""
        return switches.off(switches.TRANSCODER, switches.BUFFER) if self._host else b""

    def repeats(self, config: ServiceConfig, operation: Operation) -> tuple[str, ...]:
        """What a query parameter may be called that would say again what the path of an RPC's binding says."""
        names = [variable.name for variable in operation.template.variables]
        if not names or operation.rpc is None:
            return ()
        if config.descriptors not in self._fields:
            self._fields[config.descriptors] = Fields(config.descriptors)
        fields = self._fields[config.descriptors]
        return tuple(spelling for name in names for spelling in fields.spellings(operation.rpc, name))

    def own(self, config: ServiceConfig, rpc: Rpc) -> GrpcJsonTranscoder | None:
        """What a route of this config needs instead of its host's; None if the host's is right for it."""
        host = self._host
        if host is None or host is config or not config.descriptors:
            return None
        alike = self._options(config) == self._options(host)
        if alike and config.descriptors == host.descriptors:
            return None
        before, now = self._read(host), self._read(config)
        closure = now.of(rpc)
        # Another RPC's binding could hide this one's, so all of them must be the same.
        same = before.bindings == now.bindings and config.fully_decode_reserved == host.fully_decode_reserved
        if alike and same and before.of(rpc) == closure:
            return None
        return self._transcoder(config, closure, [rpc.service])

    def _options(self, config: ServiceConfig) -> Settings:
        said = config.transcoding
        if said not in self._resolved:
            self._resolved[said] = resolve(said, self._settings)
        return self._resolved[said]

    def _read(self, config: ServiceConfig) -> Closures:
        if config.descriptors not in self._closures:
            self._closures[config.descriptors] = Closures(config.descriptors)
        return self._closures[config.descriptors]

    def _transcoder(self, config: ServiceConfig, descriptors: bytes, services: Iterable[str]) -> GrpcJsonTranscoder:
        """ESPv2's choices, but nothing unknown is let through or dropped unless a setting says so."""
        settings = self._options(config)
        # ESPv2 separates the names with commas, which no field's name holds.
        given = ",".join(settings.transcoding_ignore_query_parameters).split(",")
        lenient = settings.transcoding_ignore_unknown_query_parameters
        transcoder = GrpcJsonTranscoder(
            proto_descriptor_bin=_with_own_paths(descriptors),
            services=services,
            auto_mapping=True,
            convert_grpc_status=True,
            # The route is chosen, and Check has judged it: nothing may choose again.
            match_incoming_request_route=True,
            url_unescape_spec=(
                GrpcJsonTranscoder.ALL_CHARACTERS_EXCEPT_SLASH
                if config.fully_decode_reserved
                else GrpcJsonTranscoder.ALL_CHARACTERS_EXCEPT_RESERVED
            ),
            ignored_query_parameters=sorted({*filter(None, map(str.strip, given)), *self._credentials}),
            ignore_unknown_query_parameters=lenient,
            query_param_unescape_plus=not settings.transcoding_query_parameters_disable_unescape_plus,
            match_unregistered_custom_verb=settings.transcoding_match_unregistered_custom_verb,
            case_insensitive_enum_parsing=settings.transcoding_case_insensitive_enum_parsing,
        )
        printing = transcoder.print_options
        printing.always_print_primitive_fields = settings.transcoding_always_print_primitive_fields
        printing.always_print_enums_as_ints = settings.transcoding_always_print_enums_as_ints
        printing.preserve_proto_field_names = settings.transcoding_preserve_proto_field_names
        printing.stream_newline_delimited = settings.transcoding_stream_newline_delimited
        printing.stream_sse_style_delimited = settings.transcoding_stream_sse
        strict = transcoder.request_validation_options
        strict.reject_unknown_method = True
        strict.reject_unknown_query_parameters = not lenient
        strict.reject_binding_body_field_collisions = True
        return transcoder


def _with_own_paths(descriptors: bytes) -> bytes:
    """Descriptors that bind each RPC to its own path, too. Envoy does so by itself for those without any rule only.

    An RPC with a field that takes bodies of any kind has none: Envoy asks an RPC's first rule whether its bodies are
    JSON, so it would put the JSON of the whole message into that field.
    """
    files = FileDescriptorSet.FromString(descriptors)
    named = files.file if BODY.encode() in descriptors else ()
    raw = {found for file in named for found in _raw(f".{file.package}".rstrip("."), file.message_type)}
    for file in files.file:
        for service in file.service:
            path = f"/{file.package}.{service.name}/" if file.package else f"/{service.name}/"
            for method in service.method:
                if method.options.HasExtension(annotations_pb2.http):
                    rule = method.options.Extensions[annotations_pb2.http]
                    known = {rule.post, *(one.post for one in rule.additional_bindings)}
                    if path + method.name not in known and (method.input_type, rule.body) not in raw:
                        rule.additional_bindings.add(post=path + method.name, body="*")
    return bytes(files.SerializeToString(deterministic=True))


def _raw(scope: str, messages: Iterable[DescriptorProto]) -> Iterator[tuple[str, str]]:
    """The fields that hold bodies of any kind: the names of message and field."""
    for message in messages:
        name = f"{scope}.{message.name}"
        yield from ((name, field.name) for field in message.field if field.type_name == BODY)
        yield from _raw(name, message.nested_type)


def _services(config: ServiceConfig) -> list[str]:
    return sorted({one.rpc.service for one in config.operations if one.rpc and one.speaks_grpc})


def _credentials(configs: Iterable[ServiceConfig]) -> Iterator[str]:
    """The query parameters that are credentials, and so never fields."""
    return (place.name for config in configs for place in _places(config) if place.kind is PlaceKind.QUERY)


def _places(config: ServiceConfig) -> Iterator[Place]:
    for operation in config.operations:
        for alternative in operation.requirement.alternatives:
            if alternative.needs_key:
                yield from alternative.key_places or DEFAULT_KEY_PLACES
    for provider in config.providers:
        yield from provider.places
