"""Which HTTP filters a request passes, in which order, and why: read `CHAIN` from top to bottom.

Before the first of them, Envoy cleans the request (`early_mutations`): whatever only the gateway may say is removed
on every route, open ones included, and normalises its path. After the last, it goes to the backend.

The chain depends on settings alone, so a deploy never drains a connection. What a deploy may change of it, the header
names that Check reads, is delivered apart from the listener (`CHECK`, an extension config over ADS): Envoy swaps it in
place, for open connections too.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import betterproto2
from envoy_data_plane.envoy.config.common.mutation_rules.v3 import (
    HeaderMutation,
    HeaderMutationRemoveOnMatch,
    HeaderMutationRules,
)
from envoy_data_plane.envoy.config.core.v3 import (
    AggregatedConfigSource,
    ApiVersion,
    BackoffStrategy,
    ConfigSource,
    DataSource,
    ExtensionConfigSource,
    GrpcService,
    GrpcServiceEnvoyGrpc,
    RetryPolicy,
    RetryPolicyRetryHostPredicate,
    SubstitutionFormatString,
    TypedExtensionConfig,
)
from envoy_data_plane.envoy.config.ratelimit.v3 import RateLimitServiceConfig
from envoy_data_plane.envoy.config.rbac.v3 import Rbac as Rules
from envoy_data_plane.envoy.config.route.v3 import HeaderMatcher
from envoy_data_plane.envoy.extensions.compression.brotli.compressor.v3 import Brotli
from envoy_data_plane.envoy.extensions.compression.gzip.compressor.v3 import Gzip
from envoy_data_plane.envoy.extensions.filters.common.set_filter_state.v3 import FilterStateValue
from envoy_data_plane.envoy.extensions.filters.http.buffer.v3 import Buffer
from envoy_data_plane.envoy.extensions.filters.http.compressor.v3 import Compressor
from envoy_data_plane.envoy.extensions.filters.http.cors.v3 import Cors
from envoy_data_plane.envoy.extensions.filters.http.ext_authz.v3 import ExtAuthz
from envoy_data_plane.envoy.extensions.filters.http.grpc_json_reverse_transcoder.v3 import GrpcJsonReverseTranscoder
from envoy_data_plane.envoy.extensions.filters.http.grpc_json_transcoder.v3 import GrpcJsonTranscoder
from envoy_data_plane.envoy.extensions.filters.http.grpc_web.v3 import GrpcWeb
from envoy_data_plane.envoy.extensions.filters.http.header_mutation.v3 import HeaderMutation as HeaderMutationFilter
from envoy_data_plane.envoy.extensions.filters.http.header_to_metadata.v3 import (
    Config as HeaderToMetadata,
)
from envoy_data_plane.envoy.extensions.filters.http.header_to_metadata.v3 import (
    ConfigKeyValuePair as HeaderToMetadataKeyValuePair,
)
from envoy_data_plane.envoy.extensions.filters.http.header_to_metadata.v3 import (
    ConfigRule as HeaderToMetadataRule,
)
from envoy_data_plane.envoy.extensions.filters.http.health_check.v3 import HealthCheck
from envoy_data_plane.envoy.extensions.filters.http.lua.v3 import Lua
from envoy_data_plane.envoy.extensions.filters.http.ratelimit.v3 import RateLimit
from envoy_data_plane.envoy.extensions.filters.http.rbac.v3 import Rbac
from envoy_data_plane.envoy.extensions.filters.http.router.v3 import Router
from envoy_data_plane.envoy.extensions.filters.http.set_filter_state.v3 import Config as SetFilterState
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import HttpFilter
from envoy_data_plane.envoy.extensions.retry.host.previous_hosts.v3 import PreviousHostsPredicate
from envoy_data_plane.envoy.type.matcher.v3 import ListStringMatcher, RegexMatcher, StringMatcher
from envoy_data_plane.envoy.type.v3 import HttpStatus, Percent, StatusCode
from envoy_data_plane.google.protobuf import Any
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message import Message

from authz import wire
from authz.errors import UsageError
from authz.model.auth import DEFAULT_KEY_PLACES, DEFAULT_TOKEN_PLACES, Place, PlaceKind
from authz.model.inventory import Inventory
from authz.model.paths import quote
from authz.settings import Settings
from authz.xds import translation
from authz.xds.clusters import operations, watched
from authz.xds.rpc import answers, reverse, switches

CORS: Final = "envoy.filters.http.cors"
CHECK: Final = "envoy.filters.http.ext_authz"
RATE_LIMIT: Final = "envoy.filters.http.ratelimit"
LOGGED_PATH: Final = "authz.path"
"""The filter state that keeps the path for the access log."""

_CHECK_AGAIN: Final = "connect-failure,refused-stream,reset,unavailable,cancelled"
"""A Check changes nothing, so it may be asked twice: when a sidecar dies or stops, no caller needs to notice."""
_CHARGE_AGAIN: Final = "connect-failure,refused-stream,reset-before-request"
"""A charge that may have been made is not made again."""

ADS: Final = ConfigSource(ads=AggregatedConfigSource(), resource_api_version=ApiVersion.V3)


@dataclass(frozen=True, slots=True)
class Row:
    """One filter: its name, what it is configured with, and when it is there at all.

    `config` None: the configuration comes over ADS. `per_route`: off, unless a route turns it on.
    """

    name: str
    config: Callable[[Settings], Any] | None
    wanted: Callable[[Settings], bool] = lambda _: True
    per_route: bool = False


def _logged_path(_: Settings) -> Any:
    path = SubstitutionFormatString(text_format_source=DataSource(inline_string="%PATH(NQ)%"))
    state = FilterStateValue(object_key=LOGGED_PATH, factory_key="envoy.string", format_string=path)
    return Any.pack(SetFilterState(on_request_headers=[state]))


def _cors(_: Settings) -> Any:
    return Any.pack(Cors())


def _health_check(settings: Settings) -> Any:
    path = "/" + settings.health_path.removeprefix("/")
    exact = HeaderMatcher(name=":path", string_match=StringMatcher(exact=path))
    backend = watched(settings)
    wanted = {backend.name: Percent(value=100)} if backend else {}
    return Any.pack(
        HealthCheck(pass_through_mode=False, headers=[exact], cluster_min_healthy_percentages=wanted),
    )


def _compressor(name: str, library: Callable[[], betterproto2.Message]) -> Callable[[Settings], Any]:
    def config(_: Settings) -> Any:
        extension = TypedExtensionConfig(name=name, typed_config=Any.pack(library()))
        return Any.pack(Compressor(compressor_library=extension))

    return config


def _rate_limit(settings: Settings) -> Any:
    """The sidecar writes Retry-After and the X-RateLimit headers itself: Envoy's show one limit of several."""
    return Any.pack(
        RateLimit(
            domain=wire.RATE_LIMIT_DOMAIN,
            timeout=dt.timedelta(seconds=settings.quota_timeout),
            failure_mode_deny=settings.quota_when_down == "deny",
            status_on_error=HttpStatus(code=StatusCode.ServiceUnavailable),
            rate_limited_as_resource_exhausted=True,
            disable_x_envoy_ratelimited_header=not settings.envoy_headers,
            rate_limit_service=RateLimitServiceConfig(
                grpc_service=_sidecar(_CHARGE_AGAIN, patience=settings.quota_timeout),
                transport_api_version=ApiVersion.V3,
            ),
        )
    )


