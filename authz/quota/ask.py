"""Ask: which operation is called, and who is charged: read from a RateLimitRequest, or known to Check already.

It knows the message and the descriptor entries of `wire`, not what they cost. Every entry was written by our own
route table, by Check's metadata or by Envoy itself; what is not as they write it is no question we could answer.
"""

from __future__ import annotations

from dataclasses import dataclass

from envoy.service.ratelimit.v3.rls_pb2 import RateLimitRequest
from google.protobuf.message import DecodeError

from authz.wire import (
    CALLER_GRPC,
    DESCRIPTOR_ADDRESS,
    DESCRIPTOR_CALLER,
    DESCRIPTOR_CONFIG,
    DESCRIPTOR_OPERATION,
    DESCRIPTOR_SERVICE,
    DESCRIPTOR_SUBJECT,
    SUBJECT_ADDRESS,
    SUBJECT_CONSUMER,
)


class BadAsk(Exception):  # noqa: N818 - it is the question that is bad
    """No answer can be given. `about` groups alike ones, so that each is logged once."""

    def __init__(self, about: str, message: str) -> None:
        super().__init__(message)
        self.about = about


@dataclass(frozen=True, slots=True)
class Ask:
    """Which operation is called, and whose counters it takes from.

    `subject` is `consumer:NUMBER` or `address:IP`; `consumer` is that number, None for an address. `in_grpc`: its
    caller reads a refusal as gRPC has it, as far as RateLimit is told.
    """

    service: str
    config: str
    operation: str
    subject: str
    consumer: int | None = None
    in_grpc: bool = False


def from_bytes(data: bytes) -> Ask:
    """Read a RateLimitRequest. `hits_addend` is ignored: what a call costs is the rulebook's to say.

    Raises:
        BadAsk: the bytes are no such message, or the one descriptor lacks an entry.
    """
    try:
        request = RateLimitRequest.FromString(data)
    except DecodeError:
        raise BadAsk("malformed", "the bytes are not a RateLimitRequest") from None
    descriptors = request.descriptors
    if len(descriptors) != 1:
        raise BadAsk("descriptors", f"{len(descriptors)} descriptors came where one is sent")
    entries = {entry.key: entry.value for entry in descriptors[0].entries}
    subject = _subject(entries)
    return Ask(
        _needed(entries, DESCRIPTOR_SERVICE),
        _needed(entries, DESCRIPTOR_CONFIG),
        _needed(entries, DESCRIPTOR_OPERATION),
        subject,
        _consumer(subject),
        entries.get(DESCRIPTOR_CALLER) == CALLER_GRPC,
    )


def of_call(operation: tuple[str, str, str], consumer: int | None, address: str) -> Ask:
    """What a call of (service, config, operation) asks, once Check knows its consumer, or that it has none.

    Raises:
        BadAsk: neither a consumer nor an address is known: nobody could be charged.
    """
    if consumer is not None:
        return Ask(*operation, f"{SUBJECT_CONSUMER}{consumer}", consumer)
    if not address:
        raise BadAsk("subject", "the call has neither a consumer nor an address")
    return Ask(*operation, SUBJECT_ADDRESS + address)


def _needed(entries: dict[str, str], key: str) -> str:
    if value := entries.get(key):
        return value
    raise BadAsk(f"no {key}", f"the descriptor has no '{key}'")


def _subject(entries: dict[str, str]) -> str:
    """Check's word first. An empty one is a mistake, never a reason to fall back on the address."""
    if (subject := entries.get(DESCRIPTOR_SUBJECT)) is not None:
        return subject
    return SUBJECT_ADDRESS + _needed(entries, DESCRIPTOR_ADDRESS)


def _consumer(subject: str) -> int | None:
    if subject.startswith(SUBJECT_CONSUMER):
        number = subject[len(SUBJECT_CONSUMER) :]
        # Only the canonical spelling: `consumer:07` would be a second counter of consumer 7.
        if number.isascii() and number.isdecimal() and (number[0] != "0" or number == "0"):
            return int(number)
    elif len(subject) > len(SUBJECT_ADDRESS) and subject.startswith(SUBJECT_ADDRESS):
        return None
    raise BadAsk("subject", f"the subject '{subject[:80]}' is neither a consumer's nor an address's")
