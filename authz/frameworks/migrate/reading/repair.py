"""Lines of Python 2 as Python 3 has them: a table of patterns, each with what it is called and what to write.

They are only tried on lines where the parser has stopped, so that text which merely looks like Python 2 stays.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Repair:
    """One construct: what it looks like, what it becomes, and what to say of it."""

    pattern: re.Pattern[str]
    become: str | Callable[[re.Match[str]], str]
    what: str
    hint: str


_START: Final = r"^(?P<in>\s*(?:(?:if|elif|else|for|while|try|except|finally|with)\b[^:#]*:\s*)?|.*;\s*)"
_STATEMENT: Final = re.compile(r"""(?:[^;'"\\]|\\.|'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")*""", re.DOTALL)
"""As much of a line as one statement has: a semicolon in a text ends none."""
_TEXTS: Final = re.compile(
    r"""(?P<long>\"{3}|'{3})(?P<rest>.*?(?P=long)|.*)|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|\#[^\n]*""", re.DOTALL
)
_MOST_LINES: Final = 60
"""Of one statement that is mended as a whole."""
_END: Final = r"(?P<end>\s*(?:#[^\n]*)?)$"


def _repair(pattern: str, become: str | Callable[[re.Match[str]], str], what: str, hint: str) -> Repair:
    return Repair(re.compile(pattern, re.DOTALL), become, what, hint)


def _printed(found: re.Match[str]) -> str:
    words, end = found["words"], found["end"]
    first = _STATEMENT.match(words)
    if first and first.end() < len(words):
        words, end = first[0], words[first.end() :] + end
    return f"{found['in']}print({words.rstrip().rstrip(',')}){end}"


_RAISED: Final = r"raise\s+(?P<kind>[\w.]+)\s*,\s*"

REPAIRS: Final = (
    _repair(rf"{_START}print{_END}", r"\g<in>print()\g<end>", "print is a statement", "Write print()."),
    _repair(
        rf"{_START}print\s*>>\s*(?P<to>[\w.]+)\s*,?\s*(?P<words>.*?){_END}",
        r"\g<in>print(\g<words>, file=\g<to>)\g<end>",
        "print is a statement",
        "Write print(..., file=...), or use logging.",
    ),
    _repair(rf"{_START}print\b\s*(?P<words>[^(\s=].*?){_END}", _printed, "print is a statement", "Write print(...)."),
    _repair(
        r"^(?P<in>\s*except\s+)(?P<kinds>\([^)]*\)|[\w.]+)\s*,\s*(?P<name>[\w.]+)\s*:",
        r"\g<in>\g<kinds> as \g<name>:",
        "except names its variable after a comma",
        "Write `except Kind as error:`.",
    ),
    _repair(
        rf"(?P<call>\braise\s+[\w.]+\(.*\))\s*,\s*None\s*,\s*(?P<trace>[^,#()]+){_END}",
        r"\g<call>.with_traceback(\g<trace>)\g<end>",
        "raise has a traceback after commas",
        "Write `raise Kind(...).with_traceback(...)`.",
    ),
    _repair(
        rf"(?P<in>\b){_RAISED}(?P<what>[^,#]+?)\s*,\s*(?P<trace>[^,#()]+){_END}",
        r"raise \g<kind>(\g<what>).with_traceback(\g<trace>)\g<end>",
        "raise has a traceback after commas",
        "Write `raise Kind(...).with_traceback(...)`.",
    ),
    _repair(
        rf"(?P<in>\b){_RAISED}(?P<what>.+?){_END}",
        r"raise \g<kind>(\g<what>)\g<end>",
        "raise has its argument after a comma",
        "Write `raise Kind(...)`.",
    ),
    _repair(
        r"(?P<before>(?<![\w.])0)(?P<digits>[0-7]+)(?P<after>[lL]?)(?![\w.])",
        lambda found: f"{found['before']}o{found['digits']}",
        "an octal number begins with a bare 0",
        "Write 0o755.",
    ),
    _repair(
        r"(?<![\w.])(?P<digits>0[xX][0-9a-fA-F]+|\d+)[lL]\b",
        r"\g<digits>",
        "a long integer ends in L",
        "Leave the L out.",
    ),
    _repair(r"`(?P<what>[^`]+)`", r"repr(\g<what>)", "backticks stand for repr", "Write repr(...)."),
    _repair(r"<>", "!=", "<> stands for unequal", "Write !=."),
    _repair(r"\b[uU][rR](?=['\"])", "r", "a text begins with ur", "Write r'...'; text is Unicode."),
    _repair(
        rf"{_START}exec\s+(?P<code>.+?)\s+in\s+(?P<where>.+?){_END}",
        r"\g<in>exec(\g<code>, \g<where>)\g<end>",
        "exec is a statement",
        "Write exec(code, names).",
    ),
    _repair(
        rf"{_START}exec\s+(?P<code>[^(].*?){_END}",
        r"\g<in>exec(\g<code>)\g<end>",
        "exec is a statement",
        "Write exec(code).",
    ),
    _repair(
        r"(?P<in>\bdef\s+\w+\s*\([^()]*)\((?P<names>[\w\s,]+)\)",
        lambda found: f"{found['in']}{'_'.join(re.findall(r'[a-zA-Z_0-9]+', found['names']))}",
        "a parameter is a tuple",
        "Take one parameter, and unpack it in the body.",
    ),
    _repair(
        r"(?P<in>\blambda\s*[^:()]*)\((?P<names>[\w\s,]+)\)(?=[^:]*:)",
        lambda found: f"{found['in']}{'_'.join(re.findall(r'[a-zA-Z_0-9]+', found['names']))}",
        "a parameter is a tuple",
        "Take one parameter, and index it.",
    ),
)  # fmt: skip


_BEGINNINGS: Final = {"print is a statement": "print ", "except names its variable after a comma": "except "}


def mended(statement: str) -> tuple[str, str, str]:
    """The statement as Python 3 has it, what was wrong, and what to write; as it is, and '', if nothing was.

    It has as many lines afterwards.
    """
    for repair in REPAIRS:
        changed = repair.pattern.sub(repair.become, statement)
        if changed != statement and changed.count("\n") == statement.count("\n"):
            return changed, repair.what, repair.hint
    return statement, "", ""


def is_statement(line: str, what: str) -> bool:
    """Whether a line begins as the statements that are called so do."""
    return line.lstrip().startswith(_BEGINNINGS.get(what, "\n"))


def inside_texts(lines: list[str]) -> set[int]:
    """Which lines (from 0) begin inside a text of several lines."""
    text = "\n".join(lines)
    inside: set[int] = set()
    for found in _TEXTS.finditer(text):
        if found["long"]:
            first = text.count("\n", 0, found.start())
            inside.update(range(first + 1, first + found[0].count("\n") + 1))
    return inside


def length(lines: list[str], start: int) -> int:
    """How many lines the statement has that begins on one, as far as quotes and brackets tell."""
    text = ""
    for count, line in enumerate(lines[start : start + _MOST_LINES], 1):
        text += line + "\n"
        if not _goes_on(text):
            return count
    return 1


def _goes_on(text: str) -> bool:
    bare = _TEXTS.sub(_without_text, text)
    opened = sum(bare.count(one) for one in "([{") - sum(bare.count(one) for one in ")]}")
    return opened > 0 or bare.rstrip().endswith("\\")


def _without_text(found: re.Match[str]) -> str:
    if found["long"] and not found["rest"].endswith(found["long"]):
        return "("  # it is open
    return "" if found[0].startswith("#") else "_"
