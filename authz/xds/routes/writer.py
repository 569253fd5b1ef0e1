"""One live config's routes: its templates' operations, their 405s, and the 404 behind them all."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import groupby

from envoy.config.route.v3.route_components_pb2 import DirectResponseAction, Route, RouteMatch
from envoy.extensions.filters.http.ext_authz.v3.ext_authz_pb2 import ExtAuthzPerRoute
from google.protobuf.message import Message

from authz import wire
from authz.model.paths import DOUBLE_STAR, STAR
from authz.model.service import Backend, Operation, Rpc, ServiceConfig
from authz.settings import Settings
from authz.xds import translation, tree
from authz.xds.routes.actions import (
    BAD_PREFLIGHT,
    HSTS,
    OPERATION_ENTRY,
    UNKNOWN_METHOD,
    UNKNOWN_PATH,
    action,
    allow,
    answer,
    header,
    quota,
    serialised,
    without_original,
)
from authz.xds.rpc import reverse, switches
from authz.xds.rpc.reverse import Reversal, Way
from authz.xds.rpc.transcoder import Transcoding

CHECK_FILTER = "envoy.filters.http.ext_authz"
RATE_LIMIT_FILTER = "envoy.filters.http.ratelimit"

ANY_METHOD = "*"
IS_GRPC, IS_NOT_GRPC = switches.is_grpc(), switches.is_grpc(no=True)

ClusterOf = Callable[[Backend], str]


def needs_check(operation: Operation, settings: Settings) -> bool:
    """Whether Check must be asked: who calls matters, or a token for the backend is to be written."""
    return not operation.requirement.is_open or (
        settings.backend_auth != "none" and bool(operation.backend.jwt_audience)
    )


class Writer:
    """Writes one live config's routes, in wire form.

    Parts are serialised apart and joined, which is how protobuf merges messages; and what routes have in common is
    filled in once: the messages made here are stencils, in which only the operation's name changes.
    """

    def __init__(
        self,
        config: ServiceConfig,
        share: RouteMatch,
        settings: Settings,
        cluster_of: ClusterOf,
        transcoding: Transcoding,
    ) -> None:
        self.config = config
        self.transcoding = transcoding
        self.reversal = Reversal(config, settings)
        self.settings = settings
        self.cluster_of = cluster_of
        self.share = serialised(Route(match=share))
        self.actions: dict[tuple[object, ...], bytes] = {}
        # What a host turns on for its RPCs, its other routes turn off.
        self.no_rpc = transcoding.off + (switches.off(switches.WEB, switches.HEADERS) if transcoding.has_rpcs else b"")
        self.transcoded: dict[Rpc, bytes] = {}
        self.identities: dict[str, bytes] = {}
        self.denials: dict[str, bytes] = {}
        # A host that has nothing but RPCs says it for all of them.
        removed = [] if transcoding.is_all else without_original(settings)
        self.without_original = serialised(Route(request_headers_to_remove=removed))
        self.methods: dict[str, bytes] = {ANY_METHOD: b""}
        names = {wire.CONTEXT_SERVICE: config.name, wire.CONTEXT_CONFIG: config.id, wire.CONTEXT_OPERATION: ""}
        logged = Route()
        if settings.access_log:
            logged.metadata.filter_metadata[wire.ROUTE_METADATA].update({wire.CONTEXT_CONFIG: config.id})
        self.logged = serialised(logged)
        self.nobody = self.logged + transcoding.off
        self.identity = Route()
        if settings.strict_transport_security:
            self.identity.response_headers_to_add.append(header("strict-transport-security", HSTS))
        self.check = ExtAuthzPerRoute()
        self.check.check_settings.context_extensions.update(names)
        self.quotas = {
            (checked, in_grpc): quota(names, checked=checked, in_grpc=in_grpc)
            for checked in (True, False)
            for in_grpc in (True, False)
        }

    def branches(self, layer: int) -> Iterator[tree.Branch]:
        """Every template with the routes of its methods, the most specific template first."""

        def order(operation: Operation) -> tuple[object, ...]:
            return operation.template.sort_key, operation.method == ANY_METHOD, operation.method

        ordered = sorted(self.config.operations, key=order)
        shapes = {shape: list(group) for shape, group in groupby(ordered, key=lambda each: each.template.shape)}
        methods = {shape: {operation.method for operation in group} for shape, group in shapes.items()}
        wild = {index for segments, _ in shapes for index, one in enumerate(segments) if one in {STAR, DOUBLE_STAR}}
        colons = self.settings.colon_in_wildcards
        for group in shapes.values():
            template = group[0].template
            wider = template.wider(wild, colon_in_wildcards=colons)
            allowed = set().union(*(methods[shape] for shape in wider if shape in methods))
            regex = template.regex(colon_in_wildcards=colons)
            pattern = self._pattern(regex)
            exact = [self._match(RouteMatch(path=path)) for path in template.paths] if template.is_exact else [pattern]
            routes = [route for operation in group for route in self._routes(operation, exact, pattern)]
            yield tree.Branch(template, tree.routes(*routes), self._denial(regex, allowed), layer)

    def tail(self) -> Iterator[bytes]:
        """What stands behind all templates; with a CORS preset, OPTIONS is known everywhere."""
        everything = self._match(RouteMatch(prefix="/"))
        if self.settings.cors_preset:
            yield everything + self._method("OPTIONS") + self._refusal(answer(400, BAD_PREFLIGHT))
        yield everything + self._refusal(answer(404, UNKNOWN_PATH))

    def _pattern(self, regex: str) -> bytes:
        match = RouteMatch()
        match.safe_regex.regex = regex
        return self._match(match)

    def _match(self, path: RouteMatch) -> bytes:
        return serialised(Route(match=path)) + self.share

    def _method(self, method: str, *, other_than: bool = False) -> bytes:
        match = RouteMatch()
        one = match.headers.add(name=translation.method_header(self.settings), invert_match=other_than)
        one.string_match.exact = method
        return serialised(Route(match=match))

    def _routes(self, operation: Operation, exact: Sequence[bytes], pattern: bytes) -> Iterator[bytes]:
        """The routes of an operation. One of an RPC takes JSON, and gRPC on the RPC's own path only.

        `exact` and `pattern` match the same paths. An exact template's two compare faster than one pattern for both,
        but every route that Envoy need not read makes a deploy faster.
        """
        if operation.method not in self.methods:
            self.methods[operation.method] = self._method(operation.method)
        method, way, rpc = self.methods[operation.method], self.reversal.way(operation.rpc), operation.rpc
        if isinstance(way, Way) and way.leads_to(operation):
            yield from self._made(way, exact)
        if way and operation.is_rpc_path:
            yield from self._called(way, exact[0] + method, pattern + method)
            return
        if rpc is None or not operation.speaks_grpc:
            what = self._action(operation, grpc=False) + self._identity(operation)
            yield from (path + method + what + self.no_rpc for path in exact)
            return
        what = self._action(operation, grpc=True) + self._identity_of(rpc, operation)
        if operation.is_rpc_path:
            yield exact[0] + method + IS_GRPC + what + self._in_grpc(operation) + self.transcoding.off
        names = self.transcoding.repeats(self.config, operation)
        repeated = switches.unrepeated(names, plain=self.transcoding.is_all) if names else b""
        yield pattern + method + IS_NOT_GRPC + what + self._transcoded(rpc) + repeated

    def _called(self, way: Way | str, exact: bytes, pattern: bytes) -> Iterator[bytes]:
        """The routes of an RPC's own path where its backend speaks REST: for calls in gRPC, and for nothing else."""
        if isinstance(way, Way):
            what = self._action(way.operation, grpc=True) + self._identity(way.operation)
            what += self._in_grpc(way.operation) + self.reversal.called(way) + self.transcoding.off
        else:
            what = self._refusal(answer(404, way))
        yield exact + IS_GRPC + what
        yield pattern + IS_NOT_GRPC + self._refusal(answer(404, reverse.GRPC_ONLY))

    def _made(self, way: Way, exact: Sequence[bytes]) -> Iterator[bytes]:
        """The routes of the requests that calls become, in front of those for whoever sends such requests himself."""
        method = self.methods[way.operation.method]
        what = self._action(way.operation, grpc=True) + self._identity(way.operation) + self.reversal.made(way)
        yield from (path + method + what + self.transcoding.off for path in exact)

    def _transcoded(self, rpc: Rpc) -> bytes:
        """What all routes of an RPC for callers in JSON have in common."""
        if rpc not in self.transcoded:
            own = self.transcoding.own(self.config, rpc)
            self.transcoded[rpc] = (
                switches.transcoded(rpc, own, self.transcoding.own_most(self.config)) + self.without_original
            )
        return self.transcoded[rpc]

    def _denial(self, regex: str, allowed: Collection[str]) -> tree.Denial | None:
        """The 405 of a template's paths. `allowed`: its methods, and those of wider templates."""
        if ANY_METHOD in allowed:
            return None
        methods = ", ".join(sorted(allowed))
        if methods not in self.denials:
            but_options = self._method("OPTIONS", other_than=True) if self.settings.cors_preset else b""
            refusal = self._refusal(answer(405, UNKNOWN_METHOD.format(methods=methods)))
            self.denials[methods] = self.share + but_options + refusal + allow(methods)
        return tree.Denial(regex, self.denials[methods])

    def _refusal(self, answer: DirectResponseAction) -> bytes:
        return serialised(Route(direct_response=answer)) + self.nobody

    def _identity_of(self, rpc: Rpc, operation: Operation) -> bytes:
        """The same for all operations of an RPC."""
        if rpc.path not in self.identities:
            self.identities[rpc.path] = self._identity(operation)
        return self.identities[rpc.path]

    def _identity(self, operation: Operation) -> bytes:
        settings, route, selector = self.settings, self.identity, operation.selector
        route.name = selector
        route.typed_per_filter_config.clear()
        checked, metered = needs_check(operation, settings), operation.is_metered
        at_once = checked and metered and settings.quota_in_check
        if checked:
            context = self.check.check_settings.context_extensions
            context[wire.CONTEXT_OPERATION] = selector
            context.pop(wire.CONTEXT_CHARGE, None)
            if at_once:
                context[wire.CONTEXT_CHARGE] = "1"
            _switch_on(route, CHECK_FILTER, self.check)
        if metered and not at_once:
            self._ask(route, operation)
        if self._is_scripted(operation):
            _switch_on(route, translation.FILTER_NAME, translation.script_settings(operation))
        return serialised(route) + self.logged

    def _ask(self, route: Route, operation: Operation, *, in_grpc: bool = False) -> None:
        quota = self.quotas[needs_check(operation, self.settings), in_grpc]
        quota.rate_limits[0].actions[OPERATION_ENTRY].generic_key.descriptor_value = operation.selector
        _switch_on(route, RATE_LIMIT_FILTER, quota)

    def _in_grpc(self, operation: Operation) -> bytes:
        """What RateLimit is asked for callers in gRPC, in place of what it is for others; nothing where it is not."""
        checked = needs_check(operation, self.settings)
        if not operation.is_metered or (checked and self.settings.quota_in_check):
            return b""
        route = Route()
        self._ask(route, operation, in_grpc=True)
        return serialised(route)

    def _action(self, operation: Operation, *, grpc: bool) -> bytes:
        scripted = self._is_scripted(operation)
        rpc = operation.rpc
        streams = rpc and (rpc.client_streaming, rpc.server_streaming)
        key = operation.backend, operation.stream_timeout, operation.websocket, scripted, streams, grpc
        if (done := self.actions.get(key)) is None:
            route = Route(route=action(operation, self.settings, self.cluster_of(operation.backend), grpc=grpc))
            if translation.is_remote(operation.backend, self.settings) and not scripted and not operation.speaks_grpc:
                translation.rewrite(route, operation.backend)
            done = self.actions[key] = serialised(route)
        return done

    def _is_scripted(self, operation: Operation) -> bool:
        """An RPC's path is translated by nobody but the transcoder."""
        remote = not operation.speaks_grpc and translation.is_remote(operation.backend, self.settings)
        return remote and translation.needs_script(operation)


def _switch_on(route: Route, filter_name: str, config: Message) -> None:
    """A filter that is off by default runs where a route has settings for it."""
    packed = route.typed_per_filter_config[filter_name]
    packed.type_url = f"type.googleapis.com/{config.DESCRIPTOR.full_name}"
    packed.value = serialised(config)
