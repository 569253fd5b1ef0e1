"""The whole table: a virtual host per service, its live configs' routes from the most specific to the least.

Behind a config's operations come a 405 for every known path, then a 404. Everything that depends on an operation is
in the table, so a deploy changes routes and drains no connection. It knows the model and Envoy's route messages; it
does not know who asks and who answers.

Traffic shares: Envoy draws one number per request and compares each `runtime_fraction` with that same number, so the
fractions are running totals, and a request that falls to a config sees that config whole, its 404 included.
"""

from __future__ import annotations

import re
from itertools import accumulate

from envoy.config.core.v3.base_pb2 import HeaderValueOption
from envoy.config.route.v3.route_components_pb2 import Route, RouteMatch, VirtualHost
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.http.cors.v3.cors_pb2 import CorsPolicy
from envoy.type.v3.percent_pb2 import FractionalPercent
from xds.type.matcher.v3.matcher_pb2 import Matcher

from authz import wire
from authz.errors import UsageError
from authz.model.inventory import Inventory, LiveService
from authz.model.paths import disguise_regexes, safe_path_regex
from authz.settings import Settings
from authz.xds import tree
from authz.xds.routes.actions import (
    UNKNOWN_HOST,
    UNSAFE_PATH,
    UNSAFE_TARGET,
    answer,
    header,
    retries,
    serialised,
    without_original,
)
from authz.xds.routes.writer import ClusterOf, Writer
from authz.xds.rpc import switches
from authz.xds.rpc.transcoder import Transcoding

CORS_FILTER = "envoy.filters.http.cors"
_WEB_ASKS, _WEB_TELLS = ",X-Grpc-Web,Grpc-Timeout", ",Grpc-Status,Grpc-Message,Grpc-Status-Details-Bin"
"""What browsers must be let send and read, or gRPC-Web's calls have no outcome there."""
MILLION = 1_000_000


def build(inventory: Inventory, settings: Settings, cluster_of: ClusterOf) -> RouteConfiguration:
    """The whole route table.

    Raises:
        UsageError: a header setting is not `name=value`, the gateway's secret cannot stand in a header, or two
            services have one host name.
    """
    table = RouteConfiguration(name=wire.ROUTE_CONFIG_NAME)
    _headers(table, settings)
    if settings.cors_preset:
        table.typed_per_filter_config[CORS_FILTER].Pack(_cors(settings))
    default = settings.default_service or (inventory.services[0].name if len(inventory.services) == 1 else "")
    taken: dict[str, str] = {}
    for service in inventory.services:
        domain = _domain(service.name)
        if domain in taken:
            raise UsageError(
                f"{taken[domain]} and {service.name} have one host name", "Take one of them out of service."
            )
        taken[domain] = service.name
        host = table.virtual_hosts.add(
            name=service.name, domains=[domain, "*"] if service.name == default else [domain]
        )
        host.metadata.filter_metadata[wire.ROUTE_METADATA].update({wire.CONTEXT_SERVICE: service.name})
        if settings.retry_count > 0:
            host.retry_policy.CopyFrom(retries(settings))
        transcoding = Transcoding(service, settings)
        on = switches.for_host(transcoding.host, transcoding.most)
        if transcoding.is_all:
            host.request_headers_to_remove.extend(without_original(settings))
        for name, config in on.items() if transcoding.has_rpcs else ():
            host.typed_per_filter_config[name].Pack(config, deterministic=True)
        if settings.cors_preset and transcoding.has_rpcs:
            host.typed_per_filter_config[CORS_FILTER].Pack(_cors(settings, asks=_WEB_ASKS, tells=_WEB_TELLS))
        host.matcher.CopyFrom(_matcher(service, settings, cluster_of, transcoding))
    if default not in taken.values():
        table.virtual_hosts.append(_nowhere())
    return table


def _domain(service: str) -> str:
    """The name that hosts are compared with: the connection manager has cut the port off theirs."""
    return re.sub(r":\d+\Z", "", service).lower()


# -- one service ----------------------------------------------------------------------------------------------


