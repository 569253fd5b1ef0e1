from __future__ import annotations

import pytest
from envoy.service.ratelimit.v3.rls_pb2 import RateLimitRequest
from hypothesis import given
from hypothesis import strategies as st

from authz import wire
from authz.quota.ask import Ask, BadAsk, from_bytes

OPERATION = {
    wire.DESCRIPTOR_SERVICE: "bookstore.example.com",
    wire.DESCRIPTOR_CONFIG: "2026-11-21r0",
    wire.DESCRIPTOR_OPERATION: "1.bookstore.ListShelves",
}
SUBJECT = {wire.DESCRIPTOR_SUBJECT: "consumer:42"}


def a_request(entries: dict[str, str], *, hits: int = 0) -> bytes:
    request = RateLimitRequest(domain=wire.RATE_LIMIT_DOMAIN, hits_addend=hits)
    descriptor = request.descriptors.add()
    for key, value in entries.items():
        descriptor.entries.add(key=key, value=value)
    return request.SerializeToString()


def test_a_consumers_question_names_the_operation_and_the_consumer() -> None:
    assert from_bytes(a_request(OPERATION | SUBJECT)) == Ask(
        "bookstore.example.com", "2026-11-21r0", "1.bookstore.ListShelves", "consumer:42", 42
    )


@pytest.mark.parametrize("address", ["203.0.113.9", "2001:db8::1"])
@pytest.mark.parametrize(
    "entry", [lambda ip: {wire.DESCRIPTOR_SUBJECT: f"address:{ip}"}, lambda ip: {wire.DESCRIPTOR_ADDRESS: ip}]
)
def test_without_a_consumer_the_address_is_counted(entry, address: str) -> None:
    ask = from_bytes(a_request(OPERATION | entry(address)))

    assert (ask.subject, ask.consumer) == (f"address:{address}", None)


def test_what_check_wrote_goes_before_the_address() -> None:
    assert from_bytes(a_request(OPERATION | SUBJECT | {wire.DESCRIPTOR_ADDRESS: "203.0.113.9"})).consumer == 42


def test_the_order_of_entries_and_the_hits_do_not_matter() -> None:
    entries = dict(reversed((OPERATION | SUBJECT).items()))

    assert from_bytes(a_request(entries, hits=7)) == from_bytes(a_request(OPERATION | SUBJECT))


@pytest.mark.parametrize("missing", [*OPERATION, wire.DESCRIPTOR_SUBJECT])
@pytest.mark.parametrize("empty", [True, False])
def test_a_missing_or_empty_entry_is_a_bad_ask(missing: str, empty: bool) -> None:
    entries = OPERATION | SUBJECT
    entries.pop(missing)

    with pytest.raises(BadAsk):
        from_bytes(a_request(entries | ({missing: ""} if empty else {})))


@pytest.mark.parametrize(
    "subject",
    [
        wire.SUBJECT_MISSING, "consumer:", "consumer:x", "consumer:-1", "consumer:+1", "consumer:07", "consumer: 7",
        "consumer:1_0", "consumer:\u0667", "address:", "address", "Consumer:7", "7", ":",
    ],
)  # fmt: skip
def test_a_subject_of_no_known_form_is_a_bad_ask(subject: str) -> None:
    with pytest.raises(BadAsk) as caught:
        from_bytes(a_request(OPERATION | {wire.DESCRIPTOR_SUBJECT: subject}))

    assert caught.value.about == "subject"


def test_an_empty_subject_is_not_replaced_by_the_address() -> None:
    with pytest.raises(BadAsk):
        from_bytes(a_request(OPERATION | {wire.DESCRIPTOR_SUBJECT: "", wire.DESCRIPTOR_ADDRESS: "203.0.113.9"}))


@pytest.mark.parametrize("descriptors", [0, 2])
def test_any_number_of_descriptors_but_one_is_a_bad_ask(descriptors: int) -> None:
    one = RateLimitRequest.FromString(a_request(OPERATION | SUBJECT)).descriptors[0]

    with pytest.raises(BadAsk):
        from_bytes(RateLimitRequest(descriptors=[one] * descriptors).SerializeToString())


@given(st.binary(max_size=200))
def test_any_bytes_are_a_question_or_a_bad_ask(data: bytes) -> None:
    try:
        ask = from_bytes(data)
    except BadAsk:
        return
    assert all((ask.service, ask.config, ask.operation, ask.subject))


@given(st.data())
def test_a_damaged_question_is_a_question_or_a_bad_ask(data: st.DataObject) -> None:
    whole = bytearray(a_request(OPERATION | SUBJECT))
    for position in data.draw(st.lists(st.integers(0, len(whole) - 1), min_size=1, max_size=5)):
        whole[position] = data.draw(st.integers(0, 255))
    try:
        ask = from_bytes(bytes(whole[: data.draw(st.integers(0, len(whole)))]))
    except BadAsk:
        return
    assert all((ask.service, ask.config, ask.operation, ask.subject))
