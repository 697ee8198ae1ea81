"""Steps of random lives: a job waits on a node before a core is free there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcsched.core.job import commands as c
from hpcsched.core.reports import LiveAttempt
from hpcsched.core.task.states import EndReason

if TYPE_CHECKING:
    import random

    from tests.support.job_bench import Bench

AHEAD = (
    *("ahead_recall", "ahead_recall", "ahead_start", "ahead_end", "ahead_sync"),
    *("ahead_start_ahead", "step_tick", "step_note_aside", "step_lose"),
    "step_strange_reports",
)
"""What happens to a job that waits on a node."""


class AheadSteps:
    """A part of ``job_walks.Walk``."""

    bench: Bench
    die: random.Random
    node: Any
    flag: Any

    def step_send_ahead(self) -> None:
        """Let it wait on a node; all else waits for what becomes of it there."""
        bench, node = self.bench, self.node()
        bench.do(c.SendAhead(node_id=node, cores=(0, 1), shape=(4, 1)))
        while bench.job.ahead:
            getattr(self, self.die.choice(AHEAD))()

    def ahead_recall(self) -> None:
        self.bench.do(c.RecallAhead())

    def ahead_start_ahead(self) -> None:
        self.bench.do(c.StartAhead())

    def ahead_start(self) -> None:
        started = self.bench.started(1, core=self.die.randint(-1, 3))
        self.bench.report(self.bench.job.ahead[0], started)

    def ahead_end(self) -> None:
        reason = self.die.choice([*EndReason, EndReason.EXITED, 99])
        ran = reason not in (EndReason.NOT_STARTED, EndReason.START_FAILED)
        ended = self.bench.ended(1, reason=reason, ran=ran, code=self.die.randint(0, 1))
        also = [self.bench.started(1)] if ran and self.flag() else []
        self.bench.report(self.bench.job.ahead[0], *also, ended)

    def ahead_sync(self) -> None:
        node, attempt = self.bench.job.ahead[0], self.bench.get("attempt", 1)
        rebooted, now = self.flag(), self.bench.now
        live = LiveAttempt(7, 1, 0, attempt, running=self.flag(), start_time=now)
        stranger = LiveAttempt(7, 1, 0, attempt + 5, running=True)
        there = [] if rebooted or self.flag() else [live]
        found, _ = self.bench.sync(node, [*there, stranger], rebooted=rebooted)
        assert found == [(1, 0, attempt + 5)]
