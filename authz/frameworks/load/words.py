"""How user code is named on a command line."""

from __future__ import annotations

import re
from typing import Final

_DOTTED: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*\Z")


def is_word(text: str) -> bool:
    """Whether a text is written as `MODULE` or `MODULE:NAME,NAME`."""
    module, colon, names = text.partition(":")
    return bool(_DOTTED.match(module)) and (not colon or all(_DOTTED.match(name) for name in names.split(",")))
