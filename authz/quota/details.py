"""Details: a quota's refusal for callers in gRPC, who read by machine which limits refuse, and when to come back."""

from __future__ import annotations

from typing import Final

from google.rpc.error_details_pb2 import QuotaFailure

from authz import details
from authz.errors import Code
from authz.quota.answer import Answer
from authz.quota.ask import Ask
from authz.quota.reply import header, refusal, sentence, wait

REASON: Final = "QUOTA_USED_UP"


def header_of(answer: Answer, ask: Ask) -> bytes:
    """The trailer of a refusal, as a serialized HeaderValue."""
    failure = QuotaFailure()
    for standing in answer.standings:
        if standing.blocks:
            failure.violations.add(subject=ask.subject, description=refusal(standing))
    parts = details.reason(REASON, ask.service), details.retry(wait(answer)), failure
    return header(details.TRAILER, details.trailer(Code.RESOURCE_EXHAUSTED, sentence(answer), *parts))
