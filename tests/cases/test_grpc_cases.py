"""ESPv2's observable behaviour in front of a gRPC backend, case by case, through a real Envoy; and more of the kind.

Every case becomes a service of its own in one gateway; cases with other start-up settings get gateways of their own.
A case passes, or it is listed in `DEPARTURES` with the decision that it departs for, and what happens instead.
"""

from __future__ import annotations

import asyncio
import json
import re
import struct
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from google.protobuf import json_format

from authz.admin import deploy
from authz.app import wait_live
from authz.settings import TABLE
from cases.bookstore import Bookstore, Seen, answer_type, odd_answer, request_type
from cases.rpc_scenario import RpcScenario
from cases.test_request_cases import add_key
from harness import gateway, http, raw
from harness.grpc_stage import Callers, WebAnswer
from harness.http import Response, Upstream
from harness.issuer import Issuer
from harness.waiting import until

HERE = Path(__file__).parent
CASES = [case for name in ("espv2_grpc.json", "own_grpc.json") for case in json.loads((HERE / name).read_text())]
SCENARIOS = {case["id"]: RpcScenario(case, number) for number, case in enumerate(CASES)}


@dataclass(frozen=True)
class Departure:
    """Why a case is answered in another way, and how."""

    reason: str
    instead: dict[str, Any]


DEPARTURES: dict[str, Departure] = {
    "grpc-ignore-listed-query-insufficient": Departure(
        "the issue: unknown query parameters get 400, and the answer names the parameter",
        {"status": 400, "message_says": '"unknown_parameter_bar"', "backend_sees": None},
    ),
    "grpc-verb-registered-on-double-415": Departure(
        "the issue: unknown methods get 404; the path is wrong, and not its content's type",
        {"status": 404, "message_says": "random:registeredCustomVerb", "backend_sees": None},
    ),
    "grpcweb-jwt-bad-audience-plain-http": Departure(
        "the issue: for gRPC-Web, errors are in gRPC-Web framing, where its clients read them",
        {"status": 200, "grpc_web_trailers": {"grpc-status": "7"}, "backend_sees": None},
    ),
}


@dataclass
class Result:
    """What the caller got, and what arrived at the backend."""

    scenario: RpcScenario
    response: Response
    seen: list[Seen]
    web: WebAnswer | None = None


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    """All cases, run once: gateways one after the other, and a gateway's cases too."""
    return asyncio.run(play_all(tmp_path_factory))


