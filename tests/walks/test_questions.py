"""Questions that no Envoy of ours asks, sent to the sidecar's own socket: denied, counted, logged once.

The issue's `Bad input`, at run time: malformed bytes, absent context extensions, an operation unknown to the book.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import grpc
import pytest
from envoy.service.auth.v3 import attribute_context_pb2, external_auth_pb2
from envoy.service.ratelimit.v3 import rls_pb2

from authz import wire
from harness import gateway
from walks.documents import GUARDED, document

HOST = "questions.example.test"
TIMES = 3


def about(**extensions: str) -> bytes:
    """A Check of an operation as a route names it, complete or not."""
    context = attribute_context_pb2.AttributeContext(context_extensions=extensions)
    context.request.http.method = "GET"
    context.request.http.path = "/guarded"
    return external_auth_pb2.CheckRequest(attributes=context).SerializeToString()


def asking(*entries: tuple[str, str]) -> bytes:
    """A RateLimit with one descriptor."""
    request = rls_pb2.RateLimitRequest(domain=wire.RATE_LIMIT_DOMAIN)
    descriptor = request.descriptors.add()
    for key, value in entries:
        descriptor.entries.add(key=key, value=value)
    return request.SerializeToString()


MALFORMED: Mapping[str, bytes] = {
    "garbage": b"\xff\xff\xff\xff?",
    "cut short": b"\n\x50abc",
    "not UTF-8": b"\n\2\n\xff",
}
CHECKS = {
    **{name: (question, "MALFORMED_CHECK") for name, question in MALFORMED.items()},
    "empty": (b"", "UNKNOWN_OPERATION"),
    "no context extensions": (about(), "UNKNOWN_OPERATION"),
    "one context extension": (about(service=HOST), "UNKNOWN_OPERATION"),
    "unknown operation": (about(service=HOST, config="2000-01-01r1", operation="1.none.None"), "UNKNOWN_OPERATION"),
}
ASKS = {**MALFORMED, "empty": b"", "no entries": asking(), "unknown operation": asking(("operation", "1.none.None"))}


async def answers(address: str, method: str, question: bytes) -> Sequence[bytes]:
    async with grpc.aio.insecure_channel(address) as channel:
        call = channel.unary_unary(method)
        return [await asyncio.wait_for(call(question), 5) for _ in range(TIMES)]


async def test_checks(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "authz")
    texts = [document(HOST, {"/guarded": {"get": GUARDED}})]
    async with gateway.running(tmp_path, texts, now=0.0) as running:
        tally, address = running.gateway.tally, running.gateway.sidecar
        for name, (question, reason) in CHECKS.items():
            before = tally.total("check", decision=reason)
            for answer in await answers(address, wire.CHECK_METHOD, question):
                response = external_auth_pb2.CheckResponse.FromString(answer)
                assert response.status.code == grpc.StatusCode.UNAVAILABLE.value[0], name
                assert response.denied_response.status.code == 503, name
            assert tally.total("check", decision=reason) - before == TIMES, name
        assert tally.total("check", decision="allow") == 0

    said = [record.getMessage() for record in caplog.records if record.name == "authz"]
    assert said
    assert len(said) == len(set(said))


async def test_rate_limits(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "authz")
    async with gateway.running(tmp_path, [document(HOST, {"/guarded": {"get": GUARDED}})], now=0.0) as running:
        tally, address = running.gateway.tally, running.gateway.sidecar
        for name, question in ASKS.items():
            before = tally.total("quota", decision="bad_ask")
            for answer in await answers(address, wire.RATE_LIMIT_METHOD, question):
                response = rls_pb2.RateLimitResponse.FromString(answer)
                assert response.overall_code == rls_pb2.RateLimitResponse.OVER_LIMIT, name
            assert tally.total("quota", decision="bad_ask") - before == TIMES, name

    said = [record.getMessage() for record in caplog.records if record.name == "authz"]
    assert said
    assert len(said) == len(set(said))
