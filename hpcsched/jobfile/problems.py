"""What is wrong with a job file."""

from __future__ import annotations

from typing import Final

LONGEST: Final = 500
"""Characters of a problem's text."""


class JobFileError(ValueError):
    """A job file is malformed; the text says where and how, for whoever wrote it.

    Attributes:
        line: Where, from 1; 0: not known.
    """

    def __init__(self, problem: str, line: int = 0) -> None:
        self.line = line
        if len(problem) > LONGEST:
            problem = f"{problem[:LONGEST]}…"  # it may quote what it is about
        super().__init__(f"line {line}: {problem}" if line else problem)
