"""The scheduler: owns the books of who holds which cores, and makes one plan at a time.

The books follow what jobs say they hold; a grant that is under way counts as held until
the job has answered. They are never stored: after a restart the jobs tell them again.
What jobs are to give up follows from the plan as well: each pass says it anew, and
tells those jobs that do not know it yet.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from hpcsched.core.job.commands import EndBackfill, PreemptCores
from hpcsched.core.job.states import PendingReason
from hpcsched.core.scheduling.alone import alone
from hpcsched.core.scheduling.plan import propose
from hpcsched.core.scheduling.policy import policy_of
from hpcsched.core.scheduling.proposal import Plan, Preemption
from hpcsched.core.scheduling.snapshot import NodeFree, Snapshot
from hpcsched.core.scheduling.words import why_preempted
from hpcsched.runtime.activation import ActivationGate, Question
from hpcsched.runtime.books import Books
from hpcsched.runtime.granting import Granting
from hpcsched.runtime.sending_ahead import SendingAhead
from hpcsched.runtime.waiting import Waiting
from hpcsched.runtime.wide import Wide

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hpcsched.common.clock import Timer
    from hpcsched.core.job.states import UnitType
    from hpcsched.core.scheduling.snapshot import Demand, Holder, Policy, ProcessSize
    from hpcsched.runtime.books import Cores
    from hpcsched.runtime.world import World

log = logging.getLogger(__name__)
_QUICK_S: Final = 0.002
_REST: Final = 3.0
"""After a pass that was not quick the scheduler rests this many times as long."""
_NOTHING: Final = Preemption({})


class SchedulerActor:
    """See the module.

    Attributes:
        books: Who holds what; read by those who show it.
        waiting: What jobs want.
        granting: Grants that are under way.
        gate: Asks the activation filter, if there is one.
        ahead: Lets jobs wait on nodes.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.books = Books()
        self.waiting = Waiting(self._passed_over)
        self.granting = Granting(
            world, self.books, lost=lambda job: self._demand(job, None), wake=self.wake
        )
        self.gate = ActivationGate(world, self.granting)
        self.ahead = SendingAhead(
            world, self.books, self.waiting, rests=self._rests_now
        )
        self._declined: set[int] = set()
        self._wide = Wide(self.books)
        self._asked: set[int] = set()
        self._ignored: dict[int, tuple[Holder, Preemption]] = {}
        self._scheduled = False
        self._rest_until = 0.0
        self._rebalance = False
        self._shares_due: Timer | None = None

    def set_node(
        self,
        node_id: int,
        name: str,
        cores: int,
        memory_bytes: int,
        *,
        ready: bool,
        sockets: int = 1,
        groups: frozenset[str] = frozenset(),
    ) -> None:
        """A node is there, has changed, or takes no work now."""
        node = NodeFree(
            node_id,
            name,
            cores,
            memory_bytes,
            sockets=max(1, min(sockets, cores)),
            groups=groups,
        )
        old = self.books.nodes.get(node_id)
        if old is not None and old.cores != cores:
            self.ahead.leave(node_id)
        self.books.set_node(node, ready=ready)
        for demand in self._wide.again():
            self.waiting.put(demand.job_id, demand)
        for job_id, held in self.books.held_on(node_id).items():
            if max(held, default=-1) >= cores:
                self._world.nodes.outgrown(node_id, job_id)
        self.wake()

    def update(
        self,
        job_id: int,
        demand: Demand | None,
        held: Cores,
        *,
        exclusive: bool = False,
        holder: Holder | None = None,
        process: ProcessSize | None = None,
    ) -> None:
        """A job says what it holds and what it wants.

        Args:
            job_id: The job.
            demand: What it wants; None: nothing.
            held: Node to cores that it holds; empty ones do not count.
            exclusive: Nobody else may use its nodes.
            holder: More about it; None: it holds nothing that a plan could count on.
            process: Memory and size of one process, if the job said how much it takes.
        """
        books, world = self.books, self._world
        if demand is not None:
            demand = self._wide.eased(demand)
        if world.settings.pools:
            if demand is not None:
                demand = replace(demand, pool=world.pool_of(demand.pool))
            if holder is not None:
                holder = replace(holder, pool=world.pool_of(holder.pool))
        before = books.held.get(job_id, {})
        now = self.granting.merged(job_id, held)
        books.mark_exclusive(job_id, exclusive=exclusive and bool(now or demand))
        books.mark_process(job_id, process if now or demand else None)
        moved = now is not before and now != before
        if moved:
            self._book(job_id, now)
        changed = books.note(job_id, holder if now else None)
        if changed:
            self._ignored.pop(job_id, None)
        news = self._demand(job_id, demand)
        if self.granting.was_refused(job_id, demand, now):
            # It took nothing of what it was given: it is not offered the same again.
            self._declined.add(job_id)
        elif news or changed or moved:
            self._declined.discard(job_id)
            self.wake()

    def _book(self, job_id: int, now: Cores) -> None:
        """Note what a job holds now."""
        self.books.book(job_id, now)
        for node_id, cores in now.items():
            node = self.books.nodes.get(node_id)
            if node is not None and max(cores) >= node.cores:
                # It was given them before the node came back with fewer.
                self._world.nodes.outgrown(node_id, job_id)

    def _demand(self, job_id: int, demand: Demand | None) -> bool:
        """Note what a job wants; return whether that is news."""
        if demand is None:
            self._declined.discard(job_id)
            self.gate.forget(job_id)
        self._wide.note(job_id, demand)
        news = self.waiting.put(job_id, demand)
        if news and demand is not None:
            self.ahead.make_way(demand)
        return news

    def _passed_over(self, job_id: int) -> bool:
        return (
            job_id in self.granting.pending
            or job_id in self.ahead.sent
            or self._rests_now(job_id)
        )

    def _rests_now(self, job_id: int) -> bool:
        return job_id in self._declined or self.gate.rests(job_id)

    # Passes

    def wake(self) -> None:
        """Something has changed: make a plan soon."""
        if self._scheduled:
            return
        self._scheduled = True
        clock = self._world.clock
        if self._rest_until > clock.mono():
            clock.call_at(self._rest_until, self._pass)
        else:
            self._world.loop.call_soon(self._pass)

    def _pass(self) -> None:
        self._scheduled = False
        if self._world.resting:
            return
        clock = self._world.clock
        began = clock.mono()
        policy = self.policy()
        if self._rebalance or self.books.is_worth_a_plan(self.waiting.first(), policy):
            self._rebalance = False
            self._carry_out(propose(self.snapshot(), policy))
        else:
            self.gate.admit(())  # what was reserved needs no plan
        if self.granting.pending:
            self._world.loop.call_soon(self.ahead.send)
        else:
            self.ahead.send()
        self._end_backfills()
        self._expect_shares(policy)
        took = clock.mono() - began
        if took > _QUICK_S:
            # Jobs that start and end all the time must not be all that the head does.
            self._rest_until = clock.mono() + _REST * took

    def policy(self) -> Policy:
        """Return how cores are shared out now."""
        policy = policy_of(
            self._world.settings, self._world.pools, self.books.ready_cores
        )
        return replace(policy, rebalance=True) if self._rebalance else policy

    def snapshot(self, demands: Iterable[Demand] | None = None) -> Snapshot:
        """Return what a plan is made from; the plan does not change it.

        Args:
            demands: What is wanted; None: what jobs want that may be granted now.
        """
        books = self.books
        on = self._world.settings.pools
        return Snapshot(
            now=self._world.clock.wall(),
            demands=self.waiting if demands is None else demands,
            pools=self.waiting.pools(on=on) if demands is None else {},
            nodes=books.ready,
            open=list(books.open.values()),
            held=books.held,
            holders=books.holders,
            fragile=books.fragile.values(),
            limited=books.limited.values(),
            loose=list(books.loose.values()),
            known=books.known,
        )

    def _carry_out(self, plan: Plan) -> None:
        for job_id, wanted in plan.preemptions.items():
            self._ask(job_id, wanted)
        for job_id, holder in list(self.books.loose.items()):
            if job_id not in plan.preemptions and (holder.owing or holder.yields):
                self._ask(job_id, _NOTHING)
        self.gate.admit(
            Question(
                demand=self.waiting[job_id],
                cores=grants,
                backfill=job_id in plan.backfilled,
            )
            for job_id, grants in plan.grants.items()
        )

    def _ask(self, job_id: int, wanted: Preemption) -> None:
        """Tell a job what it is to give up, unless it knows."""
        holder = self.books.holders.get(job_id)
        if holder is None or holder.ending or job_id in self._asked:
            return
        same = wanted.whole == holder.yields
        same = same and wanted.immediate == holder.hurried
        if same and (wanted.whole or dict(wanted.cores) == dict(holder.owing)):
            return
        if self._ignored.get(job_id) == (holder, wanted):
            return
        self._asked.add(job_id)

        def answered(_: Any, error: BaseException | None) -> None:
            self._asked.discard(job_id)
            # Its own word follows; if it says nothing new it is not told again.
            self._ignored[job_id] = (holder, wanted)
            if error is not None:
                log.warning("job %d gives nothing up: %s", job_id, error)

        command = PreemptCores(
            cores=wanted.cores,
            immediate=wanted.immediate,
            whole=wanted.whole,
            text=why_preempted(wanted, holder),
        )
        self._world.jobs.tell(job_id, command, answered)

    def _end_backfills(self) -> None:
        """Tell those that ran ahead of another when nobody waits before them."""
        if not self.books.backfilled:
            return
        first = next((d for d in self.waiting.in_order() if not d.running), None)
        for job_id, holder in list(self.books.backfilled.items()):
            over = first is None or holder.order < first.order
            if not over or job_id in self._asked:
                continue
            self._asked.add(job_id)

            def answered(_: Any, __: Any, job_id: int = job_id) -> None:
                self._asked.discard(job_id)

            self._world.jobs.tell(job_id, EndBackfill(), answered)

    def _expect_shares(self, policy: Policy) -> None:
        """Look at the shares again after RebalancingInterval (Balanced mode)."""
        if self._shares_due is not None or not policy.balanced:
            return
        if not self.books.holders:
            return
        clock = self._world.clock
        when = clock.mono() + self._world.settings.rebalance_s
        self._shares_due = clock.call_at(when, self._look_at_shares)

    def _look_at_shares(self) -> None:
        self._shares_due = None
        self._rebalance = self._world.settings.mode == "Balanced"
        self.wake()

    def give(self, demand: Demand) -> Cores:
        """Book cores for a job that is about to be made, if nobody waits before it.

        A job that starts at once then needs one commit, not two. Whoever asked tells
        the outcome with ``given``.
        """
        others = self.waiting or self.books.loose or self.gate.is_there
        if self._world.resting or not self.books.open or others:
            return {}  # somebody may be about to get it, or to be asked
        demand = self._wide.eased(demand)
        grants: Cores = alone(demand, self.books.open.values(), self._world.settings)
        if not grants:
            plan = propose(self.snapshot([demand]), self.policy())
            grants = plan.grants.get(demand.job_id, {})
        if grants:
            self.granting.pending[demand.job_id] = grants
            self.books.mark_process(demand.job_id, demand.process)
            self.books.book(demand.job_id, grants)
        return grants

    def given(self, job_id: int, *, kept: bool) -> None:
        """A job that was given cores exists now, or could not be made."""
        if self.granting.pending.pop(job_id, None) is not None and not kept:
            self.books.book(job_id, {})
            self.wake()

    # Looking

    def why(self, job_id: int) -> PendingReason:
        """Return why a queued job has not started."""
        if not self.waiting.has(job_id):
            return PendingReason.NONE
        if self.gate.text(job_id):
            return PendingReason.ACTIVATION_FILTER
        demand = self.waiting[job_id]
        never = self.books.known.misfit(demand, self.books.ready)
        if never is not None:
            return never
        first = self.ahead_of(demand)
        if first is None:
            return PendingReason.NOT_ENOUGH_RESOURCE
        if first.order[0] < demand.order[0]:
            return PendingReason.HIGHER_PRIORITY_JOB
        return PendingReason.JOB_SUBMITTED_EARLIER

    def ahead_of(self, demand: Demand) -> Demand | None:
        """Return the first queued job that waits before another, or None."""
        for other in self.waiting.before(demand.job_id):
            if other.running:
                continue
            if self.books.known.misfit(other, self.books.ready) is None:
                return other
        return None

    @property
    def units(self) -> Mapping[UnitType, int]:
        """What all nodes that were ever heard of have of each unit."""
        return self.books.units

    def holders(self) -> list[int]:
        """Return the jobs that hold cores now."""
        return sorted(self.books.held)

    def planned_cores(self, job_id: int) -> int:
        """Return how many cores are booked for a job, those on their way included."""
        return sum(map(len, self.books.held.get(job_id, {}).values()))

    def cores_in_use(self, node_id: int) -> int:
        """Return how many cores of a node jobs hold."""
        return self.books.in_use(node_id)

    def held_on(self, node_id: int) -> Mapping[int, Sequence[int]]:
        """Return job to the cores of a node that it holds, as it is at this moment."""
        return dict(self.books.held_on(node_id))

    def forget_node(self, node_id: int) -> None:
        """There is no such node any more; nobody holds anything there."""
        self.books.forget_node(node_id)
