"""The route table: what Envoy matches, and what each match carries along.

A virtual host per service; in it, for each live config, its operations from the most specific to the least, then a
405 for every known path, then a 404. Everything that depends on an operation is here, so a deploy changes routes and
drains no connection. It knows the model and Envoy's route messages; it does not know who asks and who answers.

Traffic shares: Envoy draws one number per request and compares each `runtime_fraction` with that same number, so the
fractions are running totals, and a request that falls to a config sees that config whole, its 404 included.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from functools import cache
from itertools import accumulate, groupby
from urllib.parse import urlsplit

from envoy.config.core.v3.base_pb2 import HeaderValueOption
from envoy.config.route.v3.route_components_pb2 import (
    DirectResponseAction,
    RetryPolicy,
    Route,
    RouteAction,
    RouteMatch,
    VirtualHost,
)
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.http.cors.v3.cors_pb2 import CorsPolicy
from envoy.extensions.filters.http.ext_authz.v3.ext_authz_pb2 import ExtAuthzPerRoute
from envoy.extensions.filters.http.ratelimit.v3.rate_limit_pb2 import RateLimitPerRoute
from envoy.type.v3.percent_pb2 import FractionalPercent
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from xds.type.matcher.v3.matcher_pb2 import Matcher

from authz import wire
from authz.errors import UsageError
from authz.model.inventory import Inventory, LiveService
from authz.model.paths import Template, disguise_regexes, safe_path_regex
from authz.model.service import DEFAULT_DEADLINE, Backend, Operation, ServiceConfig
from authz.settings import Settings
from authz.xds import translation, tree

CHECK_FILTER = "envoy.filters.http.ext_authz"
RATE_LIMIT_FILTER = "envoy.filters.http.ratelimit"
CORS_FILTER = "envoy.filters.http.cors"

ANY_METHOD = "*"
MILLION = 1_000_000
HSTS = "max-age=31536000; includeSubdomains"

UNKNOWN_HOST = "No API is served under this host name."
UNKNOWN_PATH = "No operation of this API has this path."
UNKNOWN_METHOD = (
    "The path belongs to '{template}', which does not have this method; the Allow header lists those it has."
)
UNSAFE_PATH = "The path holds an escape that is not accepted: a broken one, a slash, a control, or one in a fixed part."
BAD_PREFLIGHT = (
    "This is no CORS preflight that can be answered: it needs Access-Control-Request-Method and an allowed Origin."
)

ClusterOf = Callable[[Backend], str]


def build(inventory: Inventory, settings: Settings, cluster_of: ClusterOf) -> RouteConfiguration:
    """The whole route table.

    Raises:
        UsageError: a header setting is not `name=value`, or two services have one host name.
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
        host.matcher.CopyFrom(_matcher(service, settings, cluster_of))
    if default not in taken.values():
        table.virtual_hosts.append(_nowhere())
    return table


def needs_check(operation: Operation, settings: Settings) -> bool:
    """Whether Check must be asked: who calls matters, or a token for the backend is to be written."""
    return not operation.requirement.is_open or (
        settings.backend_auth != "none" and bool(operation.backend.jwt_audience)
    )


def _domain(service: str) -> str:
    """The name that hosts are compared with: the connection manager has cut the port off theirs."""
    return re.sub(r":\d+\Z", "", service).lower()


# -- one service ----------------------------------------------------------------------------------------------


def _matcher(service: LiveService, settings: Settings, cluster_of: ClusterOf) -> Matcher:
    branches: list[tree.Branch] = []
    tails: list[bytes] = []
    for layer, total in enumerate(accumulate(live.share for live in service.configs)):
        last = layer == len(service.configs) - 1
        writer = _Writer(service.configs[layer].config, RouteMatch() if last else _share(total), settings, cluster_of)
        branches += writer.branches(layer)
        tails.append(tree.routes(*writer.tail()))
    refusal = _wire(Route(match=RouteMatch(prefix="/"), direct_response=_answer(400, UNSAFE_PATH)))
    safe = safe_path_regex(keep_slashes=_keeps_slashes(service, settings))
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