def _reverse(_: Settings) -> Any:
    """Routes have descriptors of their own; Envoy wants some here, too."""
    none = FileDescriptorSet()
    none.file.add(name="none.proto")
    return Any.pack(GrpcJsonReverseTranscoder(descriptor_binary=none.SerializeToString()))


def _witness(_: Settings) -> Any:
    """Once a backend has begun to answer, the transcoder holds the answer back: that it has is noted beside it."""
    noted = HeaderToMetadataKeyValuePair(metadata_namespace=answers.METADATA, key=answers.ANSWERED, value="1")
    rule = HeaderToMetadataRule(header=answers.STATUS, on_header_present=noted)
    return Any.pack(HeaderToMetadata(response_rules=[rule]))


def _lua(script: str) -> Any:
    return Any.pack(Lua(default_source_code=DataSource(inline_string=script), clear_route_cache=False))


def _method(settings: Settings) -> Any:
    return _retold(translation.method_filter(settings))


def _translation(_: Settings) -> Any:
    return _retold(translation.http_filter())


def _retold(written: Message | None) -> Any:
    """The configuration of a filter that was written with protobuf's own classes."""
    return HttpFilter.parse(written.SerializeToString() if written else b"").typed_config or Any.pack(Lua())


def _router(settings: Settings) -> Any:
    return Any.pack(Router(suppress_envoy_headers=not settings.envoy_headers))


