"""Filter programs that answer what a test says, when it says so."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hpcsched.runtime.filter_program import FilterOutcome
from hpcsched.runtime.submission import FilterKit
from hpcsched.services.filter_documents import XmlDocuments

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpcsched.runtime.filter_program import FilterCall

    Answer = Callable[[FilterCall], FilterOutcome]


def exits(code: int, stderr: str = "") -> FilterOutcome:
    return FilterOutcome(exit_code=code, stderr=stderr)


def rewrites(code: int, old: str, new: str) -> Answer:
    """Return a filter that replaces a text in the XML."""

    def answer(call: FilterCall) -> FilterOutcome:
        text = call.document().decode()
        assert old in text, text
        return FilterOutcome(exit_code=code, document=text.replace(old, new).encode())

    return answer


class FakePrograms:
    """``FilterPrograms`` without processes.

    Attributes:
        answers: What comes of the next calls; the last one stays.
        calls: Every question so far.
        killed: How many were cancelled while they ran.
        open: Clear it, and filters run on until it is set.
    """

    def __init__(self, *answers: FilterOutcome | Answer) -> None:
        self.answers = list(answers) or [exits(0)]
        self.calls: list[FilterCall] = []
        self.killed = 0
        self.running = 0
        self.open = asyncio.Event()
        self.open.set()

    async def run(self, call: FilterCall) -> FilterOutcome:
        self.calls.append(call)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        self.running += 1
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.killed += 1
            raise
        finally:
            self.running -= 1
        return answer if isinstance(answer, FilterOutcome) else answer(call)

    @property
    def jobs(self) -> list[int]:
        """The jobs that were asked about, in order."""
        return [int(call.environment["CCP_JOBID"]) for call in self.calls]


def kit(programs: FakePrograms) -> FilterKit:
    return FilterKit(programs=programs, documents=XmlDocuments())
