"""Load generators: what is sent, by whom, and what came back.

wrk sends HTTP/1.1, h2load both HTTP/1.1 and gRPC. The generator of our own (`own.py`) sends both where neither is
installed; it is so slow that its figures only show that everything works.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import machine, own
from bench.machine import NotMeasured
from bench.own import Run

WIDTH = 32
"""Calls under way at any time: as many HTTP/1.1 connections, or gRPC streams."""
_SCRIPT = Path(__file__).with_name("calls.lua")


@dataclass(frozen=True, slots=True)
class Http:
    """One operation as a client calls it. `tokens`: sent in turn, one a call. `body`: JSON to POST, instead of GET."""

    port: int
    host: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    tokens: Sequence[str] = ()
    body: str = ""

    def drive(self, seconds: float, *, by_hand: bool = False) -> Run:
        """So many seconds of load on 32 connections."""
        if by_hand:
            return own.http(self.port, self._requests(), WIDTH, seconds)
        return _wrk(self, seconds) if machine.has("wrk") else _h2load_http(self, seconds)

    @property
    def url(self) -> str:
        """Where it goes."""
        return f"http://127.0.0.1:{self.port}{self.path}"

    def options(self, host_name: str) -> list[str]:
        """The headers as both tools' options."""
        given = {host_name: self.host, **({"content-type": "application/json"} if self.body else {}), **self.headers}
        return [part for name, value in given.items() for part in ("-H", f"{name}: {value}")]

    def _requests(self) -> list[bytes]:
        own_headers = [{"authorization": f"Bearer {token}"} for token in self.tokens] or [{}]
        return [
            "".join(
                [
                    f"{'POST' if self.body else 'GET'} {self.path} HTTP/1.1\r\nhost: {self.host}\r\n",
                    *(f"{name}: {value}\r\n" for name, value in {**self.headers, **more}.items()),
                    f"content-length: {len(self.body)}\r\n\r\n{self.body}",
                ]
            ).encode()
            for more in own_headers
        ]


@dataclass(frozen=True, slots=True)
class Grpc:
    """One message to one method. `answer` is what came when it was asked once: later answers are about as long.
    `host`: what it is asked for there, where that is not the address.

    A gRPC error is HTTP status 200 and no data, and h2load reads no trailers; so answers are counted by their length.
    """

    address: str
    method: str
    message: bytes
    answer: bytes
    connections: int = 1
    host: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    def drive(self, seconds: float, *, by_hand: bool = False) -> Run:
        """So many seconds with 32 calls under way: one connection, as one Envoy worker has, unless told otherwise."""
        if by_hand:
            return own.grpc(
                self.address, self.method, self.message, WIDTH, seconds, host=self.host, headers=self.headers
            )
        return _h2load_grpc(self, seconds)


def sendable(call: Http | Grpc, *, by_hand: bool) -> bool:
    """Whether the tool that is here can do it: h2load has the same headers for every call."""
    return isinstance(call, Grpc) or not call.tokens or by_hand or machine.has("wrk")


def missing(kind: type[Http | Grpc]) -> str:
    """What to install, if there is nothing here to send with."""
    if machine.has("h2load") or (kind is Http and machine.has("wrk")):
        return ""
    h2load = machine.how_to_get("h2load")
    return f"{machine.how_to_get('wrk')}, or {h2load}" if kind is Http else h2load


def _wrk(call: Http, seconds: float) -> Run:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as tokens:
        tokens.writelines(f"{token}\n" for token in call.tokens)
        tokens.flush()
        command = ["wrk", "-t1", f"-c{WIDTH}", f"-d{max(1, round(seconds))}s", "-s", str(_SCRIPT)]
        told = _run([*command, *call.options("Host"), call.url, "--", tokens.name, call.body])
    return Run(**json.loads(told.splitlines()[-1]))


def _h2load_http(call: Http, seconds: float) -> Run:
    with tempfile.NamedTemporaryFile("w") as body:
        body.write(call.body)
        body.flush()
        data = [f"--data={body.name}"] if call.body else []
        run, _ = _h2load(["--h1", f"-c{WIDTH}", *data, *call.options(":authority"), call.url], seconds)
    return run


def _h2load_grpc(call: Grpc, seconds: float) -> Run:
    kind = call.address.partition(":")[0]
    where = [f"--base-uri={call.address}"] if kind == "unix" else []
    host = "localhost" if kind == "unix" else call.address
    more = {**({":authority": call.host} if call.host else {}), **call.headers}
    with tempfile.NamedTemporaryFile() as body:
        body.write(b"\0" + len(call.message).to_bytes(4, "big") + call.message)
        body.flush()
        options = [f"-c{call.connections}", f"-m{max(1, WIDTH // call.connections)}", f"--data={body.name}"]
        given = {"content-type": "application/grpc", "te": "trailers", **more}
        headers = [part for name, value in given.items() for part in ("-H", f"{name}: {value}")]
        run, told = _h2load([*where, *options, *headers, f"http://{host}{call.method}"], seconds)
    _must_be_answers(run, told, call)
    return run


_DATA = re.compile(r"\((\d+)\) data")
_ALIKE = 0.2
"""Answers differ in length by a few digits; an error has none."""


def _must_be_answers(run: Run, told: str, call: Grpc) -> None:
    sizes = _DATA.search(told)
    expected = len(call.answer) + 5
    length = int(sizes.group(1)) / run.requests if sizes and run.requests else 0.0
    if abs(length - expected) > expected * _ALIKE:
        raise NotMeasured(
            f"{call.method} at {call.address}: under load, answers had {length:.0f} bytes instead of {expected}: it "
            "answers otherwise, or with errors"
        )


def _h2load(options: Sequence[str], seconds: float) -> tuple[Run, str]:
    with tempfile.NamedTemporaryFile("r") as log:
        told = _run(["h2load", f"-D{max(1, round(seconds * 1000))}ms", f"--log-file={log.name}", *options])
        calls = [tuple(map(int, line.split("\t")[:3])) for line in log]
    good = [call for call in calls if call[1] == 200]
    span = (max(call[0] + call[2] for call in good) - min(call[0] for call in good)) / 1e6 if good else 1.0
    return Run.of([call[2] for call in good], span, len(calls) - len(good)), told


def _run(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotMeasured(f"{command[0]} failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
