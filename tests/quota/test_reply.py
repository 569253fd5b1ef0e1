from __future__ import annotations

import pytest
from envoy.service.ratelimit.v3.rls_pb2 import RateLimitResponse
from hypothesis import given
from hypothesis import strategies as st

from authz.quota import reply
from authz.quota.answer import Answer, Standing

OK, OVER_LIMIT = RateLimitResponse.OK, RateLimitResponse.OVER_LIMIT
UNITS = RateLimitResponse.RateLimit
DAY = 86_400


def a_standing(name: str = "reads", limit: int = 10, remaining: int = 6, **changed: int | bool) -> Standing:
    rest = {"reset": 30, "window": 60, "amount": 1, "blocks": False} | changed
    return Standing(name, limit, remaining, **rest)


def sent(answer: Answer) -> RateLimitResponse:
    return RateLimitResponse.FromString(reply.to_bytes(answer))


def headers(response: RateLimitResponse) -> dict[str, str]:
    return {header.key: header.value for header in response.response_headers_to_add}


def refusal(standing: Standing, retry_after: int = 30) -> RateLimitResponse:
    return sent(Answer(admitted=False, standings=(standing,), retry_after=retry_after))


def test_an_admitted_call_carries_every_limit_and_the_numbers_of_the_tightest() -> None:
    response = sent(
        Answer(
            admitted=True,
            standings=(a_standing("a"), a_standing("b", 100, 3, reset=1800, window=3600)),
        )
    )

    assert response.overall_code == OK
    assert headers(response) == {
        "x-ratelimit-limit": '100, 10;w=60;name="a", 100;w=3600;name="b"',
        "x-ratelimit-remaining": "3",
        "x-ratelimit-reset": "1800",
    }
    assert response.raw_body == b""


def test_each_limit_has_a_status() -> None:
    full = a_standing("full", 5, 0, blocks=True, reset=7)
    response = sent(Answer(admitted=False, standings=(a_standing("free"), full), retry_after=7))

    assert response.overall_code == OVER_LIMIT
    assert [status.code for status in response.statuses] == [OK, OVER_LIMIT]
    assert [status.limit_remaining for status in response.statuses] == [6, 0]
    assert [status.duration_until_reset.seconds for status in response.statuses] == [30, 7]
    assert [status.current_limit.name for status in response.statuses] == ["free", "full"]
    assert [status.current_limit.requests_per_unit for status in response.statuses] == [10, 5]


@pytest.mark.parametrize(
    ("window", "unit"),
    [
        (1, UNITS.SECOND), (60, UNITS.MINUTE), (3600, UNITS.HOUR), (DAY, UNITS.DAY), (7 * DAY, UNITS.WEEK),
        (28 * DAY, UNITS.MONTH), (31 * DAY, UNITS.MONTH), (120, UNITS.UNKNOWN), (92 * DAY, UNITS.UNKNOWN),
    ],
)  # fmt: skip
def test_a_status_names_the_unit_where_the_message_has_one(window: int, unit: int) -> None:
    assert sent(Answer(admitted=True, standings=(a_standing(window=window),))).statuses[0].current_limit.unit == unit


def test_a_refused_call_is_told_when_to_retry_and_why() -> None:
    response = refusal(a_standing(remaining=0, blocks=True, reset=12), 12)

    assert headers(response) == {
        "x-ratelimit-limit": '10, 10;w=60;name="reads"',
        "x-ratelimit-remaining": "0",
        "x-ratelimit-reset": "12",
        "retry-after": "12",
    }
    assert response.raw_body == (b"RESOURCE_EXHAUSTED: The limit 'reads' of 10 per 60 s is used up. Try again in 12 s.")


@pytest.mark.parametrize(
    ("standing", "words"),
    [
        (a_standing("gone", 0, 0, blocks=True), b"'gone' is 0 for this caller"),
        (a_standing("small", 3, 3, amount=5, blocks=True), b"takes 5 of the limit 'small', which is only 3 per 60 s"),
    ],
)
def test_a_call_that_waiting_does_not_help_is_not_told_to_wait(standing: Standing, words: bytes) -> None:
    body = refusal(standing).raw_body

    assert body.startswith(b"RESOURCE_EXHAUSTED: ")
    assert words in body
    assert b"again" not in body


def test_retry_after_is_at_least_a_second() -> None:
    assert headers(refusal(a_standing(blocks=True), 0))["retry-after"] == "1"


def test_an_unlimited_limit_is_no_header_but_a_status() -> None:
    response = sent(Answer(admitted=True, standings=(a_standing("a", -1, 0), a_standing("b"))))

    assert headers(response)["x-ratelimit-limit"] == '10, 10;w=60;name="b"'
    assert response.statuses[0].limit_remaining == 2**32 - 1
    assert not response.statuses[0].HasField("current_limit")


@pytest.mark.parametrize("standings", [(), (a_standing(limit=-1),)])
def test_without_a_counted_limit_there_are_no_headers(standings: tuple[Standing, ...]) -> None:
    response = sent(Answer(admitted=True, standings=standings))

    assert response.overall_code == OK
    assert not response.response_headers_to_add


def test_a_denial_without_a_limit_is_a_denial() -> None:
    response = RateLimitResponse.FromString(reply.denial(reply.UNANSWERABLE))

    assert response.overall_code == OVER_LIMIT
    assert response.raw_body.startswith(b"RESOURCE_EXHAUSTED: ")
    assert sent(Answer(admitted=False, retry_after=1)).overall_code == OVER_LIMIT


def test_numbers_beyond_the_message_are_cut_there_and_whole_in_the_headers() -> None:
    response = sent(Answer(admitted=True, standings=(a_standing(limit=2**62, remaining=2**61),)))

    assert response.statuses[0].current_limit.requests_per_unit == 2**32 - 1
    assert response.statuses[0].limit_remaining == 2**32 - 1
    assert headers(response)["x-ratelimit-remaining"] == str(2**61)


numbers = st.integers(0, 2**63 - 1)
standings = st.builds(
    Standing, st.text(st.characters(codec="utf-8")), st.integers(-1, 2**63 - 1), numbers, st.integers(0, 10**9),
    st.integers(1, 10**9), numbers, st.booleans(),
)  # fmt: skip


@given(st.builds(Answer, st.booleans(), st.lists(standings, max_size=4).map(tuple), st.integers(0, 10**9)))
def test_whatever_the_answer_the_code_is_known_and_the_headers_are_safe(answer: Answer) -> None:
    response = sent(answer)

    assert response.overall_code == (OK if answer.admitted else OVER_LIMIT)
    assert all(status.code in {OK, OVER_LIMIT} for status in response.statuses)
    for header in response.response_headers_to_add:
        assert header.value.isascii()
        assert header.value.isprintable()
        assert header.value.count('"') % 2 == 0
        assert header.value == header.value.strip()
    assert ("retry-after" in headers(response)) is not answer.admitted
