"""TOML text that somebody else wrote, as values; whatever it is, one kind of error."""

from __future__ import annotations

import re
import tomllib
from typing import Any, Final

DEEPEST_KEY: Final = 100
"""Parts of one dotted key. The parser's time grows with the square of them."""
DEEPEST: Final = 100
"""Tables and lists within each other."""
_PART: Final = r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*"""
_LONG_KEY: Final = re.compile(
    rf"(?:^|[{{,\[])[ \t]*(?:{_PART}){{{DEEPEST_KEY}}}", re.MULTILINE
)


class TomlError(ValueError):
    """A text is no TOML, or is made to cost much; the message says where, and what."""


def parse_toml(text: str) -> dict[str, Any]:
    """Return the tables of a text.

    Raises:
        TomlError: it is malformed.
    """
    if found := _LONG_KEY.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise TomlError(f"line {line}: a key has more than {DEEPEST_KEY} parts")
    try:
        tables = tomllib.loads(text)
    except RecursionError:
        raise TomlError(f"it is nested deeper than {DEEPEST}") from None
    except ValueError as error:
        raise TomlError(str(error)) from None
    if _is_deep(tables):
        raise TomlError(f"it is nested deeper than {DEEPEST}")
    return tables


def _is_deep(tables: dict[str, Any]) -> bool:
    """Is anything within so many others that who walks through it would fall?"""
    level: list[Any] = [tables]
    for _ in range(DEEPEST):
        inner: list[Any] = []
        for one in level:
            values = one.values() if isinstance(one, dict) else one
            inner += [value for value in values if isinstance(value, dict | list)]
        if not inner:
            return False
        level = inner
    return True
