"""What is wrong with a job file."""

from __future__ import annotations


class JobFileError(ValueError):
    """A job file is malformed; the text says where and how, for whoever wrote it.

    Attributes:
        line: Where, from 1; 0: not known.
    """

    def __init__(self, problem: str, line: int = 0) -> None:
        self.line = line
        super().__init__(f"line {line}: {problem}" if line else problem)