class _Writer:
    """Writes one live config's routes, in wire form.

    Parts are serialised apart and joined, which is how protobuf merges messages; and what routes have in common is
    filled in once: the messages made here are stencils, in which only the operation's name changes.
    """

    def __init__(self, config: ServiceConfig, share: RouteMatch, settings: Settings, cluster_of: ClusterOf) -> None:
        self.config = config
        self.settings = settings
        self.cluster_of = cluster_of
        self.share = _wire(Route(match=share))
        self.actions: dict[tuple[Backend, float, bool], bytes] = {}
        self.methods: dict[str, bytes] = {ANY_METHOD: b""}
        names = {wire.CONTEXT_SERVICE: config.name, wire.CONTEXT_CONFIG: config.id, wire.CONTEXT_OPERATION: ""}
        self.identity = Route()
        self.identity.metadata.filter_metadata[wire.ROUTE_METADATA].update(names)
        self.nobody = _wire(self.identity)
        if settings.strict_transport_security:
            self.identity.response_headers_to_add.append(_header("strict-transport-security", HSTS))
        if settings.operation_name_header:
            name = wire.upstream_headers(settings.header_prefix)[wire.OPERATION_NAME]
            self.identity.request_headers_to_add.append(_header(name, ""))
        self.logged = self.identity.metadata.filter_metadata[wire.ROUTE_METADATA].fields[wire.CONTEXT_OPERATION]
        self.check = ExtAuthzPerRoute()
        self.check.check_settings.context_extensions.update(names)
        self.quotas = {checked: _quota(names, checked=checked) for checked in (True, False)}

    def branches(self, layer: int) -> Iterator[tree.Branch]:
        """Every template with the routes of its methods, the most specific template first."""

        def order(operation: Operation) -> tuple[object, ...]:
            return operation.template.sort_key, operation.method == ANY_METHOD, operation.method

        ordered = sorted(self.config.operations, key=order)
        shapes = {shape: list(group) for shape, group in groupby(ordered, key=lambda each: each.template.shape)}
        methods = {shape: {operation.method for operation in group} for shape, group in shapes.items()}
        for group in shapes.values():
            template = group[0].template
            wider = template.wider(colon_in_wildcards=self.settings.colon_in_wildcards)
            allowed = set().union(*(methods[shape] for shape in wider if shape in methods))
            paths = [self._match(path) for path in self._paths(template)]
            routes = [path + what for what in map(self._route, group) for path in paths]
            denials = [path + what for what in self._denials(template, allowed) for path in paths]
            yield tree.Branch(template, tree.routes(*routes), tree.routes(*denials), layer)

    def tail(self) -> Iterator[bytes]:
        """What stands behind all templates; with a CORS preset, OPTIONS is known everywhere."""
        everything = self._match(RouteMatch(prefix="/"))
        if self.settings.cors_preset:
            yield everything + self._method("OPTIONS") + self._refusal(_answer(400, BAD_PREFLIGHT))
        yield everything + self._refusal(_answer(404, UNKNOWN_PATH))

    def _paths(self, template: Template) -> Iterator[RouteMatch]:
        """An exact template's two paths compare faster than a pattern for both."""
        if template.is_exact:
            yield from (RouteMatch(path=path) for path in template.paths)
        else:
            match = RouteMatch()
            match.safe_regex.regex = template.regex(colon_in_wildcards=self.settings.colon_in_wildcards)
            yield match

    def _match(self, path: RouteMatch) -> bytes:
        return _wire(Route(match=path)) + self.share

    def _method(self, method: str, *, other_than: bool = False) -> bytes:
        match = RouteMatch()
        header = match.headers.add(name=translation.method_header(self.settings), invert_match=other_than)
        header.string_match.exact = method
        return _wire(Route(match=match))

    def _route(self, operation: Operation) -> bytes:
        method = operation.method
        if method not in self.methods:
            self.methods[method] = self._method(method)
        return self.methods[method] + self._action(operation) + self._identity(operation)

    def _denials(self, template: Template, allowed: Collection[str]) -> Iterator[bytes]:
        """The 405 of a template. `allowed` are its methods and those of wider templates, which its paths have too."""
        if ANY_METHOD not in allowed:
            allow = _allow(", ".join(sorted(allowed)))
            what = _answer(405, UNKNOWN_METHOD.format(template=template.text))
            but_options = self._method("OPTIONS", other_than=True) if self.settings.cors_preset else b""
            yield but_options + self._refusal(what) + allow

    def _refusal(self, answer: DirectResponseAction) -> bytes:
        return _wire(Route(direct_response=answer)) + self.nobody

    def _identity(self, operation: Operation) -> bytes:
        settings, route, selector = self.settings, self.identity, operation.selector
        route.name = selector
        self.logged.string_value = selector
        for told in route.request_headers_to_add:
            told.header.value = selector.replace("%", "%%")
        route.typed_per_filter_config.clear()
        checked, metered = needs_check(operation, settings), operation.is_metered
        at_once = checked and metered and settings.quota_in_check
        if checked:
            context = self.check.check_settings.context_extensions
            context[wire.CONTEXT_OPERATION] = selector
            context.pop(wire.CONTEXT_CHARGE, None)
            context.update({wire.CONTEXT_CHARGE: "1"} if at_once else {})
            _switch_on(route, CHECK_FILTER, self.check)
        if metered and not at_once:
            quota = self.quotas[checked]
            quota.rate_limits[0].actions[_OPERATION_ENTRY].generic_key.descriptor_value = selector
            _switch_on(route, RATE_LIMIT_FILTER, quota)
        if self._is_scripted(operation):
            _switch_on(route, translation.FILTER_NAME, translation.script_settings(operation))
        return _wire(route)

    def _action(self, operation: Operation) -> bytes:
        scripted = self._is_scripted(operation)
        key = operation.backend, operation.stream_timeout, scripted
        if (done := self.actions.get(key)) is None:
            route = Route(route=_action(operation, self.settings, self.cluster_of(operation.backend)))
            if translation.is_remote(operation.backend, self.settings) and not scripted:
                translation.rewrite(route, operation.backend)
            done = self.actions[key] = _wire(route)
        return done

    def _is_scripted(self, operation: Operation) -> bool:
        return translation.is_remote(operation.backend, self.settings) and translation.needs_script(operation)


