"""The route table: what Envoy matches, and what each match carries along.

A virtual host per service; in it, for each live config, its operations from the most specific to the least, then a
405 for every known path, then a 404. Everything that depends on an operation is here, so a deploy changes routes and
drains no connection. It knows the model and Envoy's route messages; it does not know who asks and who answers.

Traffic shares: Envoy draws one number per request and compares each `runtime_fraction` with that same number, so the
fractions are running totals, and a request that falls to a config sees that config whole, its 404 included.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, groupby
from urllib.parse import urlsplit

from envoy.config.core.v3.base_pb2 import HeaderValueOption
from envoy.config.route.v3.route_components_pb2 import (
    DirectResponseAction,
    RateLimit,
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
from authz.model.paths import Template
from authz.model.service import DEFAULT_DEADLINE, Backend, Operation, ServiceConfig
from authz.settings import Settings
from authz.xds import translation, tree

CHECK_FILTER = "envoy.filters.http.ext_authz"
RATE_LIMIT_FILTER = "envoy.filters.http.ratelimit"
CORS_FILTER = "envoy.filters.http.cors"

ANY_METHOD = "*"
MILLION = 1_000_000
HSTS = "max-age=31536000; includeSubDomains"

UNKNOWN_HOST = "No API is served under this host name."
UNKNOWN_PATH = "No operation of this API has this path."
UNKNOWN_METHOD = (
    "The path belongs to '{template}', which does not have this method; the Allow header lists those it has."
)
UNSAFE_PATH = (
    "The path holds an escape that this API does not accept: of a slash, of a control character, or no valid one."
)
BAD_PREFLIGHT = (
    "This is no CORS preflight that can be answered: it needs Access-Control-Request-Method and an allowed Origin."
)

ClusterOf = Callable[[Backend], str]


def build(inventory: Inventory, settings: Settings, cluster_of: ClusterOf) -> RouteConfiguration:
    """The whole route table.

    Raises:
        UsageError: a header setting is not `name=value`.
    """
    table = RouteConfiguration(name=wire.ROUTE_CONFIG_NAME)
    _headers(table, settings)
    if settings.cors_preset:
        table.typed_per_filter_config[CORS_FILTER].Pack(_cors(settings))
    default = settings.default_service or (inventory.services[0].name if len(inventory.services) == 1 else "")
    taken: set[str] = set()
    for service in inventory.services:
        domains = [_domain(service.name), *(["*"] if service.name == default else [])]
        host = table.virtual_hosts.add(name=service.name, domains=[d for d in domains if d not in taken])
        taken.update(domains)
        host.matcher.CopyFrom(_Writer(service, settings, cluster_of).matcher())
    if "*" not in taken:
        table.virtual_hosts.append(_nowhere())
    return table


def needs_check(operation: Operation, settings: Settings) -> bool:
    """Whether Check must be asked: who calls matters, or a token for the backend is to be written."""
    return not operation.requirement.is_open or (
        settings.backend_auth != "none" and bool(operation.backend.jwt_audience)
    )


def needs_quota(operation: Operation) -> bool:
    """Whether RateLimit must be asked."""
    return any(cost.amount > 0 for cost in operation.costs)


def _domain(service: str) -> str:
    """The name that hosts are compared with: the connection manager has cut the port off theirs."""
    return re.sub(r":\d+\Z", "", service).lower()


# -- one service ----------------------------------------------------------------------------------------------


class _Writer:
    """Writes one service's routes. Parts are serialised apart and joined: messages in wire form add up."""

    def __init__(self, service: LiveService, settings: Settings, cluster_of: ClusterOf) -> None:
        self.service = service
        self.settings = settings
        self.cluster_of = cluster_of
        self.method = translation.method_header(settings)
        self.actions: dict[tuple[Backend, float], bytes] = {}

    def matcher(self) -> Matcher:
        branches: list[tree.Branch] = []
        tails: list[bytes] = []
        lives = self.service.configs
        for layer, total in enumerate(accumulate(live.share for live in lives)):
            config = lives[layer].config
            share = _share(total) if layer < len(lives) - 1 else RouteMatch()
            branches += self._branches(config, share, layer)
            tails.append(tree.routes(*self._tail(config, share)))
        refusal = _wire(Route(match=RouteMatch(prefix="/"), direct_response=_answer(400, UNSAFE_PATH)))
        return tree.guard(
            _safe_path(keeps_slashes=self._keeps_slashes()), tree.routes(refusal), tree.build(branches, tails)
        )

    def _keeps_slashes(self) -> bool:
        """Escaped slashes pass if all live configs let them: the path is judged before a config is drawn."""
        return self.settings.escaped_slashes == "keep" or all(
            live.config.keep_escaped_slashes for live in self.service.configs
        )

    def _branches(self, config: ServiceConfig, share: RouteMatch, layer: int) -> Iterator[tree.Branch]:
        def order(operation: Operation) -> tuple[object, ...]:
            return operation.template.sort_key, operation.method == ANY_METHOD, operation.method

        for _, group in groupby(sorted(config.operations, key=order), key=lambda each: each.template.shape):
            operations = tuple(group)
            routes = [route for operation in operations for route in self._routes(config, operation, share)]
            yield tree.Branch(
                operations[0].template,
                tree.routes(*routes),
                tree.routes(*self._denials(config, operations, share)),
                layer,
            )

    def _routes(self, config: ServiceConfig, operation: Operation, share: RouteMatch) -> Iterator[bytes]:
        what = self._action(operation) + _wire(self._identity(config, operation))
        for match in self._matches(operation.template, share):
            if operation.method != ANY_METHOD:
                self._match_method(match, operation.method)
            yield _wire(Route(match=match)) + what

    def _denials(self, config: ServiceConfig, operations: Sequence[Operation], share: RouteMatch) -> Iterator[bytes]:
        methods = [operation.method for operation in operations]
        if ANY_METHOD in methods:
            return
        template = operations[0].template
        denial = _denial(config, 405, UNKNOWN_METHOD.format(template=template.text))
        denial.response_headers_to_add.append(_header("allow", ", ".join(methods)))
        for match in self._matches(template, share):
            if self.settings.cors_preset:
                match.headers.add(name=self.method, invert_match=True).string_match.exact = "OPTIONS"
            yield _wire(Route(match=match)) + _wire(denial)

    def _tail(self, config: ServiceConfig, share: RouteMatch) -> Iterator[bytes]:
        match = RouteMatch(prefix="/")
        match.MergeFrom(share)
        if self.settings.cors_preset:
            preflight = RouteMatch()
            preflight.CopyFrom(match)
            self._match_method(preflight, "OPTIONS")
            yield _wire(Route(match=preflight)) + _wire(_denial(config, 400, BAD_PREFLIGHT))
        yield _wire(Route(match=match)) + _wire(_denial(config, 404, UNKNOWN_PATH))

    def _matches(self, template: Template, share: RouteMatch) -> Iterator[RouteMatch]:
        """The matches of a template's paths: an exact template's two paths compare faster than a pattern."""
        if template.is_exact:
            for path in template.paths:
                match = RouteMatch(path=path)
                match.MergeFrom(share)
                yield match
            return
        match = RouteMatch()
        match.safe_regex.regex = template.regex(colon_in_wildcards=self.settings.colon_in_wildcards)
        match.MergeFrom(share)
        yield match

    def _match_method(self, match: RouteMatch, method: str) -> None:
        match.headers.add(name=self.method).string_match.exact = method

    # -- what a match carries

    def _action(self, operation: Operation) -> bytes:
        key = operation.backend, operation.stream_timeout
        if (done := self.actions.get(key)) is None:
            done = self.actions[key] = _wire(Route(route=self._route_action(*key)))
        return done

    def _route_action(self, backend: Backend, stream_timeout: float) -> RouteAction:
        """Where to, and for how long.

        An operation with a stream timeout has no deadline, because Envoy's runs until the last byte of the answer;
        it may be silent for that long. Otherwise the idle timeout stays behind the deadline: 504 comes before 408.
        """
        settings = self.settings
        action = RouteAction(cluster=self.cluster_of(backend))
        deadline = backend.deadline if backend.deadline > 0 else DEFAULT_DEADLINE
        if stream_timeout > 0:
            action.timeout.SetInParent()
            _set(action.idle_timeout, stream_timeout)
        else:
            _set(action.timeout, deadline)
            _set(action.idle_timeout, max(deadline + 1, settings.stream_idle_timeout))
        if translation.is_remote(backend, settings):
            action.host_rewrite_literal = _host(backend.address)
            translation.rewrite(action, backend)
        if settings.retry_count > 0:
            self._retry(action.retry_policy, streams=stream_timeout > 0)
        return action

    def _retry(self, policy: RetryPolicy, *, streams: bool) -> None:
        settings = self.settings
        conditions = [settings.retry_on] if settings.retry_on else []
        if settings.retry_status_codes:
            conditions.append("retriable-status-codes")
            policy.retriable_status_codes.extend(settings.retry_status_codes)
        policy.retry_on = ",".join(conditions)
        policy.num_retries.value = settings.retry_count
        if settings.per_try_timeout > 0 and not streams:
            _set(policy.per_try_timeout, settings.per_try_timeout)

    def _identity(self, config: ServiceConfig, operation: Operation) -> Route:
        settings = self.settings
        names = _names(config, operation.selector)
        route = Route(name=operation.selector)
        route.metadata.filter_metadata[wire.ROUTE_METADATA].update(names)
        filters = route.typed_per_filter_config
        checked = needs_check(operation, settings)
        if checked:
            check = ExtAuthzPerRoute()
            check.check_settings.context_extensions.update(names)
            filters[CHECK_FILTER].Pack(check)
        if needs_quota(operation):
            filters[RATE_LIMIT_FILTER].Pack(_quota(names, checked=checked))
        if translation.is_remote(operation.backend, settings) and translation.needs_script(operation):
            filters[translation.FILTER_NAME].Pack(translation.script_settings(operation))
        if settings.strict_transport_security:
            route.response_headers_to_add.append(_header("strict-transport-security", HSTS))
        return route


