"""Choosing nodes for a task that is choosy about them, or that spans them (T5).

Such a task has required nodes, a node group, nodes of its own, whole sockets or nodes,
or more cores than any node has. All of its cores are taken at once, from nodes on which
the job is ready; the process starts on the first of them, the others are held for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpcsched.core.job.holding import idle_cores
from hpcsched.core.job.states import UnitType

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hpcsched.core.job.model import Job, NodeUse, TaskRecord
    from hpcsched.core.task.elements import Place

Chosen = list[tuple["NodeUse", int]]
"""Nodes with a number of cores on each; the first is the one that runs the process."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What a node has for a task.

    Attributes:
        units: How many of the job's units (cores, sockets, nodes) are free.
        size: Cores of one unit.
        room: Cores that are free; a last, smaller socket has fewer than ``size``.
    """

    use: NodeUse
    units: int
    size: int
    room: int

    def cores(self, units: int) -> int:
        """Return how many cores so many units are."""
        return min(units * self.size, self.room)


def is_choosy(job: Job, record: TaskRecord) -> bool:
    """Must its nodes be chosen here, and not one by one as they have room?"""
    spec = record.spec
    return (
        spec.is_picky
        or job.spec.unit_type is not UnitType.CORE
        or spec.min_cores > job.largest > 0
    )


def is_absent(job: Job, record: TaskRecord, uses: Sequence[NodeUse]) -> bool:
    """Does it ask for nodes on which the job is not? Then others need not wait."""
    spec = record.spec
    sites = [job.sites[use.node_id] for use in uses if use.node_id in job.sites]
    if spec.requested_node_group:
        sites = [site for site in sites if spec.requested_node_group in site[1]]
        if not sites:
            return True
    return not {site[0] for site in sites}.issuperset(spec.required_nodes)


def could_fit(job: Job, record: TaskRecord, uses: Sequence[NodeUse]) -> bool:
    """Would it fit on these nodes if nothing else of the job ran there?"""
    return choose(job, record, offers(job, record, uses, None)) is not None


def offers(
    job: Job,
    record: TaskRecord,
    uses: Iterable[NodeUse],
    booked: Mapping[int, int] | None,
) -> list[Offer]:
    """Return what each node has for a task.

    Args:
        job: The job.
        record: The task.
        uses: Nodes on which it may start.
        booked: Cores that are about to be used, by node; None: as if all were idle.
    """
    found = (offer_of(job, record, use, booked) for use in uses)
    return [one for one in found if one is not None]


def offer_of(
    job: Job, record: TaskRecord, use: NodeUse, booked: Mapping[int, int] | None
) -> Offer | None:
    """Return what a node has for a task; None: nothing."""
    group = record.spec.requested_node_group
    if group:
        site = job.sites.get(use.node_id)
        if site is None or group not in site[1]:
            return None
    room = len(use.cores)
    if booked is not None:
        room -= use.busy + booked.get(use.node_id, 0)
        room -= job.owing.get(use.node_id, 0)
        if room <= 0 or use.shut:
            return None
        if record.spec.is_exclusive and (room < len(use.cores) or use.live > 0):
            return None
    offer = _offer(job, use, room)
    return offer if offer.units > 0 else None


class Chooser:
    """Chooses nodes for one process of a job after the other.

    A node that has no room for a process has none for a later one of the same kind.
    Otherwise a job on a thousand nodes would look at a million offers.

    Args:
        job: The job.
        uses: Nodes on which processes may start.
        booked: Cores that are about to be used, by node; they only become more.
    """

    def __init__(
        self, job: Job, uses: Sequence[NodeUse], booked: Mapping[int, int]
    ) -> None:
        self._job = job
        self._uses = uses
        self._booked = booked
        self._whole: dict[tuple[Any, ...], int] = {}
        self._part: dict[tuple[Any, ...], int] = {}
        self._spans: dict[tuple[Any, ...], bool] = {}

    def next_for(self, record: TaskRecord) -> Chosen | None:
        """Return the nodes and cores for one process; None: not possible now."""
        job, spec, uses = self._job, record.spec, self._uses
        least, most = _wanted(job, record)
        if not spec.required_nodes:
            kind = (spec.requested_node_group, spec.is_exclusive, least)
            for at in range(self._whole.get(kind, 0), len(uses)):
                one = offer_of(job, record, uses[at], self._booked)
                if one is not None and one.units >= least:
                    self._whole[kind] = at
                    return [(one.use, one.cores(min(most, one.units)))]
            self._whole[kind] = len(uses)
            size = (least, spec.min_cores)
            if size not in self._spans:
                self._spans[size] = _may_span(job, record, least)
            if not self._spans[size]:
                return None
        return choose(job, record, self._parts(record, most))

    def _parts(self, record: TaskRecord, most: int) -> list[Offer]:
        """Return what may be put together: of whole nodes no more than it takes."""
        job, spec, uses = self._job, record.spec, self._uses
        whole = job.spec.unit_type is UnitType.NODE
        limit = most if whole and not spec.required_nodes else len(uses)
        found: list[Offer] = []
        kind = (spec.requested_node_group, spec.is_exclusive)
        for at in range(self._part.get(kind, 0), len(uses)):
            one = offer_of(job, record, uses[at], self._booked)
            if one is not None:
                found.append(one)
                if len(found) >= limit:
                    break
            elif not found:
                self._part[kind] = at + 1
        return found


def _offer(job: Job, use: NodeUse, room: int) -> Offer:
    match job.spec.unit_type:
        case UnitType.NODE:
            whole = 0 < room == len(use.cores)
            return Offer(use, int(whole), len(use.cores), room)
        case UnitType.SOCKET:
            size = _socket_size(use)
            units = -(-room // size) if room == len(use.cores) else room // size
            return Offer(use, units, size, room)
        case _:
            return Offer(use, room, 1, room)


def _socket_size(use: NodeUse) -> int:
    """Return the cores of one socket of a node; some may have one fewer."""
    return max(1, -(-len(use.cores) // max(1, use.units(UnitType.SOCKET))))


def choose(job: Job, record: TaskRecord, found: Sequence[Offer]) -> Chosen | None:
    """Return the nodes and cores for one process of a task; None: not possible now."""
    spec = record.spec
    least, most = _wanted(job, record)
    if not spec.required_nodes:
        for one in found:
            if one.units >= least:
                return [(one.use, one.cores(min(most, one.units)))]
        if not _may_span(job, record, least):
            return None
    named = {
        job.sites[o.use.node_id][0]: o for o in found if o.use.node_id in job.sites
    }
    if any(name not in named for name in spec.required_nodes):
        return None
    first = [named[name] for name in spec.required_nodes]
    units = _spread(first, max(most, len(first)))
    total = sum(units)
    others = [one for one in found if one not in first]
    limit = least if first else most
    for one in sorted(others, key=lambda one: -one.units):
        count = min(one.units, limit - total)
        if count > 0:
            first.append(one)
            units.append(count)
            total += count
    if total < least:
        return None
    return [(o.use, o.cores(n)) for o, n in zip(first, units, strict=True)]


def _wanted(job: Job, record: TaskRecord) -> tuple[int, int]:
    """Return the units that a process of a task takes, at least and at most."""
    least, most = record.spec.bounds(job.spec.unit_type)
    return least, least if record.has_elements else most  # a sweep grows by elements


def _spread(required: Sequence[Offer], most: int) -> list[int]:
    """Return how many units each required node gives: as evenly as they can."""
    units = [1] * len(required)
    total = len(required)
    grew = True
    while grew and total < most:
        grew = False
        for at, one in enumerate(required):
            if units[at] < one.units and total < most:
                units[at] += 1
                total += 1
                grew = True
    return units


def _may_span(job: Job, record: TaskRecord, least: int) -> bool:
    """May it use several nodes? One that could run on a single node never does."""
    match job.spec.unit_type:
        case UnitType.NODE:
            return True
        case UnitType.SOCKET:
            sockets = (use.units(UnitType.SOCKET) for use in job.uses.values())
            return least > max(sockets, default=0)
        case _:
            return record.spec.min_cores > job.largest > 0


def place_beside(job: Job, chosen: Chosen, booked: Mapping[int, int]) -> Place | None:
    """Return the cores to hold on all nodes but the first; None: not known yet."""
    place: list[tuple[int, tuple[int, ...]]] = []
    for use, count in chosen[1:]:
        idle = None if booked.get(use.node_id) else idle_cores(job, use)
        if idle is not None and job.spec.unit_type is UnitType.SOCKET:
            idle = _whole_sockets(use, idle)
        if idle is None or len(idle) < count:
            return None
        place.append((use.node_id, idle[len(idle) - count :]))
    return tuple(place)


def _whole_sockets(use: NodeUse, idle: Sequence[int]) -> tuple[int, ...]:
    """Return the idle cores of sockets of which nothing is in use."""
    used = {use.socket_of(core) for core in set(use.cores).difference(idle)}
    return tuple(core for core in idle if use.socket_of(core) not in used)
