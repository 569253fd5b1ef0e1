"""What is wrong with a document, where, and what to write instead."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Severity(enum.Enum):
    """Errors stop a deploy; warnings do not."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One remark on one place of a document.

    `code` is stable, kebab-case and documented (`sources.lint.RULES`); `line` counts from 1, 0 when the whole
    file is meant; `message` says what is wrong and `hint` what to write instead.
    """

    code: str
    severity: Severity
    file: str
    line: int
    message: str
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        text = f"{place}: {self.severity.value} {self.code}: {self.message}"
        return f"{text}\n    {self.hint}" if self.hint else text


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of finding: its code, how bad it is, and what should be, in one sentence."""

    code: str
    severity: Severity
    sentence: str