def _names(config: ServiceConfig, selector: str) -> dict[str, str]:
    return {
        wire.CONTEXT_SERVICE: config.name,
        wire.CONTEXT_CONFIG: config.id,
        wire.CONTEXT_OPERATION: selector,
    }


def _quota(names: dict[str, str], *, checked: bool) -> RateLimitPerRoute:
    """One descriptor. Who is charged comes from Check where it runs, else from the connection."""
    per_route = RateLimitPerRoute()
    actions = per_route.rate_limits.add().actions
    for key, context in _DESCRIPTOR:
        actions.add().generic_key.MergeFrom(
            RateLimit.Action.GenericKey(descriptor_key=key, descriptor_value=names[context])
        )
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


def _host(address: str) -> str:
    """The host of an address as a Host header names it, without the port."""
    host = urlsplit(address).hostname or ""
    return f"[{host}]" if ":" in host else host


# -- what is refused ------------------------------------------------------------------------------------------


def _safe_path(*, keeps_slashes: bool) -> str:
    """A pattern of the paths that no backend can read differently from Envoy.

    Escapes are well-formed, of no control character and, unless kept, of no slash; those beyond ASCII make valid
    UTF-8. No segment is a dot segment with parameters (`..;`), which normalising leaves behind and Tomcat resolves.
    """
    hexadecimal, follows = "[0-9A-Fa-f]", "%[89ABab][0-9A-Fa-f]"
    ascii_escape = "[2-6][0-9A-Fa-f]" if keeps_slashes else "(?:2[0-9A-Ea-e]|[346][0-9A-Fa-f]|5[0-9ABD-Fabd-f])"
    beyond = "|".join((
        f"(?:[Cc][2-9A-Fa-f]|[Dd]{hexadecimal}){follows}",
        f"[Ee](?:0%[ABab]{hexadecimal}|[Dd]%[89]{hexadecimal}|[1-9A-CE-Fa-ce-f]{follows}){follows}",
        f"[Ff](?:0%[9ABab]{hexadecimal}|4%8{hexadecimal}|[1-3]{follows}){follows}{follows}",
    ))  # fmt: skip
    escape = f"%(?:{ascii_escape}|7[0-9A-Ea-e]|{beyond})"
    other = "/?%" if keeps_slashes else r"/?%\\"
    segment = rf"(?:\.{{0,2}}(?:[^{other}.;]|{escape})|\.{{3}}|;)(?:[^{other}]|{escape})*|\.{{0,2}}"
    return rf"(?:/(?:{segment}))+(?:\?.*)?"


def _share(total: float) -> RouteMatch:
    """A match for the requests whose number is below a running total of shares (percent)."""
    match = RouteMatch()
    match.runtime_fraction.default_value.numerator = round(total / 100 * MILLION)
    match.runtime_fraction.default_value.denominator = FractionalPercent.MILLION
    return match


def _denial(config: ServiceConfig, status: int, text: str) -> Route:
    route = Route(direct_response=_answer(status, text))
    route.metadata.filter_metadata[wire.ROUTE_METADATA].update(_names(config, ""))
    return route


def _answer(status: int, text: str) -> DirectResponseAction:
    """An answer of Envoy's own. Its listener writes local replies as JSON, with this as the message."""
    action = DirectResponseAction(status=status)
    action.body.inline_string = text
    return action


def _nowhere() -> VirtualHost:
    host = VirtualHost(name="*", domains=["*"])
    host.routes.add(match=RouteMatch(prefix="/"), direct_response=_answer(404, UNKNOWN_HOST))
    return host


# -- settings of the whole table ------------------------------------------------------------------------------


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


def _set(duration: Duration, seconds: float) -> None:
    duration.FromMilliseconds(round(seconds * 1000))


def _wire(route: Message) -> bytes:
    return route.SerializeToString(deterministic=True)
