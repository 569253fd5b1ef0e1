"""Which operation a request meets, what else it may meet, and what each route carries. Mostly on a real Envoy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from envoy.config.route.v3.route_components_pb2 import Route, RouteList
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from xds.type.matcher.v3.matcher_pb2 import Matcher

from authz import wire
from authz.errors import UsageError
from authz.model.auth import Alternative, Requirement
from authz.model.inventory import Inventory, LiveConfig, LiveService
from authz.model.paths import Template
from authz.model.quota import Cost
from authz.model.service import Backend, Operation, ServiceConfig
from authz.settings import Settings
from authz.xds import routes
from harness.http import Response, Upstream

Start = Callable[..., AbstractAsyncContextManager[Any]]

KEY = Requirement((Alternative(needs_key=True),))
HOST = "api.example.test"


def an_operation(text: str, **more: Any) -> Operation:
    """`GET /a/{b}`, which is its selector too."""
    method, template = text.split()
    return Operation(text, method, Template.parse(template), **more)


def a_config(*operations: Operation | str, config: str = "2026-01-01r0", **more: Any) -> ServiceConfig:
    parsed = (an_operation(one, requirement=KEY) if isinstance(one, str) else one for one in operations)
    return ServiceConfig(more.pop("name", HOST), operations=tuple(parsed), id=config, **more)


def live(*services: ServiceConfig | Sequence[tuple[ServiceConfig, float]]) -> Inventory:
    shared = [[(one, 100.0)] if isinstance(one, ServiceConfig) else one for one in services]
    return Inventory(1, tuple(LiveService(one[0][0].name, tuple(LiveConfig(*pair) for pair in one)) for one in shared))


async def meets(gateway: Any, line: str, **more: Any) -> str | int:
    """The selector that Check was told, or the status of a refusal that nobody was asked about."""
    method, path = line.split()
    gateway.sidecar.checks.clear()
    response = await gateway.get(path, method=method, **more)
    told = [check.attributes.context_extensions[wire.CONTEXT_OPERATION] for check in gateway.sidecar.checks]
    assert len(told) == (1 if response.status == 200 else 0)
    return told[0] if told else int(response.status)


MATCHES: dict[str, tuple[dict[str, object], list[str], dict[str, str | int]]] = {
    "literals, then one star, then two": (
        {},
        ["GET /a/**/b/c", "GET /a/**/b", "GET /a/**", "GET /a/*/b/c", "GET /a/*/b", "GET /a/*", "GET /a/x/b/c",
         "GET /a/x/b", "GET /a/x", "GET /a"],
        {
            "GET /a": "GET /a", "GET /a/": "GET /a", "GET /a/x": "GET /a/x", "GET /a/x?q=/b": "GET /a/x",
            "GET /a/x/": "GET /a/x", "GET /a/y": "GET /a/*", "GET /a/y/b": "GET /a/*/b",
            "GET /a/y/b/c": "GET /a/*/b/c", "GET /a/p/q/b": "GET /a/**/b", "GET /a/p/q/b/c": "GET /a/**/b/c",
            "GET /a/p/q": "GET /a/**", "GET /A": 404, "GET /ab": 404, "GET /": 404,
        },
    ),
    "the root and what is below": (
        {},
        ["GET /", "GET /**", "GET /foo", "GET /**:verb", "GET /**/end"],
        {
            "GET /": "GET /", "GET /foo": "GET /foo", "GET /foo/bar": "GET /**", "GET /x/y:verb": "GET /**:verb",
            "GET /x/y/end": "GET /**/end", "POST /foo": 405,
        },
    ),
    "verbs": (
        {},
        ["GET /foo", "GET /foo:run", "POST /v/{id}:go", "GET /v/{id}", "GET /w/{id=d/**}", "GET /w/{id=d/**}:go"],
        {
            "GET /foo:run": "GET /foo:run", "GET /foo/:run": "GET /foo:run", "GET /foo:other": 404,
            "GET /v/1": "GET /v/{id}", "POST /v/1:go": "POST /v/{id}:go", "POST /v/1:go/": 405,
            "GET /w/d/1": "GET /w/{id=d/**}", "GET /w/d/1:go": "GET /w/{id=d/**}:go",
        },
    ),
    "colons kept out of wildcards": (
        {"colon_in_wildcards": False},
        ["GET /v/{id}", "GET /w/**"],
        {"GET /v/1": "GET /v/{id}", "GET /v/1:2": 404, "GET /w/1/2": "GET /w/**", "GET /w/1:2": 404},
    ),
    "slashes and dots": (
        {},
        ["GET /a/{b}", "GET /x.y/z", "GET /a/**"],
        {
            "GET //a//1//": "GET /a/{b}", "GET /a/../a/./1": "GET /a/{b}", "GET /%61/1": "GET /a/{b}",
            "GET /xqy/z": 404, "GET /x.y/z": "GET /x.y/z", "GET /a/": "GET /a/**", "GET /a": 404,
        },
    ),
    "slashes and dots as they come": (
        {"normalize_path": False, "merge_slashes": False},
        ["GET /a/{b}"],
        {"GET /a/1//": 404, "GET //a/1": 404, "GET /a/./1": 404, "GET /a/1/": "GET /a/{b}"},
    ),
    "methods": (
        {},
        ["GET /a", "PUT /a", "* /any", "POST /a/**", "GET /a/{b}", "DELETE /a/{c}"],
        {
            "PUT /a": "PUT /a", "POST /a": 405, "HEAD /a": 405, "OPTIONS /any": "* /any", "POST /a/1": "POST /a/**",
            "DELETE /a/1": "DELETE /a/{c}", "PATCH /a/1": 405, "GET /a/1/2": 405,
        },
    ),
    "everything allowed": (
        {},
        ["GET /a/{b}", *(f"{method} /**" for method in ("GET", "POST", "PUT", "PATCH", "DELETE"))],
        {"GET /a/1": "GET /a/{b}", "POST /a/1": "POST /**", "PATCH /x/y": "PATCH /**", "OPTIONS /x": 405},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", MATCHES)
async def test_the_most_specific_template_with_the_method_wins(start: Start, case: str) -> None:
    settings, operations, table = MATCHES[case]
    async with start(live(a_config(*operations)), **settings) as gateway:
        got = {line: await meets(gateway, line) for line in table}
    assert got == table


async def test_any_operation_of_a_large_api_is_found(start: Start) -> None:
    names = [f"GET /{{tenant}}/things{number}/{{id}}" for number in range(200)]
    names += [f"POST /v1/things{number}" for number in range(200)]
    names += [f"GET /v1/items/{{id}}/act{number}" for number in range(200)]
    async with start(live(a_config(*names))) as gateway:
        for name in names[::37]:
            assert await meets(gateway, name.replace("{tenant}", "acme").replace("{id}", "7")) == name


# -- refusals -------------------------------------------------------------------------------------------------


async def test_a_known_path_says_which_methods_it_has(start: Start, backend: Upstream) -> None:
    async with start(live(a_config("PUT /a/{b}", "GET /a/{b}", "GET /a"))) as gateway:
        response = await gateway.get("/a/1", method="DELETE")
        assert response.status == 405
        assert response.header("allow") == "GET, PUT"
        assert response.json()["code"] == 405
        assert response.json()["message"].endswith("Methods of the path: GET, PUT.")
        assert (await gateway.get("/a/", method="DELETE")).header("allow") == "GET"
        assert not gateway.sidecar.checks
        assert not backend.seen


ALLOWS = [
    ("/a/x", "GET, POST, PUT"),  # its own, those of a star, those of everything
    ("/a/y", "POST, PUT"),
    ("/a/y/z", "PUT"),
    ("/a/y:run", "PATCH"),  # no star matches a colon here
    ("/a/y:halt", None),
    ("/b", "DELETE"),
]


async def test_allow_has_the_methods_of_wider_templates_too(start: Start) -> None:
    config = a_config("GET /a/x", "POST /a/{y}", "PUT /a/**", "PATCH /a/{y}:run", "DELETE /b")
    async with start(live(config), colon_in_wildcards=False) as gateway:
        got = {path: (await gateway.get(path, method="TRACE")).header("allow") for path, _ in ALLOWS}
    assert got == dict(ALLOWS)


async def test_a_template_that_swallows_verbs_lends_them_its_methods(start: Start) -> None:
    """Only where it matches a colon: else the path is unknown to it, and known still."""
    config = a_config("* /**", "PATCH /a/{y}:run")
    async with start(live(config), colon_in_wildcards=False) as gateway:
        assert (await gateway.get("/a/y:run")).status == 405
    async with start(live(config)) as gateway:
        assert (await gateway.get("/a/y:run")).status == 200


async def test_slashes_alone_are_the_root(start: Start) -> None:
    """Envoy merges them to two, which `/**` would match as well: a guarded root must not have an open back door."""
    async with start(live(a_config("GET /", "GET /**", "POST /{a}"))) as gateway:
        got = {path: await meets(gateway, f"GET {path}") for path in ("/", "//", "///", "//?a=/b", "/./", "//..//")}
    assert set(got.values()) == {"GET /"}, got


async def test_an_unknown_path_is_a_404_before_anything_is_asked(start: Start) -> None:
    async with start(live(a_config("GET /a"))) as gateway:
        response = await gateway.get("/b?key=1")
        assert (response.status, response.json()) == (404, {"code": 404, "message": routes.UNKNOWN_PATH})
        assert not gateway.sidecar.checks


UNSAFE = [
    "/a/b%2Fc", "/a/%2f", "/a/%5C", "/a/b%5cc", "/a/%00", "/a/%0d%0aX:", "/a/%09", "/a/%7f", "/a/%1F", "/a/%zz",
    "/a/%2", "/a/%", "/a/%C0%AF", "/a/%c3", "/a/%ED%A0%80", "/a/%F4%90%80%80", "/a/%80", "/a/%2e%2e;/x",
    "/a/..%3B/x", "/a/.%3b",
]  # fmt: skip
UNSAFE_IF_RAW = ["/a/.;/x", "/a/..;", "/a/..;b=1/", "/a\\b"]
SAFE = [
    "/a/b%20c", "/a/%C3%A9", "/a/%E2%82%AC", "/a/%F0%9F%98%80", "/a/..x", "/a/...;", "/a/;x", "/a/x;y=1", "/a/%25zz",
    "/a/1?q=%2F%zz%00..;/", "/a/%3B", "/a/.x;", "/a/...%3B", "/",
]  # fmt: skip


@pytest.mark.parametrize("normal", [True, False])
async def test_paths_that_backends_could_read_differently_are_refused(
    start: Start, backend: Upstream, normal: bool
) -> None:
    """Where Envoy normalises, what is left; where it does not, dot segments with parameters too."""
    # Unless normalised, %2e stays as it is.
    unsafe = set(UNSAFE) if normal else {*UNSAFE, *UNSAFE_IF_RAW} - {"/a/%2e%2e;/x"}
    async with start(live(a_config(an_operation("GET /**"))), normalize_path=normal) as gateway:
        refused = await gateway.get("/a/%2F")
        assert (refused.status, refused.json()) == (400, {"code": 400, "message": routes.UNSAFE_PATH})
        statuses = {path: (await gateway.get(path)).status for path in unsafe.union(SAFE)}
        assert {path for path, status in statuses.items() if status == 400} == unsafe
        assert {path for path, status in statuses.items() if status == 200} == set(SAFE)
        assert len(backend.seen) == len(SAFE)


async def test_escapes_in_what_is_fixed_are_refused(start: Start) -> None:
    """A backend that decodes first would run what the literal guards, under the wildcard's rules."""
    literals = ("GET /a/{b}:run", "GET /a/$meta", "GET /a/caf%C3%A9", "GET /a/@me/x")
    refused = ["/a/1%3Arun", "/a/1%3arun?x", "/a/1/%3Arun", "/a/%24meta", "/a/%24meta/", "/a/caf%c3%a9", "/a/%40me/x"]
    passing = ["/a/1:run", "/a/$meta", "/a/caf%C3%A9", "/a/1%3Arunner", "/a/ann%40example.test", "/a/1?q=%3Arun"]
    async with start(live(a_config(*literals, "GET /**"))) as gateway:
        statuses = {path: (await gateway.get(path)).status for path in (*refused, *passing)}
    assert statuses == dict.fromkeys(refused, 400) | dict.fromkeys(passing, 200)


