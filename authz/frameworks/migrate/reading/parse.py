"""Text to a syntax tree with the lines of the text, Python 2 included.

What Python 3 cannot parse says on which line. That line is rewritten as Python 3 would have it, which is a finding, and
the parser tries again; a line that no rewriting mends is left out, which is a finding too. So numbers of lines stay.
"""

from __future__ import annotations

import ast
import re
import warnings
from typing import Final

from authz.frameworks.migrate.reading import repair
from authz.frameworks.migrate.reading.names import Module
from authz.frameworks.migrate.reading.sources import Source
from authz.frameworks.migrate.rules import Found

MOST_REPAIRS: Final = 2000
"""Of one file; each costs a parse."""
MOST_LEFT_OUT: Final = 25
"""Lines that are not understood; a file with more of them is no Python of any kind."""
_BLOCKS: Final = {"except": "except Exception", "elif": "elif 1", "else": "else", "try": "try", "finally": "finally"}
_BLANK: Final = re.compile(r"[\x00\x0b\x0c\ue000\ue001]")


def parse(source: Source) -> Module:
    """The module of a text, whatever is in it."""
    lines = _BLANK.sub(" ", source.text.removeprefix("\ufeff")).split("\n")
    repairs: list[Found] = []
    left_out: list[int] = []
    for _ in range(MOST_REPAIRS):
        try:
            return Module(source.name, _tree(lines), tuple(repairs), source.beside)
        except SyntaxError as error:
            repairs.extend(_mend(lines, error, left_out))
            if len(left_out) > MOST_LEFT_OUT:
                break
        except (RecursionError, MemoryError, ValueError):
            break
    hint = "Run `python -m py_compile` on it, and mend what that says first."
    repairs = [one for one in repairs if one.code != "unreadable"]
    unread = Found("unreadable", 0, "this is no Python as a whole, and was read line by line", hint)
    return Module(source.name, _line_by_line(source.text.split("\n")), (*repairs, unread), source.beside)


def _line_by_line(lines: list[str]) -> ast.Module:
    """What single lines say: imports, and calls that are not longer."""
    whole = ast.Module([], [])
    for number, line in enumerate(lines):
        try:
            one = _tree([line.strip().removeprefix("@")])
        except (SyntaxError, RecursionError, MemoryError, ValueError):
            continue
        whole.body += [ast.increment_lineno(statement, number) for statement in one.body]
    return whole


def _tree(lines: list[str]) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # "\d" in old code is not what this is about
        warnings.simplefilter("ignore", DeprecationWarning)
        return ast.parse("\n".join(lines))


def _mend(lines: list[str], error: SyntaxError, left_out: list[int]) -> list[Found]:
    if isinstance(error, TabError) and any("\t" in line for line in lines):
        first = next(number for number, line in enumerate(lines, 1) if "\t" in line)
        lines[:] = [line.expandtabs() for line in lines]
        return [Found("python2-syntax", first, "tabs and blanks are mixed", "Indent with four blanks.")]
    for number in _suspects(error, len(lines)):
        end = number - 1 + repair.length(lines, number - 1)
        mended, what, hint = repair.mended("\n".join(lines[number - 1 : end]))
        if what:
            lines[number - 1 : end] = mended.split("\n")
            others = _alike(lines, what)
            return [Found("python2-syntax", one, what, hint) for one in (number, *others)]
    return [_leave_out(lines, error, left_out)]


def _alike(lines: list[str], what: str) -> list[int]:
    """Other lines with what has just been found, mended at once: a file of hundreds of prints is parsed once more."""
    inside = repair.inside_texts(lines)
    found = []
    for number, line in enumerate(lines):
        if number not in inside and repair.is_statement(line, what) and repair.length(lines, number) == 1:
            mended, other, _ = repair.mended(line)
            if other == what:
                lines[number] = mended
                found.append(number + 1)
    return found


def _suspects(error: SyntaxError, count: int) -> list[int]:
    """The line that the parser names; then, as it may notice late, the ones of the statement before and after."""
    line = min(max(error.lineno or 1, 1), count)
    last = min(max(error.end_lineno or line, line), count)
    around = [*range(line, last + 1), *range(line - 1, max(line - 4, 0), -1)]
    return list(dict.fromkeys(around))


def _leave_out(lines: list[str], error: SyntaxError, left_out: list[int]) -> Found:
    """Puts nothing in the place of a statement, or a block's beginning where it begins one.

    Where that was done already, the line before goes too: the parser notices some things late.
    """
    number = min(max(error.lineno or 1, 1), len(lines))
    while number in left_out and number > 1:
        number -= 1
    left_out.append(number)
    end = number - 1 + repair.length(lines, number - 1)
    first, last = lines[number - 1], lines[end - 1]
    indent = first[: len(first) - len(first.lstrip())]
    word = first.split(None, 1)[0].rstrip(":") if first.strip() else ""
    nothing = f"{indent}{_BLOCKS.get(word, 'if 1')}:" if last.rstrip().endswith(":") else f"{indent}pass"
    lines[number - 1 : end] = [nothing if first.strip() else "", *[""] * (end - number)]
    return Found("unreadable", number, f"this is not understood ({error.msg}): {first.strip()[:60]}", "Mend it first.")