CHAIN: Final[tuple[Row, ...]] = (
    # The path is translated further down, and the log is written at the end: what the caller wrote is kept for it.
    Row("envoy.filters.http.set_filter_state", _logged_path, lambda settings: bool(settings.access_log)),
    # Routes were matched by the overriding method; from here on it is the request's own, for every filter behind.
    Row(translation.METHOD_FILTER_NAME, _method, lambda settings: settings.method_override),
    # Answers preflights, which carry no credentials, and marks the answers of everything behind it, denials included.
    Row(CORS, _cors, lambda settings: bool(settings.cors_preset)),
    # A load balancer has no credentials either; one exact path.
    Row("envoy.filters.http.health_check", _health_check, lambda settings: bool(settings.health_path)),
    # Answers pass the chain upwards: what stands here compresses whatever comes from below. The first wins a tie.
    Row("envoy.filters.http.compressor.gzip", _compressor("gzip", Gzip), lambda settings: settings.compression),
    Row("envoy.filters.http.compressor.brotli", _compressor("brotli", Brotli), lambda settings: settings.compression),
    # Calls in gRPC-Web are gRPC from here on, and what anybody below answers is told in gRPC-Web, denials included;
    # above it, the gateway's own statuses are set right, and answers in JSON lose what is gRPC's.
    Row(switches.HEADERS, lambda _: Any.pack(HeaderMutationFilter()), per_route=True),
    Row(switches.WEB, lambda _: Any.pack(GrpcWeb()), per_route=True),
    # Where the path of a request for an RPC says what a field is, the query must not: Envoy would believe the query.
    Row(switches.QUERY, lambda _: Any.pack(Rbac()), per_route=True),
    # May this call pass? Off where an operation asks for nothing, so that such a call costs nothing.
    Row(CHECK, None, per_route=True),
    # How much is left? Reads what Check wrote, so it stands behind it; a call that is denied is never charged.
    Row(RATE_LIMIT, _rate_limit, per_route=True),
    # Bodies of JSON are kept here until they are whole. The transcoder bounds what it keeps by chance only, as pieces
    # come, and not at all what it makes of them; so nothing gets that far but what is small enough.
    Row(switches.BUFFER, lambda _: Any.pack(Buffer(max_request_bytes=1)), per_route=True),
    # JSON to gRPC, after everybody has seen the request as the caller wrote it. Whatever RPC the transcoder found, none
    # passes but the one that Check has judged.
    Row(switches.TRANSCODER, lambda _: Any.pack(GrpcJsonTranscoder(proto_descriptor_bin=b"")), per_route=True),
    Row(switches.GUARD, lambda _: Any.pack(Rbac()), per_route=True),
    # The other way round: gRPC to REST. The call becomes a request, which is matched anew; none passes but on a route
    # of the RPC that Check has judged. The script above the transcoder sets right what it makes of answers.
    Row(reverse.ANSWERS, lambda _: _lua(answers.SCRIPT), per_route=True),
    Row(reverse.FILTER, _reverse, per_route=True),
    Row(reverse.WITNESS, _witness, per_route=True),
    Row(reverse.TEACHER, lambda _: Any.pack(HeaderMutationFilter()), per_route=True),
    Row(reverse.GUARD, lambda _: Any.pack(Rbac(rules=Rules())), per_route=True),
    # The path as the backend wants it, after everybody has seen the path as the caller wrote it.
    Row(translation.FILTER_NAME, _translation, per_route=True),
    Row("envoy.filters.http.router", _router),
)