async def test_a_thousand_verbs_are_no_pattern_too_large(start: Start) -> None:
    """Envoy bounds the size of a regular expression, and would refuse the whole table."""
    operations = [f"POST /a/{{b}}:action-number-{number}" for number in range(1000)]
    async with start(live(a_config(*operations, "POST /**"))) as gateway:
        paths = [f"/a/1%3Aaction-number-{number}" for number in (0, 500, 999)]
        assert [(await gateway.get(path, method="POST")).status for path in paths] == [400, 400, 400]


@pytest.mark.parametrize(
    ("settings", "kept", "status"),
    [
        ({}, False, 400),
        ({"escaped_slashes": "keep"}, False, 200),
        ({}, True, 200),
        ({"escaped_slashes": "redirect"}, False, 307),
    ],
)
async def test_escaped_slashes_are_refused_unless_wanted(
    start: Start, settings: dict[str, object], kept: bool, status: int
) -> None:
    config = a_config(an_operation("GET /a/{b}"), keep_escaped_slashes=kept)
    async with start(live(config), **settings) as gateway:
        assert [(await gateway.get(path)).status for path in ("/a/x%2Fy", "/a/x%5cy")] == [status, status]
        assert (await gateway.get("/a/%00")).status == 400


# -- hosts ----------------------------------------------------------------------------------------------------

