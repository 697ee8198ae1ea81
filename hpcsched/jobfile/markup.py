"""XML text, element by element; escaping in one place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hpcsched.jobfile.texts import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_TEXT: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})
_BLANKS: Final = {"\r": "&#13;", "\n": "&#10;", "\t": "&#9;"}
"""Readers turn these into blanks where they stand for themselves."""
_VALUE: Final = _TEXT | str.maketrans({'"': "&quot;", **_BLANKS})


class Markup:
    """Gathers a document; what no XML can contain becomes U+FFFD."""

    def __init__(self) -> None:
        self._parts = ['<?xml version="1.0" encoding="utf-8"?>\n']
        self._depth = 0

    def open(self, name: str, attributes: Mapping[str, str] | None = None) -> None:
        """Begin an element that has children."""
        self._tag(name, attributes or {}, ">\n")
        self._depth += 1

    def close(self, name: str) -> None:
        """End it."""
        self._depth -= 1
        self._parts.append(f"{'  ' * self._depth}</{name}>\n")

    def empty(self, name: str, attributes: Mapping[str, str] | None = None) -> None:
        """Add an element without children."""
        self._tag(name, attributes or {}, " />\n")

    def text(self, name: str, text: str) -> None:
        """Add an element that has text alone."""
        inner = plain(text).translate(_TEXT)
        self._parts.append(f"{'  ' * self._depth}<{name}>{inner}</{name}>\n")

    def pairs(self, name: str, item: str, pairs: Iterable[tuple[str, str]]) -> None:
        """Add an element whose children have Name and Value."""
        self.open(name)
        for key, value in pairs:
            self.open(item)
            self.text("Name", key)
            self.text("Value", value)
            self.close(item)
        self.close(name)

    def _tag(self, name: str, attributes: Mapping[str, str], end: str) -> None:
        parts = self._parts
        parts.append(f"{'  ' * self._depth}<{name}")
        for key, value in attributes.items():
            parts.append(f' {key}="{plain(value).translate(_VALUE)}"')
        parts.append(end)

    def document(self) -> bytes:
        """Return the text."""
        return "".join(self._parts).encode()
