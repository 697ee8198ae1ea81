"""The highest term of a head that this node has seen, kept over restarts.

A head that was replaced and does not know it yet has a lower one. It must not give
orders any more (ARCHITECTURE.md section 5).
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class TermError(Exception):
    """The file does not hold a term: the node cannot tell old heads from new ones."""


class TermFile:
    """One number in a file, written as a whole or not at all."""

    def __init__(self, path: Path) -> None:
        """Read the file; one that is not there means that no head was seen.

        Raises:
            TermError: it holds something else, or cannot be read.
        """
        self._path = path
        self._value = 0
        try:
            text = path.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            return
        except (OSError, UnicodeDecodeError) as error:
            raise TermError(f"{path}: {error}") from error
        if not text.isdecimal():
            raise TermError(f"{path}: not a number: {text[:40]!r}")
        self._value = int(text)

    @property
    def value(self) -> int:
        """The highest term so far."""
        return self._value

    def raise_to(self, term: int) -> None:
        """Keep a higher term; return once it is on disk.

        Raises:
            OSError: it could not be written; the old one holds.
        """
        if term > self._value:
            self._put(term)

    def forget(self) -> None:
        """Begin anew: the node belongs to another cluster, which counts for itself.

        Raises:
            OSError: it could not be written; the old one holds.
        """
        self._put(0)

    def _put(self, term: int) -> None:
        new = self._path.with_name(self._path.name + ".new")
        try:
            with new.open("w", encoding="ascii") as file:
                file.write(f"{term}\n")
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._path)
        except OSError:
            with suppress(OSError):
                new.unlink()
            raise
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self._value = term
