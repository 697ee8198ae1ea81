"""Filter programs of the administrator: what is asked of one, and what it answered.

Both filters are programs on the head's machine that are given a job's XML in a file
(lifecycle.md J5, 3.2). They may run twice for one question: a head that dies while one
runs asks again when it is back, so what they do beside answering must be idempotent.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MESSAGE_LIMIT: Final = 320
"""Characters of a filter's own words that are kept, as of a cancel message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterCall:
    """One question to a filter.

    Attributes:
        program: Path of the program.
        document: Makes the job's XML; called in a thread, for it may be large.
        environment: Variables beside those that every filter has.
        timeout_s: After which it is killed.
    """

    program: str
    document: Callable[[], bytes]
    environment: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterOutcome:
    """What came of it.

    Attributes:
        exit_code: None: it did not end by itself with one.
        timed_out: It was killed because its time was over.
        problem: Why there is no exit code; empty where there is one.
        document: The job's XML as it was left.
        stderr: The beginning of what it wrote there.
    """

    exit_code: int | None = None
    timed_out: bool = False
    problem: str = ""
    document: bytes = b""
    stderr: str = ""

    @property
    def message(self) -> str:
        """The first line of its stderr that is not blank; may be empty."""
        lines = (line.strip() for line in self.stderr.splitlines())
        return next((line for line in lines if line), "")[:MESSAGE_LIMIT]


class FilterPrograms(Protocol):
    """Runs filter programs."""

    async def run(self, call: FilterCall) -> FilterOutcome:
        """Ask a filter; cancelling this kills it. Never raises but when cancelled."""
        ...
