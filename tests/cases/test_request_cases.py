"""ESPv2's observable behaviour, case by case, through a real Envoy.

Every case becomes a service of its own in one gateway; cases with other start-up settings get gateways of their own.
A case passes, or it is listed in `DEPARTURES` with the decision that it departs for.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import ssl
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from authz.model.auth import ApiKey, ConsumerKind, ConsumerStatus
from authz.model.auth import key_digest as digest
from authz.settings import TABLE
from cases.scenario import Key, Scenario, payload, with_tokens
from harness import gateway, http
from harness.http import Request, Response, Upstream
from harness.issuer import Issuer
from harness.tls import Authority

CASES = json.loads((Path(__file__).parent / "espv2_requests.json").read_text())
SCENARIOS = {case["id"]: Scenario(case, number) for number, case in enumerate(CASES)}

NO_CONTROL_PLANE = (
    "there is no Google control plane that could say this of a consumer; its states are active, suspended, deleted"
)
FIRST_PLACE = "DECISIONS, Credentials: the first place that is present counts; the other token is not looked at"
OWN_TROUBLE = "DECISIONS, Credentials: own trouble is 503; a key set that cannot be fetched is not the caller's fault"
FAIL_CLOSED = "DECISIONS, Credentials: authentication never fails open"

DEPARTURES: dict[str, str] = {
    "jwtloc-two-tokens-one-bad-rejected": FIRST_PLACE,
    "jwt-jwks-unreachable": OWN_TROUBLE,
    "check-project-invalid": NO_CONTROL_PLANE,
    "check-billing-disabled": NO_CONTROL_PLANE,
    "check-invalid-credential": NO_CONTROL_PLANE,
    "check-consumer-invalid": NO_CONTROL_PLANE,
    "check-resource-exhausted": NO_CONTROL_PLANE,
    "check-backend-unavailable-failclosed": FAIL_CLOSED + "; the store's loss is tested in tests/walks",
    "check-timeout-failopen": FAIL_CLOSED,
    "check-non5xx-error-ignores-failopen": NO_CONTROL_PLANE,
    "check-http403-failopen": NO_CONTROL_PLANE,
    "quota-error-billing-not-active": NO_CONTROL_PLANE,
    "quota-error-api-key-invalid": NO_CONTROL_PLANE,
    "quota-error-api-key-expired": NO_CONTROL_PLANE,
    "bauth-unset-default-audience": "without jwt_audience Google's compiler writes the full address as audience "
    "(case compile-backend-default-audience-is-full-address); this case is of a hand-written service config",
    "bauth-client-xfa-alone-passes": "DECISIONS, Credentials: the gateway's own headers are removed everywhere",
    "order-verb-shadowed-by-plain-var": "DECISIONS, Matching: a template with a :verb beats the same template without",
    "healthz-query-not-recognised": "DECISIONS, Matching: unknown path: 404; nothing undeclared reaches a backend",
    "rollout-hot-reload": "written out in tests/walks/test_deploy.py: it needs two configs",
    "rollout-429-retried": "no service management API is asked",
    "cfg-cors-unknown-preset": "a wrong setting, tested with the settings: tests/xds and tests/cli",
    "cfg-cors-basic-needs-origin": "a wrong setting, tested with the settings: tests/xds and tests/cli",
}


@dataclass
class Result:
    scenario: Scenario
    response: Response
    seen: dict[str, list[Request]]
    tokens: dict[str, str]
    statuses: list[int] = field(default_factory=list)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    """All cases, run once: gateways one after the other, a gateway's cases side by side."""
    return asyncio.run(play_all(tmp_path_factory))


