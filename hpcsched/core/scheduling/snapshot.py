"""What the planner sees: values only."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from math import inf
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from hpcsched.core.job.spec import DEFAULT_POOL
from hpcsched.core.job.states import NodeGroupOp, UnitType

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hpcsched.core.scheduling.known import Known
    from hpcsched.core.scheduling.needing import Need
    from hpcsched.core.scheduling.preference import OrderKey

    Cores = Mapping[int, tuple[int, ...]]


@dataclass(slots=True)
class NodeFree:
    """A node that takes work.

    Attributes:
        free: Core ids that nobody holds, ascending.
        jobs: Jobs that hold cores there.
        exclusive: The job that has it alone, or 0.
        sockets: Its core ids are spread over them in order, as evenly as can be.
        groups: Names of its node groups.
        booked: Bytes of its memory that the processes of jobs are expected to take.
    """

    node_id: int
    name: str
    cores: int
    memory_bytes: int = 0
    free: list[int] = field(default_factory=list)
    jobs: set[int] = field(default_factory=set)
    exclusive: int = 0
    sockets: int = 1
    groups: frozenset[str] = frozenset()
    booked: int = 0

    def socket_of(self, core: int) -> int:
        """Return the socket of a core, from 0."""
        return core * self.sockets // self.cores

    def units_of(self, cores: Sequence[int], unit: UnitType) -> int:
        """Return how many units these cores are, parts counted as whole."""
        match unit:
            case UnitType.SOCKET:
                return len({self.socket_of(core) for core in cores})
            case UnitType.NODE:
                return 1 if cores else 0
            case _:
                return len(cores)

    def copy(self) -> NodeFree:
        """Return one that a plan may use up."""
        return NodeFree(
            self.node_id,
            self.name,
            self.cores,
            self.memory_bytes,
            list(self.free),
            set(self.jobs),
            self.exclusive,
            self.sockets,
            self.groups,
            self.booked,
        )


@dataclass(frozen=True, slots=True)
class ProcessSize:
    """What one process of a job takes, as far as it was said (EstimatedProcessMemory).

    Attributes:
        memory: Bytes.
        width: Units.
    """

    memory: int
    width: int
    unit: UnitType

    def booked(self, node: NodeFree, cores: Sequence[int]) -> int:
        """Return what the processes on these cores are expected to take, bytes."""
        return -(-node.units_of(cores, self.unit) // self.width) * self.memory


@dataclass(frozen=True, slots=True)
class Demand:
    """What one job wants. Cores, sockets or nodes: ``unit`` says what is counted.

    Attributes:
        order: Place in the queue; smaller is earlier. Its first part is the priority,
            negative.
        least: Units without which a queued job does not start.
        most: Units that it can use now, those it holds included.
        width: Units of its widest waiting process: a node with fewer is of no use.
        widest: The same, but never eased: where no node has so many units, a process
            has those of several, and ``width`` is 1 (``needing.spread``).
        needs: Units that must be on certain nodes.
        closed: Nodes on which it starts nothing more; it is about to leave them.
        running: It has started and wants more.
        requested: The only nodes it may use; empty: any.
        excluded: Nodes that it may not use.
        runtime: Its run-time limit in seconds; 0: none.
        pool: The pool whose guarantee it counts against.
        held: Units that it holds; counted from the cores where the unit is the core.
        single: All that it holds is on one node.
        groups, group_op: Its nodes are in all of these groups (INTERSECT), all in one
            of them (UNIFORM), or each in any of them (UNION); empty: any.
        memory: Bytes that a node must have at least and at most; None: any.
        sizes: Cores that a node must have at least and at most; None: any.
        process_memory: Bytes of one process; no more of them go to a node than fit.
        order_by: Which nodes it prefers; empty: the planner's order.
        shape: Made of what decides whether and where it fits: where one job could not
            start, no other of its shape can.
    """

    job_id: int
    order: tuple[int, int, int]
    least: int
    most: int
    width: int = 1
    widest: int = 1
    needs: tuple[Need, ...] = ()
    running: bool = False
    exclusive: bool = False
    requested: frozenset[str] = frozenset()
    excluded: frozenset[str] = frozenset()
    closed: frozenset[int] = frozenset()
    runtime: float = 0.0
    pool: str = DEFAULT_POOL
    unit: UnitType = UnitType.CORE
    held: int = 0
    single: bool = False
    groups: frozenset[str] = frozenset()
    group_op: NodeGroupOp = NodeGroupOp.INTERSECT
    memory: tuple[int, int] | None = None
    sizes: tuple[int, int] | None = None
    process_memory: int = 0
    order_by: tuple[OrderKey, ...] = ()
    shape: tuple[Any, ...] = field(default=(), compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", _SHAPE(self))

    @property
    def priority(self) -> int:
        """ExpandedPriority, 0 to 4000."""
        return -self.order[0]

    @property
    def one_group(self) -> bool:
        """Are all its nodes of one of several groups?"""
        return self.group_op is NodeGroupOp.UNIFORM and len(self.groups) > 1

    @property
    def process(self) -> ProcessSize | None:
        """What one process takes, if its memory was estimated."""
        if not self.process_memory:
            return None
        return ProcessSize(self.process_memory, self.width, self.unit)


_SHAPE: Final = attrgetter(
    *(
        one.name
        for one in fields(Demand)
        if one.name
        not in {"job_id", "order", "most", "runtime", "pool", "held", "shape"}
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A job that holds cores, as reservations and preemption need to know it.

    Attributes:
        order: Place that it had in the queue.
        least: Cores with which it can go on running: of as many of its largest units
            as it must keep.
        most: Cores that it can use now.
        start: When it started.
        end: When its run-time limit ends it; infinite without one.
        can_preempt: A job of higher priority may take its cores.
        cap: Its target_resource_count in cores; 0: none.
        owing: Node to cores that it is giving up there as they fall idle.
        hurried: It stops tasks for that.
        leaving: Nodes that it is leaving altogether.
        ending: It is being stopped or cleaned up: it leaves all of them.
        yields: It is to give up everything and to be queued again.
        backfill: It runs ahead of one that waits before it.
        unit: It gives up whole ones of these.
        process: What one of its processes takes, as far as it said so.
    """

    job_id: int
    order: tuple[int, int, int]
    least: int = 1
    most: int = 0
    start: float = 0.0
    end: float = inf
    can_preempt: bool = False
    exclusive: bool = False
    pool: str = DEFAULT_POOL
    cap: int = 0
    owing: Mapping[int, int] = field(default_factory=dict)
    hurried: bool = False
    leaving: frozenset[int] = frozenset()
    ending: bool = False
    yields: bool = False
    backfill: bool = False
    unit: UnitType = UnitType.CORE
    process: ProcessSize | None = None

    @property
    def priority(self) -> int:
        """ExpandedPriority, 0 to 4000."""
        return -self.order[0]

    @property
    def loosens(self) -> bool:
        """Are cores of it on their way out?"""
        return bool(self.ending or self.yields or self.owing or self.leaving)

    @property
    def fragility(self) -> tuple[int, float, int]:
        """Place among those that are preempted: lowest priority, latest start first."""
        return (self.priority, -self.start, -self.job_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How cores are shared out: cluster parameters, as the planner needs them.

    Attributes:
        lookahead: Jobs behind the first one that must wait that may be looked at for
            backfill; below 0: all.
        preemption: "None", "Graceful" or "Immediate", for the mode in force.
        single_tasks: At once, as many tasks are stopped as needed; else whole jobs.
        grow_by_preemption: Running jobs may take cores of others to grow.
        balanced: SchedulingMode is Balanced.
        bias: Weight of 1,000 points of priority when the surplus is shared.
        rebalance: Shares are looked at in this pass.
        explain: Work out the reservation although nothing can start.
        guarantees: Pool to cores that its jobs get in any case; None: there are no
            pools.
    """

    lookahead: int = 1000
    preemption: str = "None"
    single_tasks: bool = True
    grow_by_preemption: bool = False
    balanced: bool = False
    bias: float = 2.0
    rebalance: bool = False
    explain: bool = False
    guarantees: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything that a plan is made from.

    Attributes:
        now: Time, seconds since 1970.
        demands: What jobs want, in queue order.
        pools: The same by pool; needed only where pools are on.
        nodes: Those that take work.
        open: Those of them with free cores, in the order of preference.
        held: Job to node to cores that it holds.
        holders: The jobs that hold something.
        fragile: Those that may be preempted, the first to go first.
        limited: Those with a run-time limit, by the time of their end.
        loose: Those with cores on their way out.
        known: What earlier plans found out about these nodes.
    """

    now: float
    demands: Iterable[Demand]
    pools: Mapping[str, Iterable[Demand]] = field(default_factory=dict)
    nodes: Mapping[int, NodeFree]
    open: Sequence[NodeFree]
    held: Mapping[int, Cores]
    holders: Mapping[int, Holder]
    fragile: Iterable[Holder]
    limited: Iterable[Holder]
    loose: Iterable[Holder]
    known: Known
