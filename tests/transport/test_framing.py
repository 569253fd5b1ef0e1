from __future__ import annotations

import pytest

from authz.transport import framing
from authz.transport.framing import Rejected

REQUEST = {b":method": b"POST", b"content-type": b"application/grpc"}


def prefixed(data: bytes, *, flag: int = 0) -> bytes:
    return bytes([flag]) + len(data).to_bytes(4, "big") + data


@pytest.mark.parametrize("kind", [b"application/grpc", b"application/grpc+proto", b"application/grpc;charset=x"])
def test_every_spelling_of_grpc_is_taken(kind: bytes) -> None:
    framing.check_request(REQUEST | {b"content-type": kind}, known=True)


@pytest.mark.parametrize(
    ("changes", "known", "expected"),
    [
        ({b":method": b"GET"}, True, {b":status": b"405", b"allow": b"POST"}),
        ({b":method": b"GET"}, False, {b":status": b"405", b"allow": b"POST"}),
        ({b"content-type": b"application/json"}, True, {b":status": b"415"}),
        ({b"content-type": b"application/grpc-web"}, True, {b":status": b"415"}),
        ({b"content-type": b""}, True, {b":status": b"415"}),
        ({}, False, {b":status": b"200", b"content-type": b"application/grpc", b"grpc-status": b"12"}),
    ],
)
def test_what_is_no_call_of_a_method_is_answered_as_the_protocol_says(
    changes: dict[bytes, bytes], known: bool, expected: dict[bytes, bytes]
) -> None:
    with pytest.raises(Rejected) as caught:
        framing.check_request(REQUEST | changes, known=known)

    assert dict(caught.value.headers).items() >= expected.items()


@pytest.mark.parametrize("body", [b"", b"x", b"hello" * 1000])
def test_a_message_is_there_when_all_of_it_is_and_the_request_has_ended(body: bytes) -> None:
    whole = prefixed(body)

    for cut in range(min(len(whole), 20)):
        assert framing.message(whole[:cut], 10_000, False) is None
    assert framing.message(whole, 10_000, False) is None
    assert framing.message(whole, 10_000, True) == body
    assert framing.message(bytearray(whole), 10_000, True) == body


@pytest.mark.parametrize(
    ("body", "ended", "status"),
    [
        (prefixed(b"x" * 11), False, framing.RESOURCE_EXHAUSTED),
        (prefixed(b"x" * 11)[:5], False, framing.RESOURCE_EXHAUSTED),
        (b"\0\xff\xff\xff\xff", False, framing.RESOURCE_EXHAUSTED),
        (prefixed(b"x", flag=1), True, framing.UNIMPLEMENTED),
        (prefixed(b"x", flag=255)[:5], False, framing.UNIMPLEMENTED),
        (prefixed(b"x") + b"\0", False, framing.INTERNAL),
        (prefixed(b"x") * 2, True, framing.INTERNAL),
        (b"", True, framing.INTERNAL),
        (prefixed(b"xyz")[:-1], True, framing.INTERNAL),
        (b"\0\0\0\0", True, framing.INTERNAL),
    ],
)
def test_a_body_that_is_not_one_plain_message_is_rejected_as_early_as_possible(
    body: bytes, ended: bool, status: int
) -> None:
    with pytest.raises(Rejected) as caught:
        framing.message(body, 10, ended)

    assert dict(caught.value.headers)[b"grpc-status"] == str(status).encode()


def test_who_compresses_is_told_what_would_be_taken() -> None:
    with pytest.raises(Rejected) as caught:
        framing.message(prefixed(b"x", flag=1), 10, True)

    assert (b"grpc-accept-encoding", b"identity") in caught.value.headers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("not today", b"not today"),
        ("100% sure", b"100%25 sure"),
        ("two\r\nlines", b"two%0D%0Alines"),
        ("caf\u00e9 ~", b"caf%C3%A9 ~"),
        ("", b""),
    ],
)
def test_a_status_message_is_percent_encoded(text: str, expected: bytes) -> None:
    assert dict(framing.refusal(13, text))[b"grpc-message"] == expected


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"1S", 1), (b"200m", 0.2), (b"5u", 5e-6), (b"7n", 7e-9), (b"2M", 120), (b"1H", 3600), (b"99999999S", 99999999),
        (b"0S", 0), (None, None), (b"", None), (b"S", None), (b"10", None), (b"1s", None), (b"-1S", None),
        (b"1.5S", None), (b"123456789S", None), (b"1 S", None),
    ],
)  # fmt: skip
def test_a_timeout_is_read_or_is_none(value: bytes | None, seconds: float | None) -> None:
    assert framing.timeout(value) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"\0\0\0\0\0", True),
        (b"\0\0\0\0\3abc", True),
        (b"", False),
        (b"\0\0\0\0", False),
        (b"\1\0\0\0\3abc", False),
        (b"\0\0\0\0\3ab", False),
        (b"\0\0\0\0\3abcd", False),
    ],
)
def test_a_body_is_one_message_or_not(body: bytes, expected: bool) -> None:
    assert framing.is_message(body) is expected
