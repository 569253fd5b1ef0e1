r"""Statements of Python 2 as Python 3 has them: a table of patterns, each with what it is called and what to write.

They are only tried where the parser has stopped, so that what merely looks like Python 2 stays. While they look, texts
and comments are out of sight: each is a number between marks, \ue000 for a text and \ue001 for a comment.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_Become = str | Callable[[re.Match[str]], str]


@dataclass(frozen=True, slots=True)
class Repair:
    """One construct: what it looks like, what it becomes, and what to say of it."""

    pattern: re.Pattern[str]
    become: _Become
    what: str
    hint: str


_TEXTS: Final = re.compile(
    r"""(?P<long>\"{3}|'{3})(?P<rest>.*?(?P=long)|.*)|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|\#[^\n]*""", re.DOTALL
)
_MARKED: Final = re.compile(r"([\ue000\ue001])(\d+)\1")
_MOST_LINES: Final = 400
"""Of one statement that is mended as a whole."""
_START: Final = r"^(?P<in>\s*(?:(?:if|elif|else|for|while|try|except|finally|with|def|class)\b[^:]*:\s*)?|.*;\s*)"
_END: Final = r"(?P<end>\s*(?:;.*)?(?:\ue001.*)?)$"
_REST: Final = r"(?:[^;\ue001]|\ue001\d+\ue001(?=\n))*"
"""What goes on to the statement's end, with comments inside of it."""
_RAISED: Final = r"\braise\s+(?P<kind>[^,;(]+(?:\(.*\))?)\s*,\s*"
_TUPLE: Final = r"\((?P<names>[\w\s,]+)\)"


def _repair(pattern: str, become: _Become, what: str, hint: str) -> Repair:
    return Repair(re.compile(pattern, re.DOTALL), become, what, hint)


def _printed(found: re.Match[str]) -> str:
    return f"{found['in']}print({found['words'].rstrip().rstrip(',')}){found['end']}"


def _printed_to(found: re.Match[str]) -> str:
    words = (found["words"] or "").rstrip().rstrip(",")
    return f"{found['in']}print({words}{', ' if words else ''}file={found['to']}){found['end']}"


def _named(found: re.Match[str]) -> str:
    name = found["name"] if found["name"].isidentifier() else "error"
    return f"{found['in']}{found['kinds']} as {name}:"


def _one_name(found: re.Match[str]) -> str:
    return found["in"] + "_".join(re.findall(r"\w+", found["names"]))


_PRINT: Final = "print is a statement"
_EXCEPT: Final = "except names its variable after a comma"
_BEGINNINGS: Final = {_PRINT: "print ", _EXCEPT: "except "}

REPAIRS: Final = (
    _repair(rf"{_START}print{_END}", r"\g<in>print()\g<end>", _PRINT, "Write print()."),
    _repair(
        rf"{_START}print\s*>>\s*(?P<to>[^,;\ue001]+)(?:,(?P<words>{_REST}))?{_END}",
        _printed_to,
        _PRINT,
        "Write print(..., file=...), or use logging.",
    ),
    _repair(rf"{_START}print\b\s*(?P<words>[^(\s=;]{_REST}){_END}", _printed, _PRINT, "Write print(...)."),
    _repair(
        r"^(?P<in>\s*except\s+)(?P<kinds>\(.*?\)|[\w.]+(?:\(\))?)\s*,\s*(?P<name>[^:]+?)\s*:",
        _named,
        _EXCEPT,
        "Write `except Kind as error:`.",
    ),
    _repair(
        rf"{_RAISED}(?P<what>.+?)\s*,\s*(?P<trace>[^,;()\ue001]+){_END}",
        r"raise \g<kind>(\g<what>).with_traceback(\g<trace>)\g<end>",
        "raise has a traceback after commas",
        "Write `raise Kind(...).with_traceback(...)`.",
    ),
    _repair(
        rf"{_RAISED}(?P<what>[^;\ue001]+?){_END}",
        r"raise \g<kind>(\g<what>)\g<end>",
        "raise has its argument after a comma",
        "Write `raise Kind(...)`.",
    ),
    _repair(
        r"(?<![\w.])0(?P<digits>[0-7]+)[lL]?(?![\w.])",
        r"0o\g<digits>",
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
    _repair(r"\b[uU][rR](?=\ue000)", "r", "a text begins with ur", "Write r'...'; text is Unicode."),
    _repair(
        rf"{_START}exec\s+(?P<code>.+?)\s+in\s+(?P<where>[^;\ue001]+){_END}",
        r"\g<in>exec(\g<code>, \g<where>)\g<end>",
        "exec is a statement",
        "Write exec(code, names).",
    ),
    _repair(
        rf"{_START}exec\s+(?P<code>[^(;][^;\ue001]*){_END}",
        r"\g<in>exec(\g<code>)\g<end>",
        "exec is a statement",
        "Write exec(code).",
    ),
    _repair(
        rf"(?P<in>\bdef\s+\w+\s*\([^()]*){_TUPLE}",
        _one_name,
        "a parameter is a tuple",
        "Take one parameter, and unpack it in the body.",
    ),
    _repair(
        rf"(?P<in>\blambda\s*[^:()]*){_TUPLE}(?=[^:]*:)",
        _one_name,
        "a parameter is a tuple",
        "Take one parameter, and index it.",
    ),
    _repair(
        r"(?P<in>\bfor\s[\w\s,]+\sin\s+)(?P<what>[^()\[\]]+,[^()\[\]]*)(?=\])",
        r"\g<in>(\g<what>)",
        "a comprehension goes through a tuple without parentheses",
        "Write `for x in (a, b)`.",
    ),
    _repair(
        r"\b[bB](?=[rR]?\ue000)", "", "bytes are written with other characters than ASCII", r"Write them as \x.. ."
    ),
)


def mended(statement: str) -> tuple[str, str, str]:
    """The statement as Python 3 has it, what was wrong, and what to write; as it is, and '', if nothing was.

    It has as many lines afterwards.
    """
    texts: list[str] = []
    bare = _TEXTS.sub(lambda found: _marked(found, texts), statement)
    for repair in REPAIRS:
        changed = repair.pattern.sub(repair.become, bare)
        if changed != bare:
            return _MARKED.sub(lambda found: texts[int(found[2])], changed), repair.what, repair.hint
    return statement, "", ""


def _marked(found: re.Match[str], texts: list[str]) -> str:
    texts.append(found[0])
    mark = "\ue001" if found[0].startswith("#") else "\ue000"
    return f"{mark}{len(texts) - 1}{mark}"


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