# -- what becomes of a request --------------------------------------------------------------------------------


def _action(operation: Operation, settings: Settings, cluster: str) -> RouteAction:
    """Where to, and for how long.

    An operation with a stream timeout has no deadline, because Envoy's runs until the last byte of the answer; it
    may be silent for that long. Otherwise the idle timeout stays behind the deadline: 504 comes before 408.
    """
    action, backend, stream_timeout = RouteAction(cluster=cluster), operation.backend, operation.stream_timeout
    deadline = backend.deadline if backend.deadline > 0 else DEFAULT_DEADLINE
    streams = stream_timeout > 0
    _set(action.timeout, 0 if streams else deadline)
    _set(action.idle_timeout, stream_timeout if streams else max(deadline + 1, settings.stream_idle_timeout))
    if translation.is_remote(backend, settings):
        action.host_rewrite_literal = _host(backend.address)
    if settings.retry_count > 0:
        _retry(action.retry_policy, settings)
        if settings.per_try_timeout > 0 and not streams:
            _set(action.retry_policy.per_try_timeout, settings.per_try_timeout)
    return action


def _retry(policy: RetryPolicy, settings: Settings) -> None:
    by_status = ["retriable-status-codes"] if settings.retry_status_codes else []
    policy.retry_on = ",".join([*filter(None, [settings.retry_on]), *by_status])
    policy.retriable_status_codes.extend(settings.retry_status_codes)
    policy.num_retries.value = settings.retry_count


def _quota(names: dict[str, str], *, checked: bool) -> RateLimitPerRoute:
    """One descriptor. Who is charged comes from Check where it runs, else from the connection."""
    per_route = RateLimitPerRoute()
    actions = per_route.rate_limits.add().actions
    for key, context in _DESCRIPTOR:
        entry = actions.add().generic_key
        entry.descriptor_key, entry.descriptor_value = key, names[context]
    if checked:
        subject = actions.add().metadata
        subject.descriptor_key = wire.DESCRIPTOR_SUBJECT
        subject.metadata_key.key = wire.METADATA_NAMESPACE
        subject.metadata_key.path.add(key=wire.METADATA_SUBJECT)
        subject.default_value = wire.SUBJECT_MISSING
    else:
        actions.add().remote_address.SetInParent()
    return per_route


_DESCRIPTOR = (
    (wire.DESCRIPTOR_SERVICE, wire.CONTEXT_SERVICE),
    (wire.DESCRIPTOR_CONFIG, wire.CONTEXT_CONFIG),
    (wire.DESCRIPTOR_OPERATION, wire.CONTEXT_OPERATION),
)
_OPERATION_ENTRY = 2


def _host(address: str) -> str:
    """The host of an address as a Host header names it, without the port."""
    host = urlsplit(address).hostname or ""
    return f"[{host}]" if ":" in host else host


@cache
def _allow(methods: str) -> bytes:
    return _wire(Route(response_headers_to_add=[_header("allow", methods)]))


def _answer(status: int, text: str) -> DirectResponseAction:
    """An answer of Envoy's own. Its listener writes local replies as JSON, with this as the message."""
    action = DirectResponseAction(status=status)
    action.body.inline_string = text
    return action


def _nowhere() -> VirtualHost:
    host = VirtualHost(name="*", domains=["*"])
    host.routes.add(match=RouteMatch(prefix="/"), direct_response=_answer(404, UNKNOWN_HOST))
    return host


def _headers(table: RouteConfiguration, settings: Settings) -> None:
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
            target.append(_header(key, value, action))
    if settings.method_override:
        table.request_headers_to_remove.append(wire.EFFECTIVE_METHOD)


def _cors(settings: Settings) -> CorsPolicy:
    """The preset's policy, for every path: the CORS filter answers preflights before anything else is asked."""
    policy = CorsPolicy(
        allow_methods=settings.cors_allow_methods,
        allow_headers=settings.cors_allow_headers,
        expose_headers=settings.cors_expose_headers,
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


def _header(name: str, value: str, action: int = HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD) -> HeaderValueOption:
    option = HeaderValueOption(append_action=action)
    option.header.key = name
    option.header.value = value
    return option


def _switch_on(route: Route, filter_name: str, config: Message) -> None:
    """A filter that is off by default runs where a route has settings for it."""
    packed = route.typed_per_filter_config[filter_name]
    packed.type_url = f"type.googleapis.com/{config.DESCRIPTOR.full_name}"
    packed.value = _wire(config)


def _set(duration: Duration, seconds: float) -> None:
    duration.FromMilliseconds(round(seconds * 1000))


def _wire(route: Message) -> bytes:
    return route.SerializeToString(deterministic=True)
