"""What a refused caller in gRPC reads by machine: a google.rpc.Status, in the trailer `grpc-status-details-bin`.

It knows how such a trailer is written, and not why a call is refused. Callers of REST get none of it.
"""

from __future__ import annotations

import base64
from typing import Final

from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

TRAILER: Final = "grpc-status-details-bin"


def trailer(code: int, message: str, *details: Message) -> str:
    """The trailer's value: base64 without padding, as gRPC over HTTP/2 writes what is binary."""
    status = Status(code=code, message=message)
    for detail in details:
        status.details.add().Pack(detail, deterministic=True)
    return base64.b64encode(status.SerializeToString(deterministic=True)).decode().rstrip("=")


def reason(name: str, domain: str) -> Message:
    """Why, in one word that stays the same when sentences do not."""
    info: Message = ErrorInfo(reason=name, domain=domain)
    return info


def retry(seconds: int) -> Message:
    """How long to wait."""
    info: Message = RetryInfo(retry_delay={"seconds": seconds})
    return info