def _matcher(service: LiveService, settings: Settings, cluster_of: ClusterOf, transcoding: Transcoding) -> Matcher:
    branches: list[tree.Branch] = []
    tails: list[bytes] = []
    for layer, total in enumerate(accumulate(live.share for live in service.configs)):
        last = layer == len(service.configs) - 1
        share = RouteMatch() if last else _share(total)
        writer = Writer(service.configs[layer].config, share, settings, cluster_of, transcoding)
        branches += writer.branches(layer)
        tails.append(tree.routes(*writer.tail()))
    words = UNSAFE_TARGET if transcoding.is_all else UNSAFE_PATH
    refusal = serialised(Route(match=RouteMatch(prefix="/"), direct_response=answer(400, words)))
    refusal += transcoding.off
    safe = safe_path_regex(keep_slashes=_keeps_slashes(service, settings), is_text=transcoding.is_all)
    disguises = disguise_regexes({one.template for live in service.configs for one in live.config.operations})
    return tree.guard(safe, disguises, tree.routes(refusal), tree.build(branches, tails))


def _keeps_slashes(service: LiveService, settings: Settings) -> bool:
    """Escaped slashes pass if all live configs let them: the path is judged before a config is drawn."""
    return settings.escaped_slashes == "keep" or all(live.config.keep_escaped_slashes for live in service.configs)


def _share(total: float) -> RouteMatch:
    """A match for the requests whose number is below a running total of shares (percent)."""
    match = RouteMatch()
    match.runtime_fraction.default_value.numerator = round(total / 100 * MILLION)
    match.runtime_fraction.default_value.denominator = FractionalPercent.MILLION
    return match


def _nowhere() -> VirtualHost:
    host = VirtualHost(name="*", domains=["*"])
    host.routes.add(match=RouteMatch(prefix="/"), direct_response=answer(404, UNKNOWN_HOST))
    for name, config in switches.for_host(None, 0).items():
        # Whoever calls in gRPC is told so in gRPC.
        host.typed_per_filter_config[name].Pack(config, deterministic=True)
    return host


def _headers(table: RouteConfiguration, settings: Settings) -> None:
    if settings.operation_name_header:
        # Once for all: a route's name is its operation's selector.
        name = wire.upstream_headers(settings.header_prefix)[wire.OPERATION_NAME]
        table.request_headers_to_add.append(header(name, "%ROUTE_NAME%"))
    add, append = HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD, HeaderValueOption.APPEND_IF_EXISTS_OR_ADD
    for name, target, action in (
        ("add_request_headers", table.request_headers_to_add, add),
        ("append_request_headers", table.request_headers_to_add, append),
        ("add_response_headers", table.response_headers_to_add, add),
        ("append_response_headers", table.response_headers_to_add, append),
    ):
        for text in getattr(settings, name):
            key, equals, value = text.partition("=")
            if not equals or not _HEADER_NAME.match(key):
                option = "--" + name.replace("_", "-")
                raise UsageError(f"{option} '{text}' is no header", "Write name=value, for example x-region=eu.")
            target.append(header(key, value, action))
    if settings.gateway_secret:
        table.request_headers_to_add.append(header(wire.GATEWAY_SECRET, _secret(settings.gateway_secret)))
    if settings.method_override:
        table.request_headers_to_remove.append(wire.EFFECTIVE_METHOD)


def _secret(text: str) -> str:
    """The secret as Envoy writes it to the letter: elsewhere a per cent sign begins a command.

    Raises:
        UsageError: it cannot stand in a header.
    """
    if not _VISIBLE.match(text):
        raise UsageError("gateway_secret cannot stand in a header", "Write visible ASCII characters without spaces.")
    return text.replace("%", "%%")


def _cors(settings: Settings, *, asks: str = "", tells: str = "") -> CorsPolicy:
    """The preset's policy, for every path: the CORS filter answers preflights before anything else is asked.

    `asks` and `tells` are further headers that scripts may send and read.
    """
    policy = CorsPolicy(
        allow_methods=settings.cors_allow_methods,
        allow_headers=settings.cors_allow_headers + asks,
        expose_headers=settings.cors_expose_headers + tells,
        max_age=str(settings.cors_max_age),
    )
    origin = policy.allow_origin_string_match.add()
    if settings.cors_preset == "basic":
        origin.exact = settings.cors_allow_origin
    else:
        origin.safe_regex.regex = settings.cors_allow_origin_regex
    policy.allow_credentials.value = settings.cors_allow_credentials
    return policy


_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_VISIBLE = re.compile(r"[!-~]+\Z")