def build(settings: Settings) -> list[HttpFilter]:
    """The chain, as far as the settings want it."""
    return [_filter(row, settings) for row in CHAIN if row.wanted(settings)]


def _filter(row: Row, settings: Settings) -> HttpFilter:
    if row.config is not None:
        return HttpFilter(name=row.name, typed_config=row.config(settings), disabled=row.per_route)
    # A listener without its Check must not open: it waits for the configuration, for ever if need be.
    source = ConfigSource(
        ads=AggregatedConfigSource(), resource_api_version=ApiVersion.V3, initial_fetch_timeout=dt.timedelta(0)
    )
    discovery = ExtensionConfigSource(config_source=source, type_urls=[Any.pack(ExtAuthz()).type_url])
    return HttpFilter(name=row.name, config_discovery=discovery, disabled=row.per_route)


def _sidecar(retry_on: str, *, patience: float, timeout: float = 0.0) -> GrpcService:
    """The sidecars, and what is asked again of another one, within the question's timeout.

    `patience`: seconds until a sidecar's silence counts as a reset. Envoy takes the longest pause between two tries
    for that, too (measured; its documentation does not say so).
    """
    elsewhere = RetryPolicyRetryHostPredicate(
        name="envoy.retry_host_predicates.previous_hosts", typed_config=Any.pack(PreviousHostsPredicate())
    )
    return GrpcService(
        envoy_grpc=GrpcServiceEnvoyGrpc(cluster_name=wire.SIDECAR_CLUSTER, skip_envoy_headers=True),
        timeout=dt.timedelta(seconds=timeout) if timeout else None,
        retry_policy=RetryPolicy(
            retry_on=retry_on,
            num_retries=2,
            retry_host_predicate=[elsewhere],
            # One that has nothing to do, because it is dead, is drawn again and again.
            host_selection_retry_max_attempts=20,
            retry_back_off=BackoffStrategy(
                base_interval=dt.timedelta(milliseconds=5), max_interval=dt.timedelta(seconds=patience)
            ),
        ),
    )


# -- Check ----------------------------------------------------------------------------------------------------------


def check_headers(inventory: Inventory, settings: Settings) -> frozenset[str]:
    """The names of all headers that Check reads, lower case.

    The default places are always among them, so that the list changes only with a place of a document's own.
    """
    names = {*wire.CHECK_HEADERS, wire.AUTHORIZATION, *_names((*DEFAULT_KEY_PLACES, *DEFAULT_TOKEN_PLACES))}
    for operation in operations(inventory):
        for alternative in operation.requirement.alternatives:
            names |= _names(alternative.key_places)
    for service in inventory.services:
        for live in service.configs:
            for provider in live.config.providers:
                names |= _names(provider.places)
    if settings.client_ip_from_forwarded:
        names.add(wire.FORWARDED)
    if settings.trusted_hops or not settings.use_remote_address:
        names.add(wire.FORWARDED_FOR)
    return frozenset(names)


def _names(places: Iterable[Place]) -> set[str]:
    return {
        "cookie" if place.kind is PlaceKind.COOKIE else place.name.lower()
        for place in places
        if place.kind is not PlaceKind.QUERY
    }


