"""The asterisk of sweeps: ``sim -n *** -o out^*`` becomes ``sim -n 007 -o out*``.

A text is compiled once for a million elements. Source of all rules: properties.md 8.1.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Literal texts, and for each run of asterisks its length: the value's least width.
Template: TypeAlias = tuple[str | int, ...]

_TOKEN: Final = re.compile(r"\^[*^]|\*+|[^*^]+|\^")


def compile_template(text: str) -> Template:
    """Return a text as segments; one that never changes is a single segment.

    >>> compile_template("-n *** -o out^*")
    ('-n ', 3, ' -o out*')

    Args:
        text: A run of k asterisks stands for the value, padded with zeros to width k.
            ``^*`` is an asterisk and ``^^`` a caret; any other caret stands for itself.
    """
    segments: list[str | int] = []
    literal: list[str] = []
    for token in _tokens(text):
        if isinstance(token, str):
            literal.append(token)
            continue
        if literal:
            segments.append("".join(literal))
            literal.clear()
        segments.append(token)
    if literal or not segments:
        segments.append("".join(literal))
    return tuple(segments)


def _tokens(text: str) -> Iterator[str | int]:
    for token in _TOKEN.findall(text):
        if token[0] == "*":
            yield len(token)
        else:
            yield token[1:] if token in {"^*", "^^"} else token


def is_constant(template: Template) -> bool:
    """Return whether the text is the same for each value."""
    return len(template) == 1 and isinstance(template[0], str)


def render(template: Template, value: int | str) -> str:
    """Return the text for one value.

    Args:
        template: What ``compile_template`` made.
        value: A number is padded, and never cut; a minus sign stands before the zeros
            and does not count. A line of a file (``--each-line``) is put in as it is.
    """
    if len(template) == 1 and isinstance(template[0], str):
        return template[0]
    if isinstance(value, str):
        return "".join(part if isinstance(part, str) else value for part in template)
    sign, digits = ("-", str(-value)) if value < 0 else ("", str(value))
    return "".join(
        part if isinstance(part, str) else sign + digits.zfill(part)
        for part in template
    )