TWO = (a_config("GET /one", name="one.test"), a_config("GET /two", name="two.test:8443"))
HOSTS = [
    # live services, default_service, host, path, status
    (TWO[:1], "", "one.test", "/one", 200),
    (TWO[:1], "", "ONE.test.:99", "/one", 200),
    (TWO[:1], "", "other.test", "/one", 200),
    (TWO, "", "two.test:1", "/two", 200),
    (TWO, "", "one.test", "/two", 404),
    (TWO, "", "other.test", "/two", 404),
    (TWO, "two.test:8443", "other.test", "/two", 200),
    (TWO, "gone.test", "other.test", "/two", 404),
]


@pytest.mark.parametrize(("services", "default", "host", "path", "status"), HOSTS)
async def test_a_host_chooses_the_service(
    start: Start, services: Sequence[ServiceConfig], default: str, host: str, path: str, status: int
) -> None:
    async with start(live(*services), default_service=default) as gateway:
        assert (await gateway.get(path, host=host)).status == status


def test_two_services_cannot_have_one_host_name() -> None:
    with pytest.raises(UsageError, match=r"ONE\.test:1"):
        routes.build(live(TWO[0], a_config(name="ONE.test:1")), Settings(), lambda _: "local")


async def test_without_a_service_every_host_is_unknown(start: Start) -> None:
    async with start(live()) as gateway:
        response = await gateway.get("/")
        assert (response.status, response.json()["message"]) == (404, routes.UNKNOWN_HOST)