async def play_all(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    groups: dict[frozenset[tuple[str, str]], list[RpcScenario]] = defaultdict(list)
    for scenario in SCENARIOS.values():
        groups[scenario.settings].append(scenario)
    issuer, done = Issuer(), {}
    async with (
        Bookstore().serving() as backend,
        Upstream(issuer.answer) as keys,
        Upstream(odd_answer, http2=True) as odd,
    ):
        for chosen, scenarios in groups.items():
            values = settings_of(chosen)
            directory = tmp_path_factory.mktemp("group")
            values["backend"] = f"grpc://{backend.address}"
            backend.health = scenarios[0].summary.get("backend_health", "SERVING")
            async with gateway.running(directory, now=time.time(), **values) as running:
                await deploy_all(running, scenarios, keys.address, odd.address)
                for scenario in scenarios:
                    done[scenario.id] = await play(scenario, running.port, backend, issuer)
    return done


def settings_of(chosen: frozenset[tuple[str, str]]) -> dict[str, Any]:
    return {name: next(s for s in TABLE if s.name == name).parse(text, name) for name, text in chosen}


async def deploy_all(running: gateway.Running, scenarios: list[RpcScenario], keys: str, odd: str) -> None:
    for key in {key.text: key for scenario in scenarios for key in scenario.own()}.values():
        add_key(running, key)
    for scenario in scenarios:
        made = deploy.deploy(running.store, scenario.sources(keys, odd), now=time.time())
    await wait_live(running.store, made)
    await running.proxy.wait_ready()


async def play(scenario: RpcScenario, port: int, backend: Bookstore, issuer: Issuer) -> Result:
    backend.seen.clear()
    tokens = scenario.tokens(issuer, issuer)
    method, path, headers, body = scenario.request(tokens)
    match scenario.case["request"].get("protocol"):
        case "grpcweb":
            headers = [one for one in headers if one[0] != "content-type"]
            given = scenario.case["request"]["body"]
            web = await Callers(port, backend, scenario.host).web(path, message(path, given), *headers)
            response = Response(web.http, list(web.trailers.items()), b"".join(web.messages))
            return Result(scenario, response, [*backend.seen], web)
        case "grpc":
            frame = message(path, scenario.case["request"]["body"])
            fields = [(":method", method), (":scheme", "http"), (":authority", scenario.host), (":path", path)]
            body = b"\0" + struct.pack(">I", len(frame)) + frame
            response = await raw.http2(port, [*fields, ("te", "trailers"), *headers], body)
        case _:
            response = await http.fetch(port, method, path, headers, body, host=scenario.host)
    return Result(scenario, response, [*backend.seen])


def message(path: str, given: dict[str, Any]) -> bytes:
    kind = request_type(path)
    return bytes(json_format.ParseDict(given, kind()).SerializeToString()) if given else b""


# -- what a case expects --------------------------------------------------------------------------------------

OUR_WORDS = re.compile(r"[A-Z_]+: |The current request")
"""How a message begins that is the gateway's; what Envoy's transcoder says is Envoy's."""


@pytest.mark.parametrize("case_id", SCENARIOS)
def test_case(case_id: str, results: dict[str, Result]) -> None:
    departure = DEPARTURES.get(case_id)
    expect = departure.instead if departure else SCENARIOS[case_id].case["expect"]
    for name, wanted in expect.items():
        EXPECTATIONS[name](results[case_id], wanted)


def status(result: Result, wanted: int) -> None:
    assert result.response.status == wanted, result.response.body


def json_body(result: Result, wanted: Any) -> None:
    """A backend's answer and Envoy's words to the letter; of the gateway's own words, what leads them."""
    got = result.response.json()
    if set(wanted) == {"code", "message"} and OUR_WORDS.match(wanted["message"]):
        assert got["code"] == wanted["code"]
        assert set(got) == {"code", "message"}
        same_words(got["message"], wanted["message"])
    else:
        assert got == wanted


def same_words(ours: str, theirs: str) -> None:
    """The canonical status leads both or neither; the sentence is our own."""
    lead = re.compile(r"[A-Z_]+(?=: )")
    mine, other = lead.match(ours), lead.match(theirs)
    assert (mine and mine[0]) == (other and other[0])
    assert len(ours) > 10


def grpc_status(result: Result, wanted: int) -> None:
    assert result.response.header("grpc-status") == str(wanted), result.response


def grpc_message(result: Result, wanted: str) -> None:
    """ESPv2 puts the JSON of HTTP there; a client of gRPC reads a message."""
    grpc_message_json(result, json.loads(wanted))


def grpc_message_json(result: Result, wanted: dict[str, Any]) -> None:
    same_words(unquote(result.response.header("grpc-message") or ""), wanted["message"])


def message_json(result: Result, wanted: dict[str, Any]) -> None:
    kind = answer_type(result.scenario.case["request"]["path"])
    assert json_format.MessageToDict(kind.FromString(result.response.body[5:])) == wanted


def grpc_web_trailers(result: Result, wanted: dict[str, str]) -> None:
    assert result.web
    for name, value in wanted.items():
        assert result.web.trailers[name] == value


def message_says(result: Result, wanted: str) -> None:
    assert wanted in result.response.json()["message"]


def body_contains(result: Result, wanted: str) -> None:
    assert wanted in result.response.body.decode()


def operation(result: Result, wanted: str) -> None:
    (seen,) = result.seen
    assert seen.metadata["x-endpoint-api-operation-name"].endswith(wanted)


def no_control_plane(result: Result, wanted: int) -> None:
    """Nobody is asked who calls: the call passes without a key and says nothing of a consumer."""
    (seen,) = result.seen
    assert wanted == 0
    assert "x-endpoint-api-consumer-number" not in seen.metadata


def nothing_passes(result: Result, wanted: None) -> None:
    assert result.seen == []


EXPECTATIONS = {
    "status": status,
    "json_body": json_body,
    "message_says": message_says,
    "grpc_status": grpc_status,
    "grpc_message": grpc_message,
    "grpc_message_json": grpc_message_json,
    "message_json": message_json,
    "grpc_web_trailers": grpc_web_trailers,
    "body_contains": body_contains,
    "operation": operation,
    "control_plane_calls": no_control_plane,
    "backend_sees": nothing_passes,
}


async def test_a_backend_that_recovers_is_served_again(tmp_path: Path) -> None:
    """What the case of the ill backend goes on to say."""
    scenario = SCENARIOS["healthz-grpc-backend-down"]
    values = settings_of(scenario.settings)
    async with Bookstore(health="NOT_SERVING").serving() as backend:
        values["backend"] = f"grpc://{backend.address}"
        async with gateway.running(tmp_path, now=time.time(), **values) as running:

            async def healthz() -> int:
                return (await http.fetch(running.port, "GET", "/healthz")).status

            await running.proxy.wait_ready()
            assert await healthz() == 503
            backend.health = "SERVING"

            async def is_well() -> bool:
                return await healthz() == 200

            await until(is_well)


def test_departures_name_cases_that_exist() -> None:
    assert set(DEPARTURES) <= set(SCENARIOS)
