"""When and where the first job that must wait will start (backfill, properties.md 6.1).

Jobs with a run-time limit are taken to use it up, those without to run for ever. What
is backfilled must be over by then, or leave the reservation alone.
"""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING, Final

from hpcsched.core.scheduling.fitting import fit
from hpcsched.core.scheduling.loan import Loan, loosened
from hpcsched.core.scheduling.proposal import Reservation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcsched.core.scheduling.fitting import Grant
    from hpcsched.core.scheduling.loan import Promised
    from hpcsched.core.scheduling.room import Room
    from hpcsched.core.scheduling.snapshot import Demand, Holder, Snapshot

_NAMED: Final = 8
"""Jobs that a reservation names as those it waits for."""


def reserve(
    shot: Snapshot, room: Room, promised: Promised, demand: Demand
) -> Reservation:
    """Return the earliest start of a job that does not fit now."""
    asked = replace(demand, most=demand.least)
    loan = _after(shot, room, promised, [])
    grant = loan.fit(asked)
    if grant:
        return _made(asked, shot.now, grant, _free(loan, grant), ())
    ends: list[Holder] = []
    failed, next_try = -1, 0
    for holder in shot.limited:
        ends.append(holder)
        loan.add(holder.job_id, shot.held.get(holder.job_id, {}))
        if loan.total < asked.least:
            failed = len(ends) - 1  # too few cores: no need to look closer
        elif len(ends) > next_try:
            if loan.fit(asked):
                return _narrowed(shot, room, promised, asked, ends, failed)
            failed = len(ends) - 1
            next_try = 2 * len(ends)
    if ends and failed < len(ends) - 1 and loan.fit(asked):
        return _narrowed(shot, room, promised, asked, ends, failed)
    return _open_ended(shot, asked)


def _narrowed(  # noqa: PLR0917  each is a different thing
    shot: Snapshot,
    room: Room,
    promised: Promised,
    asked: Demand,
    ends: list[Holder],
    failed: int,
) -> Reservation:
    """Find the first end after which it fits: after ``failed`` not, after the last."""
    low, high = failed + 1, len(ends) - 1
    while low < high:
        middle = (low + high) // 2
        if _after(shot, room, promised, ends[: middle + 1]).fit(asked):
            high = middle
        else:
            low = middle + 1
    loan = _after(shot, room, promised, ends[: low + 1])
    grant = loan.fit(asked)
    used = {
        loan.owner.get(node_id, {}).get(core)
        for node_id, cores in grant.items()
        for core in cores
    }
    waits = tuple(h.job_id for h in ends[: low + 1] if h.job_id in used)
    start = max(shot.now, ends[low].end)
    return _made(asked, start, grant, _free(loan, grant), waits)


def _after(shot: Snapshot, room: Room, promised: Promised, ends: list[Holder]) -> Loan:
    loan = Loan(shot, room, promised)
    loosened(shot, loan)
    for holder in ends:
        loan.add(holder.job_id, shot.held.get(holder.job_id, {}))
    return loan


def _open_ended(shot: Snapshot, asked: Demand) -> Reservation:
    """Nobody can say when: it keeps the nodes on which least stands in its way.

    They are chosen once, so that they empty for it; which of their cores come first is
    not known, so nobody without a limit gets any of them.
    """
    known = shot.known.open_ended
    if known is not None and known[0] == (asked.job_id, asked.shape):
        return known[1]
    idle = []
    for node in shot.nodes.values():
        copy = node.copy()
        copy.free = list(range(node.cores))
        copy.jobs, copy.exclusive = set(), 0
        idle.append((-len(node.free), -node.cores, node.node_id, copy))
    idle.sort(key=lambda one: one[:3])
    grant = fit(asked, [copy for *_, copy in idle], {})
    made = _made(asked, inf, grant, {n: len(grant[n]) for n in grant}, ())
    shot.known.open_ended = ((asked.job_id, asked.shape), made)
    return made


def _free(loan: Loan, grant: Grant) -> dict[int, int]:
    return {node_id: loan.free(node_id) for node_id in grant}


def _made(
    asked: Demand,
    start: float,
    grant: Grant,
    free: Mapping[int, int],
    waits: tuple[int, ...],
) -> Reservation:
    claim = {node_id: len(cores) for node_id, cores in grant.items()}
    spare = {n: 0 if asked.exclusive else free[n] - claim[n] for n in claim}
    return Reservation(
        job_id=asked.job_id,
        start=start,
        claim=claim,
        spare=spare,
        waits_for=waits[-_NAMED:],
    )