async def test_an_unknown_host_is_told_in_grpc_to_who_calls_in_grpc(start: Start) -> None:
    async with start(live()) as gateway:
        response = await gateway.get("/a.B/C", ("content-type", "application/grpc"), method="POST")
    assert (response.status, response.header("grpc-status")) == (200, "12")
    assert not response.header("x-authz-grpc-status")


# -- shares ---------------------------------------------------------------------------------------------------


async def test_a_request_falls_to_one_config_and_sees_it_whole(start: Start) -> None:
    """Shares of 50, 30 and 20 percent; each config has a path of its own, unknown to the others."""
    configs = [a_config("GET /a", f"GET /only/{name}", config=name) for name in ("old", "new", "next")]
    async with start(live(list(zip(configs, (50.0, 30.0, 20.0), strict=True)))) as gateway:
        for _ in range(400):
            await gateway.get("/a")
        told = Counter(one.attributes.context_extensions[wire.CONTEXT_CONFIG] for one in gateway.sidecar.checks)
        statuses = Counter([(await gateway.get("/only/next")).status for _ in range(200)])
    # Five standard deviations.
    assert abs(told["old"] - 200) < 50
    assert abs(told["new"] - 120) < 46
    assert abs(told["next"] - 80) < 40
    assert set(statuses) == {200, 404}
    assert abs(statuses[200] - 40) < 29


async def test_escaped_slashes_pass_only_if_every_live_config_lets_them(start: Start) -> None:
    configs = [
        a_config(an_operation("GET /{a}"), config=str(keep), keep_escaped_slashes=keep) for keep in (True, False)
    ]
    async with start(live([(configs[0], 99.0), (configs[1], 1.0)])) as gateway:
        assert (await gateway.get("/%2F")).status == 400