def check(headers: Iterable[str], settings: Settings) -> TypedExtensionConfig:
    """The ext_authz filter's configuration: it sends the headers named and nothing else.

    `failure_mode_allow` stays false: authentication never fails open. Repeated headers arrive in the string map, joined
    with a comma; no key and no token holds one, so Check sees the repetition at the least price.
    """
    names = [StringMatcher(exact=name) for name in sorted(headers)]
    config = ExtAuthz(
        grpc_service=_sidecar(_CHECK_AGAIN, patience=settings.check_timeout / 2, timeout=settings.check_timeout),
        transport_api_version=ApiVersion.V3,
        status_on_error=HttpStatus(code=StatusCode.ServiceUnavailable),
        validate_mutations=True,
        decoder_header_mutation_rules=HeaderMutationRules(),
        allowed_headers=ListStringMatcher(patterns=names),
    )
    return TypedExtensionConfig(name=CHECK, typed_config=Any.pack(config))


# -- what happens to headers before anything else -------------------------------------------------------------------


def early_mutations(settings: Settings) -> list[HeaderMutation]:
    """Header hygiene, before a route is chosen; then what the method override needs.

    Timeouts, retries and the like (`x-envoy-`) are the gateway's to set, whoever the peer claims to be.
    """
    removed = (*wire.reserved_headers(settings.header_prefix), "x-forwarded-host", wire.EFFECTIVE_METHOD)
    own = [StringMatcher(prefix="x-envoy-")]
    if settings.underscores_in_headers:
        # To many servers (CGI, WSGI) a header is the same with either sign.
        either = "|".join(name.replace("-", "[-_]") for name in removed)
        own.append(StringMatcher(safe_regex=RegexMatcher(regex=either)))
    override = translation.early_header_mutations(settings)
    return [
        *(HeaderMutation(remove=name) for name in removed),
        *(HeaderMutation(remove_on_match=HeaderMutationRemoveOnMatch(key_matcher=one)) for one in own),
        *(HeaderMutation.parse(one.SerializeToString()) for one in override),
    ]


# -- CORS -----------------------------------------------------------------------------------------------------------

_MOST_REGEX: Final = 1000
_NOT_RE2: Final = re.compile(r"\(\?(?:[=!>(]|<[=!]|P=)|\\[1-9]|[*+?}]\+")


def check_cors(settings: Settings) -> None:
    """Refuse a CORS preset that could not work.

    Raises:
        UsageError: unknown preset, no origin, or a regular expression that Envoy would not take.
    """
    if settings.cors_preset not in {"", "basic", "cors_with_regex"}:
        raise UsageError(f"cors_preset is '{settings.cors_preset}'", "Write basic or cors_with_regex.")
    if settings.cors_preset == "basic" and not settings.cors_allow_origin:
        raise UsageError("cors_preset basic has no cors_allow_origin", "Name the origin, or * for all of them.")
    if settings.cors_preset == "cors_with_regex":
        _check_regex(settings.cors_allow_origin_regex)


def _check_regex(text: str) -> None:
    if not text:
        raise UsageError(
            "cors_preset cors_with_regex has no cors_allow_origin_regex", "Write a regular expression for the origins."
        )
    if len(text) > _MOST_REGEX:
        raise UsageError(f"cors_allow_origin_regex has {len(text)} characters", f"Write at most {_MOST_REGEX}.")
    try:
        re.compile(text)
    except re.error as error:
        raise UsageError(f"cors_allow_origin_regex '{text}': {error}", "Write a regular expression (RE2).") from None
    if _NOT_RE2.search(text):
        raise UsageError(
            f"cors_allow_origin_regex '{text}' uses what RE2 does not know", "Do without look-around and references."
        )


def cors_origin(settings: Settings) -> str:
    """The allowed origins as one regular expression, matched in full."""
    if settings.cors_preset == "cors_with_regex":
        return settings.cors_allow_origin_regex
    return ".+" if settings.cors_allow_origin == "*" else quote(settings.cors_allow_origin)
