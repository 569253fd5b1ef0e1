"""What goes wrong in the user's code, as one message with the file and the line of it."""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from authz.errors import UsageError

OURS: Final = Path(__file__).parents[2]
_OLD: Final = frozenset({"endpoints", "protorpc"})


class MissingError(UsageError):
    """A module is missing. `name` is the one that was wanted."""

    def __init__(self, message: str, remedy: str, name: str | None) -> None:
        super().__init__(message, remedy)
        self.name = name


@contextlib.contextmanager
def told(place: str | Path = ".") -> Iterator[None]:
    """Make any exception of the user's code one message with the file and the line of it.

    Raises:
        UsageError: the code in the block raised an exception.
    """
    try:
        yield
    except (KeyboardInterrupt, GeneratorExit, UsageError):
        raise
    except ImportError as error:
        raise MissingError(_where(error, place), _import_remedy(error), error.name) from error
    except BaseException as error:
        raise UsageError(_where(error, place), "") from error


def _import_remedy(error: ImportError) -> str:
    missing = (error.name or "").partition(".")[0]
    if missing in _OLD:
        return "Write: from authz.frameworks import endpoints, messages, message_types, remote"
    if missing and isinstance(error, ModuleNotFoundError) and missing not in sys.modules:
        return f"Install what has it beside authz, with {sys.executable} -m pip; or name its directory: --application."
    return ""


def _where(error: BaseException, place: str | Path) -> str:
    """`FILE:LINE: what is wrong`. What our decorators say of it is said as it is, without the exception's name."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_short(error.filename, place)}:{error.lineno or 1}: {type(error).__name__}: {error.msg}"
    frames = traceback.extract_tb(error.__traceback__)
    is_ours = bool(frames) and _is_ours(frames[-1].filename)
    text = str(error) if is_ours and str(error) else _named_text(error)
    theirs = [frame for frame in frames if not _is_ours(frame.filename) and not frame.filename.startswith("<")]
    near = [frame for frame in theirs if Path(frame.filename).is_relative_to(Path(place).absolute())]
    if not theirs:
        return text
    frame = (near or theirs)[-1]
    return f"{_short(frame.filename, place)}:{frame.lineno}: {text}"


def _named_text(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"the module ends the process (exit code {error.code})"
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _is_ours(file: str) -> bool:
    """Whether a frame belongs to this package, or to Python's own machinery of imports."""
    path = Path(file)
    return path.is_relative_to(OURS) or path.parent.name == "importlib"


def _short(file: str, place: str | Path) -> str:
    """A file as the user would name it."""
    path, base = Path(file).absolute(), Path(place).absolute()
    return str(path.relative_to(base)) if path.is_relative_to(base) else file