# -- what routes carry ----------------------------------------------------------------------------------------


async def test_nobody_is_asked_about_an_open_operation(start: Start) -> None:
    async with start(live(a_config(an_operation("GET /open"), "GET /a"))) as gateway:
        gateway.sidecar.check = gateway.sidecar.deny
        assert (await gateway.get("/open")).status == 200
        assert not gateway.sidecar.checks
        assert not gateway.sidecar.quotas
        assert (await gateway.get("/a")).status == 401


async def test_check_is_told_to_charge_where_it_runs_and_something_costs(start: Start) -> None:
    costs = {"costs": (Cost("reads", 1),)}
    operations = an_operation("GET /both", requirement=KEY, **costs), an_operation("GET /key", requirement=KEY)
    async with start(
        live(a_config(*operations, an_operation("GET /open", requirement=Requirement(), **costs)))
    ) as gateway:
        for path in ("/both", "/key", "/open"):
            assert (await gateway.get(path)).status == 200
        told = [dict(check.attributes.context_extensions) for check in gateway.sidecar.checks]
        assert [(each["operation"], each.get(wire.CONTEXT_CHARGE)) for each in told] == [
            ("GET /both", "1"), ("GET /key", None)
        ]  # fmt: skip
        (asked,) = gateway.sidecar.quotas
        assert asked.descriptors[0].entries[2].value == "GET /open"


async def test_check_is_told_service_config_and_operation(start: Start) -> None:
    async with start(live(a_config("GET /a"))) as gateway:
        await gateway.get("/a")
        assert dict(gateway.sidecar.checks[0].attributes.context_extensions) == {
            "service": HOST, "config": "2026-01-01r0", "operation": "GET /a"
        }  # fmt: skip


@pytest.mark.parametrize(
    ("needs", "subject"),
    [(KEY, ("subject", wire.SUBJECT_MISSING)), (Requirement(), ("remote_address", "127.0.0.1"))],
    ids=["checked", "open"],
)
async def test_the_quota_is_asked_with_one_descriptor(
    start: Start, needs: Requirement, subject: tuple[str, str]
) -> None:
    """Even if Check forgot to say whom to charge: without the descriptor nobody would be asked."""
    operations = an_operation("GET /a", requirement=needs, costs=(Cost("reads", 2),)), an_operation("GET /free")
    async with start(live(a_config(*operations)), quota_in_check=False) as gateway:
        assert (await gateway.get("/a")).status == 200
        await gateway.get("/free")
        (asked,) = gateway.sidecar.quotas
        (descriptor,) = asked.descriptors
        assert asked.domain == wire.RATE_LIMIT_DOMAIN
        assert [(entry.key, entry.value) for entry in descriptor.entries] == [
            ("service", HOST), ("config", "2026-01-01r0"), ("operation", "GET /a"), subject
        ]  # fmt: skip


async def test_the_quota_is_charged_to_whom_check_named(start: Start) -> None:
    def allow(request: object) -> Any:
        response = start_allow(request)
        response.dynamic_metadata.update({wire.METADATA_SUBJECT: "consumer:7"})
        return response

    config = a_config(an_operation("GET /a", requirement=KEY, costs=(Cost("r", 1),)))
    async with start(live(config), quota_in_check=False) as gateway:
        start_allow = gateway.sidecar.allow
        gateway.sidecar.check = allow
        await gateway.get("/a")
        assert gateway.sidecar.quotas[0].descriptors[0].entries[3].value == "consumer:7"


NEEDS = [
    ({}, {}, False),
    ({"requirement": KEY}, {}, True),
    ({"requirement": Requirement(KEY.alternatives, optional=True)}, {}, True),
    ({"backend": Backend("https://b.test", jwt_audience="b")}, {}, False),
    ({"backend": Backend("https://b.test", jwt_audience="b")}, {"backend_auth": "self"}, True),
    ({"backend": Backend("https://b.test")}, {"backend_auth": "self"}, False),
]


@pytest.mark.parametrize(("operation", "settings", "needed"), NEEDS)
def test_check_is_needed_for_callers_and_for_backend_tokens(
    operation: dict[str, Any], settings: dict[str, Any], needed: bool
) -> None:
    assert routes.needs_check(an_operation("GET /a", **operation), Settings(**settings)) is needed