async def play_all(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    groups: dict[frozenset[tuple[str, str]], list[Scenario]] = defaultdict(list)
    for scenario in SCENARIOS.values():
        if scenario.id not in DEPARTURES:
            groups[scenario.settings].append(scenario)
    authority, issuer, other = Authority(tmp_path_factory.mktemp("ca")), Issuer(), Issuer("another")
    done: dict[str, Result] = {}
    for chosen, scenarios in groups.items():
        async with stage(tmp_path_factory.mktemp("group"), authority, issuer, other, dict(chosen), scenarios) as run:
            for result in await asyncio.gather(*(run(scenario) for scenario in scenarios)):
                done[result.scenario.id] = result
    return done


@contextlib.asynccontextmanager
async def stage(
    directory: Path,
    authority: Authority,
    issuer: Issuer,
    other: Issuer,
    chosen: dict[str, str],
    scenarios: list[Scenario],
) -> AsyncIterator[Any]:
    """One gateway with its cases' services, keys and backends. Gives the function that runs a case."""
    leaf = authority.leaf("backend")
    secret = directory / "client-secret"
    secret.write_text("not a secret")
    async with contextlib.AsyncExitStack() as stack:
        key_server = await stack.enter_async_context(Upstream(lambda r: key_server_answer(issuer, r)))
        tokens = await stack.enter_async_context(Upstream(lambda r: token_answer(scenarios, r)))
        local = await stack.enter_async_context(Upstream(lambda r: asyncio.sleep(0, local_answer(scenarios, local, r))))
        local.answer = lambda r: slow_answer(by_host(scenarios, r), local, r)
        backends: dict[str, dict[str, Upstream]] = {}
        for scenario in scenarios:
            backends[scenario.id] = {}
            for name in ("BACKEND", "BACKEND2"):
                upstream = Upstream(tls=leaf.server_context(alpn=scenario.alpn))
                upstream.answer = lambda r, s=scenario, u=upstream: slow_answer(s, u, r)
                backends[scenario.id][name] = await stack.enter_async_context(upstream)
        texts = [
            s.document(
                {
                    "JWKS": key_server.address,
                    "OIDC": key_server.address,
                    "BACKEND_HOST": "127.0.0.1",
                    "BACKEND": backends[s.id]["BACKEND"].address,
                    "BACKEND2": backends[s.id]["BACKEND2"].address,
                }
            )
            for s in scenarios
        ]
        values = {name: next(s for s in TABLE if s.name == name).parse(text, name) for name, text in chosen.items()}
        values = {
            "backend": f"http://{local.address}", "backend_tls_ca": str(authority.cert),
            "backend_auth_token_url": f"http://{tokens.address}", "backend_auth_client_secret_file": str(secret),
            **values,
        }  # fmt: skip
        running = await stack.enter_async_context(gateway.running(directory, now=time.time(), **values))
        for key in {key.text: key for s in scenarios for key in s.own()}.values():
            add_key(running, key)
        await running.deploy(*texts, now=time.time(), force=True)

        async def run(scenario: Scenario) -> Result:
            return await play(scenario, running, local, backends[scenario.id], scenario.tokens(issuer, other), values)

        yield run


async def play(
    scenario: Scenario,
    running: gateway.Running,
    local: Upstream,
    own: dict[str, Upstream],
    tokens: dict[str, str],
    values: dict[str, Any],
) -> Result:
    method, path, headers, body = scenario.request(tokens)
    tls = None
    if values.get("tls_self_signed"):
        tls = ssl.create_default_context()
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    times = 45 if "repeat" in scenario.case["request"] else 1
    prior = int(scenario.case["request"].get("prior_requests", 0))
    statuses = []
    for _ in range(prior + times):
        response = await http.fetch(running.port, method, path, headers, body, host=scenario.host, tls=tls)
        statuses.append(response.status)
    seen = {name: upstream.seen for name, upstream in own.items()}
    seen["local"] = [r for r in local.seen if r.header("host") == scenario.host]
    return Result(scenario, response, seen, tokens, statuses)


def add_key(running: gateway.Running, key: Key) -> None:
    consumer = running.store.consumer(f"consumer-{key.number}") or running.store.add_consumer(
        f"consumer-{key.number}", ConsumerKind.PROJECT, time.time(), number=key.number
    )
    if key.status is not ConsumerStatus.ACTIVE:
        consumer = running.store.set_consumer_status(consumer.name, key.status)
    uid = f"key-{digest(key.text).hex()[:12]}"
    running.store.add_key(ApiKey(uid, digest(key.text), consumer, services=key.services, restrictions=key.restrictions))


def key_server_answer(issuer: Issuer, request: Request) -> Response:
    return Response(404) if request.path.startswith("/404/") else issuer.answer(request)


def token_answer(scenarios: list[Scenario], request: Request) -> Response:
    """An OAuth2 token endpoint that gives each audience the token that a case expects."""
    audience = parse_qs(request.body.decode())["audience"][0]
    known = {
        re.sub(r"\$\{\w+\}", "127.0.0.1", name): token
        for scenario in scenarios
        for name, token in scenario.summary.get("token_source", {}).items()
    }
    if audience not in known:
        return Response(400)
    answer = {"access_token": known[audience], "token_type": "Bearer", "expires_in": 3600}
    return Response(200, [("content-type", "application/json")], json.dumps(answer).encode())


def by_host(scenarios: list[Scenario], request: Request) -> Scenario:
    return next(s for s in scenarios if s.host == request.header("host"))


def local_answer(scenarios: list[Scenario], local: Upstream, request: Request) -> Response:
    scenario = by_host(scenarios, request)
    return scenario.answer(request, len([r for r in local.seen if r.header("host") == scenario.host]) - 1)


async def slow_answer(scenario: Scenario, upstream: Upstream, request: Request) -> Response:
    if match := re.search(r"[?&]duration=(\d+)s", request.path):
        await asyncio.sleep(int(match[1]))
    mine = [r for r in upstream.seen if r.header("host") == request.header("host")]
    return scenario.answer(request, len(mine) - 1)


# -- what a case expects --------------------------------------------------------------------------------------

CANONICAL = re.compile(r"[A-Z_]+(?=: )")
ENVOYS_OWN = ("upstream request timeout", "upstream connect error")


@pytest.mark.parametrize("case_id", [id_ for id_ in SCENARIOS if id_ not in DEPARTURES])
def test_case(case_id: str, results: dict[str, Result]) -> None:
    result = results[case_id]
    expect = dict(result.scenario.case["expect"])
    for name, check in EXPECTATIONS.items():
        if name in expect:
            check(result, expect[name])


def status(result: Result, wanted: int) -> None:
    assert result.response.status == wanted, result.response.body


def message(result: Result, wanted: dict[str, Any]) -> None:
    """The body's shape and code, and a canonical status in front where ESPv2 has one; the sentence is our own."""
    if result.scenario.case["request"]["method"] == "HEAD":
        return
    body = result.response.json()
    assert body["code"] == wanted["code"]
    assert set(body) == {"code", "message"}
    theirs = wanted["message"].strip()
    if theirs.startswith(ENVOYS_OWN):
        assert body["message"].startswith(theirs)
    else:
        ours, prefix = CANONICAL.match(body["message"]), CANONICAL.match(theirs)
        assert (ours and ours[0]) == (prefix and prefix[0])
        assert len(body["message"]) > 10


def backend_sees(result: Result, wanted: dict[str, Any] | None) -> None:
    calls = [r for requests in result.seen.values() for r in requests]
    if wanted is None:
        assert calls == []
        return
    name = result.scenario.case["expect"].get("backend")
    request = (result.seen[name] if name else calls)[-1]
    if "path" in wanted:
        assert request.path == result.scenario.own_keys(wanted["path"])
    for header, value in wanted.get("headers", {}).items():
        if header == ":method":
            assert request.method == value
        elif value is None:
            assert request.all(header) == []
        else:
            values = [value] if isinstance(value, str) else value
            assert request.all(header) == [result.scenario.own_name(with_tokens(v, result.tokens)) for v in values]


def key_used(result: Result, text: str) -> None:
    from cases.scenario import key_number

    request = [r for requests in result.seen.values() for r in requests][-1]
    assert request.header("x-endpoint-api-consumer-number") == str(key_number(text))


def response_headers(result: Result, wanted: dict[str, Any]) -> None:
    for header, value in wanted.items():
        got = result.response.all(header)
        assert got == ([] if value is None else [value] if isinstance(value, str) else value), header


def attempts(result: Result, wanted: int) -> None:
    if result.scenario.summary.get("backend_behaviour") != "connection refused":
        assert len([r for requests in result.seen.values() for r in requests]) == wanted


def admitted(result: Result, bounds: list[int]) -> None:
    assert bounds[0] <= result.statuses.count(200) <= bounds[1]
    assert set(result.statuses) <= {200, 429}


EXPECTATIONS = {
    "status": status,
    "json_body": message,
    "json_body_prefix": message,
    "backend_sees": backend_sees,
    "api_key_used": key_used,
    "response_headers": response_headers,
    "backend_attempts": attempts,
    "count_200_between": admitted,
}


def test_departures_name_cases_that_exist() -> None:
    assert set(DEPARTURES) <= set(SCENARIOS)
    assert payload  # the names that cases are written in
