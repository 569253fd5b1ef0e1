"""Reply: an Answer as a RateLimitResponse, or as the headers and the sentence of one.

It knows the message, the `X-RateLimit-*` headers (draft-ietf-httpapi-ratelimit-headers-03, as Envoy writes them) and
the words of a denial. The overall code is OVER_LIMIT or OK and nothing else: Envoy lets every other number pass.
The headers are ours rather than Envoy's because Envoy's know no multiples of a unit and no calendar month.
"""

from __future__ import annotations

import re
from functools import lru_cache

from envoy.service.ratelimit.v3.rls_pb2 import RateLimitResponse

from authz.model.quota import UNLIMITED
from authz.protobuf import block, varint
from authz.quota.answer import Answer, Standing

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

# Fields of RateLimitResponse, their numbers and kinds as tags (authz.protobuf).
_ADMITTED = b"\x08" + varint(RateLimitResponse.OK)
_DENIED = b"\x08" + varint(RateLimitResponse.OVER_LIMIT)
_STATUSES, _HEADERS_TO_ADD, _RAW_BODY = b"\x12", b"\x1a", b"\x2a"
# Of DescriptorStatus; limit_remaining is 0x18, duration_until_reset 0x22, and its seconds 0x08.
_CODE_OK, _CODE_OVER_LIMIT = _ADMITTED, _DENIED
# Of HeaderValue.
_KEY, _VALUE = b"\x0a", b"\x12"

_LIMIT, _RETRY_AFTER = "x-ratelimit-limit", "retry-after"
# The two that every answer has anew: what stands before the value's length. No number is as long as 128 digits.
_REMAINING, _RESET = (block(_KEY, name) + _VALUE + b"%c%b" for name in (b"x-ratelimit-remaining", b"x-ratelimit-reset"))

_UNSAFE = re.compile(r"[^ !#-\[\]-~]")
"""What may not stand in a quoted string of a header (RFC 9110, 5.6.4), a quote and a backslash included."""

UNANSWERABLE = "RESOURCE_EXHAUSTED: This gateway cannot tell which quota the call counts against. Tell its operator."
"""To the caller of a call whose question was no question; the operator's log has the particulars."""


def to_bytes(answer: Answer, *more: bytes) -> bytes:
    """The serialized RateLimitResponse. `more`: HeaderValues that the caller is to read besides."""
    standings = answer.standings
    heads, policies = _prepare(_limits(answer))
    pieces = [_ADMITTED if answer.admitted else _DENIED]
    pieces += [_status(head, standing) for head, standing in zip(heads, standings, strict=True)]
    pieces += [block(_HEADERS_TO_ADD, value) for value in (*_headers(answer, policies), *more)]
    if not answer.admitted:
        pieces.append(_body(sentence(answer)))
    return b"".join(pieces)


def headers(answer: Answer) -> tuple[bytes, ...]:
    """What the caller reads of it in headers, as serialized HeaderValues: of the limit that binds, and all policies."""
    return _headers(answer, _prepare(_limits(answer))[1])


def _limits(answer: Answer) -> tuple[tuple[str, int, int], ...]:
    return tuple([(each.name, each.limit, each.window) for each in answer.standings])


def _headers(answer: Answer, policies: str) -> tuple[bytes, ...]:
    tightest = answer.tightest()
    if tightest:
        remaining, reset = b"%d" % tightest.remaining, b"%d" % tightest.reset
        told: tuple[bytes, ...] = (
            _limit_header(tightest.limit, policies),
            _REMAINING % (len(remaining), remaining),
            _RESET % (len(reset), reset),
        )
    else:
        told = ()
    return told if answer.admitted else (*told, header(_RETRY_AFTER, str(wait(answer))))


def wait(answer: Answer) -> int:
    """The seconds that a caller is to wait after a refusal."""
    return max(1, answer.retry_after)


def sentence(answer: Answer) -> str:
    """Why a call is refused, for its caller."""
    tightest = answer.tightest()
    if not tightest:
        return UNANSWERABLE
    again = f" Try again in {answer.retry_after} s." if 0 < tightest.limit >= tightest.amount else ""
    return f"RESOURCE_EXHAUSTED: {refusal(tightest)}{again}"


def refusal(limit: Standing) -> str:
    """How one limit refuses a call."""
    name = _safe(limit.name)
    if limit.limit <= 0:
        return f"The limit '{name}' is 0 for this caller: no call of this operation is admitted."
    bound = f"{limit.limit} per {limit.window} s"
    if limit.amount > limit.limit:
        return f"This call takes {limit.amount} of the limit '{name}', which is only {bound}."
    return f"The limit '{name}' of {bound} is used up."


def header(name: str, value: str) -> bytes:
    """A serialized HeaderValue."""
    return block(_KEY, name.encode()) + block(_VALUE, value.encode())


def denial(text: str) -> bytes:
    """A refusal that no limit stands behind."""
    return _DENIED + _body(text)


@lru_cache(maxsize=4096)
def _prepare(limits: tuple[tuple[str, int, int], ...]) -> tuple[tuple[bytes, ...], str]:
    """What all answers about these limits (name, value, window) have in common: each status's head, the policies.

    Unlimited ones are left out of the headers: there is no number to show, and nothing to plan by.
    """
    policies = [f'{value};w={window};name="{_safe(name)}"' for name, value, window in limits if value != UNLIMITED]
    return tuple([_head(*limit) for limit in limits]), ", ".join(policies)


def _head(name: str, value: int, window: int) -> bytes:
    """The part of a status that does not change."""
    status = RateLimitResponse.DescriptorStatus()
    if value != UNLIMITED:
        limit = status.current_limit
        limit.requests_per_unit = max(0, min(value, _MOST))
        limit.unit = _UNITS.get(window, RateLimitResponse.RateLimit.UNKNOWN)
        limit.name = name
    return bytes(status.SerializeToString())


def _status(head: bytes, standing: Standing) -> bytes:
    remaining = _MOST if standing.limit == UNLIMITED else min(standing.remaining, _MOST)
    code = _CODE_OVER_LIMIT if standing.blocks else _CODE_OK
    until = varint(standing.reset)
    content = b"%b%b\x18%b\x22%c\x08%b" % (code, head, varint(remaining), 1 + len(until), until)
    return block(_STATUSES, content)


@lru_cache(maxsize=4096)
def _limit_header(limit: int, policies: str) -> bytes:
    return header(_LIMIT, f"{limit}, {policies}")


def _body(text: str) -> bytes:
    return block(_RAW_BODY, text.encode())


def _safe(name: str) -> str:
    return _UNSAFE.sub("_", name)
