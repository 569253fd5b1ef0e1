"""Other people's servers, measured beside ours: who they are, and whether they answer at all."""

from __future__ import annotations

import argparse
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import grpc
from envoy.service.auth.v3 import external_auth_pb2
from envoy.service.ratelimit.v3 import rls_pb2

from authz import wire
from bench import machine, own
from bench.drivers import Grpc
from bench.load import Point
from bench.machine import NotMeasured
from bench.questions import KEY, QUOTA, Question

_PATIENCE = 3.0


class BadPeer(NotMeasured):
    """A peer that was asked for cannot be measured."""


ASKED = (KEY, QUOTA)
"""What every peer is asked: it need not know our tokens."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A server of ext_authz or of rate limits that runs already. Without `pid`, whoever listens there is measured."""

    name: str
    address: str
    pid: int | None = None


def peer(text: str) -> Peer:
    """`NAME=ADDRESS` or `NAME=ADDRESS,pid=N`, as the command line has it."""
    name, _, rest = text.partition("=")
    address, _, pid = rest.partition(",pid=")
    port = address.rpartition(":")[2]
    is_address = address.startswith("unix:/") or (":" in address and port.isdecimal())
    if not name or not is_address or (pid and not pid.isdecimal()) or "," in address:
        raise argparse.ArgumentTypeError(
            f"'{text}' names no peer: write NAME=HOST:PORT or NAME=unix:/PATH, and ,pid=N behind it where the process "
            "cannot be found by its address"
        )
    return Peer(name, address, int(pid) if pid else None)


def must_listen(peers: Sequence[Peer]) -> None:
    """Find the commonest mistake before anything is started.

    Raises:
        BadPeer: nobody listens at an address.
    """
    for one in peers:
        try:
            _connect(one.address).close()
        except OSError as error:
            raise BadPeer(f"peer {one.name}: nobody answers at {one.address} ({error.strerror or error})") from error


def _connect(address: str) -> socket.socket:
    kind, _, path = address.partition(":")
    host, _, port = address.rpartition(":")
    if kind != "unix":
        return socket.create_connection((host.strip("[]"), int(port)), _PATIENCE)
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(path)
    except OSError:
        connection.close()
        raise
    return connection


def points(peers: Sequence[Peer], questions: Mapping[str, Question]) -> list[Point]:
    """Every peer on every method that it has, with the questions that our sidecar is asked.

    Raises:
        BadPeer: a peer cannot be reached, answers with an error, has neither method, or its process is not found.
    """
    return [point for one in peers for point in _points(one, questions)]


def _points(one: Peer, questions: Mapping[str, Question]) -> list[Point]:
    answers = {name: _answer(one, questions[name]) for name in ASKED}
    known = {name: answer for name, answer in answers.items() if answer is not None}
    if not known:
        raise BadPeer(f"peer {one.name} at {one.address} has neither {wire.CHECK_METHOD} nor RateLimit")
    processes = {"sidecar": _processes(one)}
    return [
        Point(
            f"{name}, {one.name}{_verdict(questions[name].method, answer)}",
            Grpc(one.address, questions[name].method, questions[name].message, answer),
            processes,
        )
        for name, answer in known.items()
    ]


def _answer(one: Peer, question: Question) -> bytes | None:
    """What it answers, None if it does not have the method."""
    try:
        return own.ask(one.address, question.method, question.message)
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.UNIMPLEMENTED:
            return None
        raise BadPeer(
            f"peer {one.name} at {one.address} answers {question.method} with {error.code().name}: {error.details()}"
        ) from error


def _verdict(method: str, answer: bytes) -> str:
    """A peer that does not know our keys denies; that is an answer, but perhaps a cheaper one."""
    if method == wire.CHECK_METHOD:
        allows = external_auth_pb2.CheckResponse.FromString(answer).status.code == 0
    else:
        overall = rls_pb2.RateLimitResponse.FromString(answer).overall_code
        allows = overall == rls_pb2.RateLimitResponse.OK
    return "" if allows else " (denies)"


def _processes(one: Peer) -> list[int]:
    if one.pid is not None:
        if not machine.name(one.pid):
            raise BadPeer(f"peer {one.name}: there is no process {one.pid} on this machine")
        return [one.pid]
    if found := machine.listening(one.address):
        return found
    raise BadPeer(
        f"peer {one.name}: no process of this machine that we may look into listens on {one.address}; write "
        f"--peer {one.name}={one.address},pid=N"
    )
