"""What one stream of a node tells of jobs that wait there and sleep.

Of short jobs a frame brings many ends, each a whole life. Those are taken together
(``runtime.whole_lives``). A start waits a moment for its end, as it does on the node,
while others wait behind it. Whatever else is told of such a job wakes it, and it takes
its reports as any job does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from hpcsched.core.job.ahead import attempt_ahead
from hpcsched.core.job.wholelife import is_start, life_of
from hpcsched.runtime.whole_lives import Group

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hpcsched.common.errors import HpcError
    from hpcsched.core.reports import Report
    from hpcsched.runtime.lots import Kind, Lot
    from hpcsched.runtime.node_record import NodeRecord
    from hpcsched.runtime.world import World

FEWEST: Final = 2
"""Fewer take their reports by themselves."""
YOUNG_S: Final = 0.04
"""So long a start may wait for its end: a little more than nodes gather reports."""


class _Young(NamedTuple):
    """A start that is held back, and the frame that waits for it."""

    report: Report
    entry: list[int]
    since: float


class Sleepers:
    """What one stream of a node tells of jobs that sleep.

    Args:
        world: The head's actors.
        record: The node.
        tell: Gives a report to its job, as ever.
        told: Called with frames that wait for one answer less, or with what kept
            reports from being durable.
    """

    def __init__(
        self,
        world: World,
        record: NodeRecord,
        *,
        tell: Callable[[int, Sequence[Report], list[int]], None],
        told: Callable[[Sequence[list[int]], HpcError | None], None],
    ) -> None:
        self._world = world
        self._record = record
        self._tell = tell
        self._told = told
        self._young: dict[int, _Young] = {}
        self._watching = False

    def take(self, reports: Sequence[Report], entry: list[int]) -> Sequence[Report]:
        """Take what a frame tells of jobs that sleep.

        Args:
            reports: Of the frame.
            entry: The frame, and the number of answers that it waits for.

        Returns:
            The reports that are left.
        """
        scheduler = self._world.scheduler
        if not (self._young or self._record.node_id in scheduler.books.claims):
            return reports  # nobody waits there
        found: dict[tuple[object, ...], Group] = {}
        left: list[Report] = []
        several = _several(reports)
        waiting, now = scheduler.waiting, self._world.clock.wall()
        is_changing = self._world.jobs.is_changing
        lot: Lot | None = None
        group: Group | None = None
        attempt = 0
        for report in reports:
            job_id = report.job_id
            if lot is None or job_id not in lot:  # mostly they are of one
                lot = waiting.lot_of(job_id)
                group = self._group(found, lot)
                attempt = attempt_ahead(lot.kind.like) if lot and group else 0
            life = None
            if lot and group and not (job_id in several or is_changing(job_id)):
                order = job_id + lot.shift
                life = life_of(report, lot.kind.like, order, now, attempt)
                if life is None and is_start(report, attempt) and self._may_wait():
                    self._hold_back(report, entry)
                    continue
            if group is None or life is None:
                self._wake(job_id)
                left.append(report)
                lot = None  # it may be another one now
                continue
            group.lives[job_id] = life
            group.reports.append(report)
        for group in found.values():
            if not self._commit(group, entry):
                for report in group.reports:
                    self._wake(report.job_id)
                    left.append(report)
        return left

    def _group(
        self, found: dict[tuple[object, ...], Group], lot: Lot | None
    ) -> Group | None:
        """Return the group of a lot's jobs; None: they do not sleep here."""
        if lot is None or lot.kind.ahead != self._record.node_id or _is_told(lot.kind):
            return None
        kind = lot.kind
        key = (id(kind.base), kind.like.ahead[2:])
        group = found.get(key)
        if group is None:
            group = found[key] = Group(self._world, self._record, kind)
        return group

    def _commit(self, group: Group, entry: list[int]) -> bool:
        if len(group.lives) < FEWEST:
            return False
        young = [self._young.get(job_id) for job_id in group.lives]
        entries = [entry, *(one.entry for one in young if one is not None)]
        ahead, node_id = self._world.scheduler.ahead, self._record.node_id
        count = len(group.lives)

        def told(error: HpcError | None) -> None:
            ahead.are_over(node_id, -count)
            self._told(entries, error)

        if not group.commit(told):
            return False
        entry[1] += 1
        for job_id in group.lives:
            self._young.pop(job_id, None)
        ahead.are_over(node_id, count)
        return True

    # Starts

    def _may_wait(self) -> bool:
        """Is there so much more behind it that nobody is kept waiting by that?"""
        claims = self._world.scheduler.books.claims.get(self._record.node_id, ())
        return len(claims) > 2 * (len(self._young) + 1)

    def _hold_back(self, report: Report, entry: list[int]) -> None:
        """Let a start wait for its end, which is on its way more often than not."""
        since = self._world.clock.mono()
        self._young[report.job_id] = _Young(report, entry, since)
        if report.cores:
            books, node_id = self._world.scheduler.books, self._record.node_id
            books.pin(node_id, report.job_id, report.cores[0])
        entry[1] += 1
        self._watch(since + YOUNG_S)

    def _watch(self, when: float) -> None:
        if not self._watching:
            self._watching = True
            self._world.clock.call_at(when, self._look)

    def _look(self) -> None:
        """Give starts to their jobs whose ends have not come."""
        self._watching = False
        old = self._world.clock.mono() - YOUNG_S
        for job_id, young in list(self._young.items()):
            if young.since > old:
                self._watch(young.since + YOUNG_S)
                return
            self._wake(job_id)

    def _wake(self, job_id: int) -> None:
        """Give a job its start, if that was held back: it does no longer sleep."""
        young = self._young.pop(job_id, None)
        if young is not None:
            young.entry[1] -= 1  # it is counted anew
            self._tell(job_id, [young.report], young.entry)


def _several(reports: Sequence[Report]) -> set[int]:
    """Return the jobs of which a frame tells more than once."""
    seen: set[int] = set()
    several: set[int] = set()
    for report in reports:
        (several if report.job_id in seen else seen).add(report.job_id)
    return several


def _is_told(kind: Kind) -> bool:
    """Is somebody told of each by mail?"""
    spec = kind.like.spec
    return spec.notify_on_start or spec.notify_on_completion
