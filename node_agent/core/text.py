"""Texts of the operating system: bytes to the head, strings to the supervisor.

Names, arguments and output are bytes on Linux. Towards the supervisor they travel as
strings in which a byte that is no UTF-8 is a lone surrogate (PEP 383).
"""

from __future__ import annotations


def from_bytes(raw: bytes) -> str:
    """Return the string that stands for the bytes; every byte comes back."""
    return raw.decode("utf-8", "surrogateescape")


def to_bytes(text: str) -> bytes:
    """Return the bytes that the string stands for.

    A surrogate that stands for no byte (another peer's mistake) becomes three bytes of
    its own: nothing a peer sends is an error here.
    """
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def readable(text: str) -> str:
    """Return the text fit for a field that must be Unicode: strange bytes replaced."""
    if text.isascii():
        return text
    return to_bytes(text).decode("utf-8", "replace")
