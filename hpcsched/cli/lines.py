"""What others wrote, as one line of a terminal."""

from __future__ import annotations


def one_line(text: str) -> str:
    """Keep a text on its line, and control characters of others off the terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else " " for c in text)
