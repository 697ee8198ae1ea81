"""What the planner proposes: values only, checked again when they are acted on."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcsched.core.job.states import PendingReason


@dataclass(frozen=True, slots=True)
class Preemption:
    """What one job is to give up.

    Attributes:
        cores: Node to number of cores.
        immediate: Tasks are stopped for it.
        whole: The job gives up everything and is queued again.
        by: The job that gets them; 0: nobody in particular.
    """

    cores: Mapping[int, int]
    immediate: bool = False
    whole: bool = False
    by: int = 0


@dataclass(frozen=True, slots=True)
class Reservation:
    """When and where the first job that must wait will start.

    Attributes:
        start: Seconds since 1970, if run-time limits are used up; infinite: it waits
            for jobs without a limit.
        claim: Node to cores that it needs there.
        spare: The same nodes to the cores that others may still use then.
        waits_for: Jobs whose end it waits for, the last one last; not all of many.
    """

    job_id: int
    start: float = inf
    claim: Mapping[int, int] = field(default_factory=dict)
    spare: Mapping[int, int] = field(default_factory=dict)
    waits_for: tuple[int, ...] = ()


@dataclass(slots=True)
class Plan:
    """What the planner proposes.

    Attributes:
        grants: Job to node to all the cores that it then holds there.
        backfilled: Queued jobs among them that start ahead of one that waits.
        never: Job to PendingReason, for queued jobs that were passed over: the nodes
            that there are can not run them, whatever else runs there.
        preemptions: Job to what it is to give up; who owes something and is not named
            may keep it.
        reservation: That of the first job that must wait, if one must.
        awaiting: Jobs that start when what is preempted for them has been given up.
    """

    grants: dict[int, dict[int, tuple[int, ...]]] = field(default_factory=dict)
    backfilled: set[int] = field(default_factory=set)
    never: dict[int, PendingReason] = field(default_factory=dict)
    preemptions: dict[int, Preemption] = field(default_factory=dict)
    reservation: Reservation | None = None
    awaiting: dict[int, tuple[int, ...]] = field(default_factory=dict)