@pytest.mark.parametrize(
    ("costs", "needed"), [((), False), ((Cost("m", 0),), False), ((Cost("m", 0), Cost("n", 1)), True)]
)
def test_an_operation_is_metered_where_something_costs(costs: tuple[Cost, ...], needed: bool) -> None:
    assert an_operation("GET /a", costs=costs).is_metered is needed


def listed(matcher: Matcher) -> Iterator[Route]:
    matches = [matcher.on_no_match, *matcher.matcher_tree.prefix_match_map.map.values()]
    for on_match in [*matches, *(entry.on_match for entry in matcher.matcher_list.matchers)]:
        if on_match.HasField("matcher"):
            yield from listed(on_match.matcher)
        elif on_match.HasField("action"):
            yield from RouteList.FromString(on_match.action.typed_config.value).routes


def table(*operations: Operation, **settings: Any) -> RouteConfiguration:
    return routes.build(live(a_config(*operations)), Settings(**settings), lambda backend: backend.address or "local")


def the_route(operation: Operation, **settings: Any) -> Route:
    written = table(operation, **settings).virtual_hosts[0].matcher
    return next(route for route in listed(written) if route.name == operation.selector)


def with_backend(address: str = "", **more: Any) -> Operation:
    return an_operation("GET /a/{b}", backend=Backend(address, **more))


TIMES = [
    # deadline, stream timeout, settings -> timeout, idle timeout, per try timeout
    (15, 0, {}, 15, 300, 0),
    (0.25, 0, {"stream_idle_timeout": 1.0}, 0.25, 1.25, 0),
    (-1, 0, {}, 15, 300, 0),
    (600, 0, {"per_try_timeout": 2.5}, 600, 601, 2.5),
    (15, 3600, {"per_try_timeout": 2.5}, 0, 3600, 0),
]


@pytest.mark.parametrize(("deadline", "stream", "settings", "timeout", "idle", "per_try"), TIMES)
def test_a_late_answer_is_a_504_and_a_stream_may_take_its_time(
    deadline: float, stream: float, settings: dict[str, Any], timeout: float, idle: float, per_try: float
) -> None:
    operation = an_operation("GET /a/{b}", backend=Backend(deadline=deadline), stream_timeout=stream)
    host = table(operation, **settings).virtual_hosts[0]
    action = next(route for route in listed(host.matcher) if route.name == operation.selector).route
    seconds = [one.ToTimedelta().total_seconds() for one in (action.timeout, action.idle_timeout)]
    assert seconds == [timeout, idle]
    assert action.HasField("timeout")
    retry = action.retry_policy if action.HasField("retry_policy") else host.retry_policy
    assert retry.per_try_timeout.ToTimedelta().total_seconds() == per_try
    assert retry.HasField("per_try_timeout") is (per_try > 0)
    assert retry.retry_on == host.retry_policy.retry_on


def test_retries_follow_the_settings() -> None:
    retry = table(with_backend()).virtual_hosts[0].retry_policy
    assert (retry.retry_on, retry.num_retries.value) == ("reset,connect-failure,refused-stream", 1)
    more = {"retry_on": "5xx", "retry_count": 3, "retry_status_codes": (502, 503)}
    retry = table(with_backend(), **more).virtual_hosts[0].retry_policy
    assert (retry.retry_on, retry.num_retries.value) == ("5xx,retriable-status-codes", 3)
    assert list(retry.retriable_status_codes) == [502, 503]
    assert not table(with_backend(), retry_count=0).virtual_hosts[0].HasField("retry_policy")


@pytest.mark.parametrize(
    ("address", "override", "host"),
    [
        ("", False, ""),
        ("https://api.test:8443/base", False, "api.test"),
        ("http://[::1]:80", False, "[::1]"),
        ("https://api.test", True, ""),
    ],
)
def test_a_backend_of_its_own_sees_its_own_name(address: str, override: bool, host: str) -> None:
    assert the_route(with_backend(address), backend_override=override).route.host_rewrite_literal == host


def test_routes_say_for_the_log_what_they_are() -> None:
    host = table(an_operation("GET /a"), access_log="-").virtual_hosts[0]
    assert dict(host.metadata.filter_metadata[wire.ROUTE_METADATA]) == {"service": HOST}
    written = {
        route.name: dict(route.metadata.filter_metadata[wire.ROUTE_METADATA])
        for route in listed(host.matcher)
        if route.metadata.filter_metadata
    }
    assert written["GET /a"] == written[""] == {"config": "2026-01-01r0"}


