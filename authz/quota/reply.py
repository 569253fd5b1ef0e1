"""Reply: an Answer as a RateLimitResponse.

It knows the message, the `X-RateLimit-*` headers (draft-ietf-httpapi-ratelimit-headers-03, as Envoy writes them) and
the words of a denial. The overall code is OVER_LIMIT or OK and nothing else: Envoy lets every other number pass.
The headers are ours rather than Envoy's because Envoy's know no multiples of a unit and no calendar month.
"""

from __future__ import annotations

import re
from functools import lru_cache

from envoy.service.ratelimit.v3.rls_pb2 import RateLimitResponse

from authz.model.quota import UNLIMITED
from authz.quota.answer import Answer, Standing

_OK = RateLimitResponse.OK
_OVER_LIMIT = RateLimitResponse.OVER_LIMIT
_MOST = 2**32 - 1
"""RateLimitResponse counts in uint32, google.api.QuotaLimit in int64."""

_DAY = 86_400
_UNITS = {
    1: RateLimitResponse.RateLimit.SECOND,
    60: RateLimitResponse.RateLimit.MINUTE,
    3_600: RateLimitResponse.RateLimit.HOUR,
    _DAY: RateLimitResponse.RateLimit.DAY,
    7 * _DAY: RateLimitResponse.RateLimit.WEEK,
    **{days * _DAY: RateLimitResponse.RateLimit.MONTH for days in (28, 29, 30, 31)},
}
"""Units by the length of a window. A multiple of a unit has none: the message cannot say it, so UNKNOWN is true."""

_HEADERS = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")
_UNSAFE = re.compile(r"[^ !#-\[\]-~]")
"""What may not stand in a quoted string of a header (RFC 9110, 5.6.4), a quote and a backslash included."""

UNANSWERABLE = "RESOURCE_EXHAUSTED: This gateway cannot tell which quota the call counts against. Tell its operator."
"""To the caller of a call whose question was no question; the operator's log has the particulars."""


def to_bytes(answer: Answer) -> bytes:
    """The serialized RateLimitResponse."""
    standings = answer.standings
    prepared, policies = _prepare(tuple([(each.name, each.limit, each.window) for each in standings]))
    response = RateLimitResponse.FromString(prepared)
    for status, standing in zip(response.statuses, standings, strict=True):
        _fill_status(status, standing)
    tightest = answer.tightest()
    if tightest:
        _fill_headers(response, tightest, policies)
    if answer.admitted:
        response.overall_code = _OK
    else:
        _explain(response, answer, tightest)
    return bytes(response.SerializeToString())


def denial(text: str) -> bytes:
    """A refusal that no limit stands behind."""
    return bytes(RateLimitResponse(overall_code=_OVER_LIMIT, raw_body=text.encode()).SerializeToString())


@lru_cache(maxsize=4096)
def _prepare(limits: tuple[tuple[str, int, int], ...]) -> tuple[bytes, str]:
    """What all answers about these limits (name, value, window) have in common: a denial so far, and the policies.

    Unlimited ones are left out of the headers: there is no number to show, and nothing to plan by.
    """
    response = RateLimitResponse(overall_code=_OVER_LIMIT)
    for name, value, window in limits:
        status = response.statuses.add(code=_OK)
        if value == UNLIMITED:
            status.limit_remaining = _MOST
            continue
        limit = status.current_limit
        limit.requests_per_unit = max(0, min(value, _MOST))
        limit.unit = _UNITS.get(window, RateLimitResponse.RateLimit.UNKNOWN)
        limit.name = name
    policies = [f'{value};w={window};name="{_safe(name)}"' for name, value, window in limits if value != UNLIMITED]
    for header in _HEADERS if policies else ():
        response.response_headers_to_add.add(key=header)
    return bytes(response.SerializeToString()), ", ".join(policies)


def _fill_status(status: RateLimitResponse.DescriptorStatus, standing: Standing) -> None:
    status.duration_until_reset.seconds = standing.reset
    if standing.limit != UNLIMITED:
        status.limit_remaining = min(standing.remaining, _MOST)
    if standing.blocks:
        status.code = _OVER_LIMIT


def _fill_headers(response: RateLimitResponse, tightest: Standing, policies: str) -> None:
    limit, remaining, reset = response.response_headers_to_add
    limit.value = f"{tightest.limit}, {policies}"
    remaining.value = str(tightest.remaining)
    reset.value = str(tightest.reset)


def _explain(response: RateLimitResponse, answer: Answer, blocking: Standing | None) -> None:
    response.response_headers_to_add.add(key="retry-after", value=str(max(1, answer.retry_after)))
    response.raw_body = (_sentence(blocking, answer.retry_after) if blocking else UNANSWERABLE).encode()


def _sentence(limit: Standing, retry_after: int) -> str:
    name = _safe(limit.name)
    if limit.limit <= 0:
        return f"RESOURCE_EXHAUSTED: The limit '{name}' is 0 for this caller: no call of this operation is admitted."
    bound = f"{limit.limit} per {limit.window} s"
    if limit.amount > limit.limit:
        return f"RESOURCE_EXHAUSTED: This call takes {limit.amount} of the limit '{name}', which is only {bound}."
    return f"RESOURCE_EXHAUSTED: The limit '{name}' of {bound} is used up. Try again in {retry_after} s."


def _safe(name: str) -> str:
    return _UNSAFE.sub("_", name)
