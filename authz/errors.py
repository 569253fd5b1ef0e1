"""Every exception of the package, and when it is raised.

    AuthzError                 caught by the command line: one sentence, a remedy, an exit code
    ├── UsageError             the caller's words or files are off (exit 2)
    │   └── DocumentError      documents that cannot be deployed; carries the findings
    └── StateError             the world is not as it must be: port, disk, database, Envoy (exit 1)
        ├── StoreError         the store cannot be opened, read or written
        └── RejectedError      Envoy or the consistency check refused a snapshot; Envoy's own words
    Refusal                    a gRPC handler ends a call with a status; Envoy's failure mode decides what follows

A denied request is no exception but a value: `check.decide.Verdict`.
"""

from __future__ import annotations

import enum
from typing import ClassVar


class AuthzError(Exception):
    """Something a person can mend: `message` says what is wrong, `remedy` what to do about it."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n  {self.remedy}" if self.remedy else self.message


class UsageError(AuthzError):
    """A wrong argument or a file that cannot be read as what it should be."""

    exit_code = 2


class DocumentError(UsageError):
    """Documents with error findings. `findings` is a tuple of `authz.model.findings.Finding`."""

    def __init__(self, findings: tuple[object, ...]) -> None:
        super().__init__("\n".join(str(finding) for finding in findings))
        self.findings = findings


class StateError(AuthzError):
    """A port in use, no Envoy binary, a directory that cannot be written, and the like."""


class StoreError(StateError):
    """The store cannot be opened, read or written."""


class RejectedError(StateError):
    """A snapshot was refused: the consistency check's words, or Envoy's own."""


class Code(enum.IntEnum):
    """The gRPC status codes that handlers refuse with (`google/rpc/code.proto`)."""

    INVALID_ARGUMENT = 3
    NOT_FOUND = 5
    RESOURCE_EXHAUSTED = 8
    INTERNAL = 13
    UNAVAILABLE = 14


class Refusal(Exception):  # noqa: N818 - it is the answer to one call, not an error of the program
    """Raised by a handler: the call ends with this gRPC status instead of a message.

    Envoy treats it as a failed call, so its failure mode decides (ext_authz: deny).
    """

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