def test_the_same_inventory_gives_the_same_bytes() -> None:
    operations = [an_operation(f"GET /a{n}/{{b}}", requirement=KEY, costs=(Cost("m", 1),)) for n in range(50)]
    assert table(*operations).SerializeToString(deterministic=True) == table(*reversed(operations)).SerializeToString(
        deterministic=True
    )


# -- headers --------------------------------------------------------------------------------------------------


async def test_headers_are_added_as_the_settings_say(start: Start, backend: Upstream) -> None:
    settings = {
        "add_request_headers": ("x-set=new", "x-method=%REQ(:method)%"),
        "append_request_headers": ("x-more=new",),
        "add_response_headers": ("content-type=text/odd",),
        "append_response_headers": ("x-served=here=there",),
    }
    async with start(live(a_config(an_operation("GET /a"))), **settings) as gateway:
        response = await gateway.get("/a", ("x-set", "old"), ("x-more", "old"))
        seen = backend.seen[0]
        assert (seen.all("x-set"), seen.all("x-more"), seen.all("x-method")) == (["new"], ["old", "new"], ["GET"])
        assert (response.all("content-type"), response.header("x-served")) == (["text/odd"], "here=there")


@pytest.mark.parametrize("text", ["", "x-a", "=b", "a b=c", "x:y=z"])
def test_what_is_no_header_is_an_error(text: str) -> None:
    with pytest.raises(UsageError, match="--append-response-headers"):
        table(an_operation("GET /a"), append_response_headers=(text,))


@pytest.mark.parametrize("text", ["two words", "line\nbreak", "tab\t", " ", "sécret"])
def test_a_secret_that_is_no_header_is_an_error(text: str) -> None:
    with pytest.raises(UsageError, match="gateway_secret cannot stand in a header"):
        table(an_operation("GET /a"), gateway_secret=text)


async def test_transport_security_is_said_by_operations_only(start: Start) -> None:
    async with start(live(a_config(an_operation("GET /a"))), strict_transport_security=True) as gateway:
        assert (await gateway.get("/a")).header("strict-transport-security") == routes.HSTS
        assert (await gateway.get("/b")).header("strict-transport-security") is None


# -- CORS presets ---------------------------------------------------------------------------------------------

PREFLIGHTS: list[tuple[str, dict[str, str], int]] = [
    ("/a", {"origin": "http://good.test", "access-control-request-method": "GET"}, 200),
    ("/unknown", {"origin": "http://good.test", "access-control-request-method": "GET"}, 200),
    ("/a", {"origin": "http://bad.test", "access-control-request-method": "GET"}, 400),
    ("/a", {"origin": "http://good.test"}, 400),
    ("/unknown", {}, 400),
    ("/options", {"origin": "http://good.test"}, 201),
]


@pytest.mark.parametrize(
    "preset",
    [
        {"cors_preset": "basic", "cors_allow_origin": "http://good.test"},
        {"cors_preset": "cors_with_regex", "cors_allow_origin_regex": r"http://g\w+\.test"},
    ],
    ids=["basic", "regex"],
)
async def test_a_preset_answers_preflights_everywhere(start: Start, backend: Upstream, preset: dict[str, str]) -> None:
    backend.answer = lambda _: Response(201)
    async with start(live(a_config("GET /a", an_operation("OPTIONS /options"))), **preset) as gateway:
        for path, headers, status in PREFLIGHTS:
            response = await gateway.get(path, *headers.items(), method="OPTIONS")
            assert response.status == status, (path, headers)
            assert (response.header("access-control-allow-origin") == "http://good.test") is (status != 400)
        assert (await gateway.get("/a", method="DELETE")).status == 405


async def test_any_origin_means_any(start: Start) -> None:
    async with start(live(a_config("GET /a")), cors_preset="basic", cors_max_age=7) as gateway:
        headers = ("origin", "http://x.test"), ("access-control-request-method", "GET")
        response = await gateway.get("/a", *headers, method="OPTIONS")
        assert response.header("access-control-allow-origin") == "http://x.test"
        assert response.header("access-control-max-age") == "7"
