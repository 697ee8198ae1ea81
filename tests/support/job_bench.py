"""A driver for the job core: commands in, orders out, invariants always checked."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from hpcsched.common.errors import HpcError
from hpcsched.core.caller import Caller
from hpcsched.core.job import commands as c
from hpcsched.core.job.decide import Decision, decide, new_job
from hpcsched.core.job.effects import effects_of_turn
from hpcsched.core.job.environment import Scene
from hpcsched.core.job.locating import ACTIVE
from hpcsched.core.job.spec import JobSpec
from hpcsched.core.orders import StartTasks, StopTasks
from hpcsched.core.reports import EndDetail, Ended, LiveAttempt, Started
from hpcsched.core.settings import Settings
from hpcsched.core.task.spec import TaskSpec
from hpcsched.core.task.states import EndReason, TaskState, TaskType
from tests.support.job_invariants import Watcher, check_invariants, picture

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from hpcsched.core.job.model import Job, TaskRecord
    from hpcsched.core.job.states import JobState
    from hpcsched.core.orders import Order

ANN = Caller(user="ann")
BOB = Caller(user="bob")
ROOT = Caller(user="root", administrator=True)
S = TaskState


def plain(name: str = "", **fields: Any) -> TaskSpec:
    """Return a plain task."""
    return TaskSpec(name=name, arguments=("/bin/true",), **fields)


def sweep(count: int, name: str = "", **fields: Any) -> TaskSpec:
    """Return a sweep of so many elements."""
    kind = TaskType.PARAMETRIC_SWEEP
    return TaskSpec(name=name, type=kind, arguments=("/bin/true",), end=count, **fields)


def prep(**fields: Any) -> TaskSpec:
    """Return a node preparation."""
    return TaskSpec(type=TaskType.NODE_PREP, arguments=("/bin/true",), **fields)


def release(**fields: Any) -> TaskSpec:
    """Return a node release."""
    return TaskSpec(type=TaskType.NODE_RELEASE, arguments=("/bin/true",), **fields)


def service(name: str = "", **fields: Any) -> TaskSpec:
    """Return a service."""
    kind = TaskType.SERVICE
    return TaskSpec(name=name, type=kind, arguments=("/bin/true",), **fields)


class Bench:
    """One job, and what its nodes were told.

    Attributes:
        orders: Every order so far, (node, order).
        groups: Groups of nodes, as grants say.
        largest: Cores of the largest node, as grants say.
        done: Kinds of commands that were carried out so far.
    """

    def __init__(
        self, *tasks: TaskSpec, settings: Settings | None = None, **spec: Any
    ) -> None:
        self.inventory = spec.pop("inventory", None)
        self.settings = settings or Settings()
        self.now = 100.0
        self.spec = JobSpec(**spec)
        self.scene = Scene(cluster="c", head="h", node_names={})
        self.orders: list[tuple[int, Order]] = []
        self.groups: dict[int, tuple[str, ...]] = {}
        self.largest = 0
        self.sent: set[tuple[int, int, int, int]] = set()
        self.stopped: set[tuple[int, int, int, int]] = set()
        self.last: Decision | None = None
        self.done: set[type[Any]] = set()
        self._queue = 0
        self.job, decision = new_job(
            7, "ann", self.spec, tasks, self.now, self.settings
        )
        self.watcher = Watcher(self.job, self.spec, tasks, self.now)
        self._took(decision)

    # -- commands --

    def do(self, command: c.Command, *, after: float = 0.0) -> Decision:
        """Carry out a command; a refusal must have changed nothing."""
        self.now += after
        before = picture(self.job)
        revision = self.job.revision
        try:
            world = (self.now, self.settings, self.inventory)
            decision = decide(self.job, command, *world)
        except HpcError:
            assert self.job.revision == revision
            assert picture(self.job) == before
            raise
        self.done.add(type(command))
        self._took(decision)
        return decision

    def refused(self, command: c.Command) -> HpcError:
        """Return the refusal of a command; anything else is a failure."""
        try:
            self.do(command)
        except HpcError as refusal:
            return refusal
        raise AssertionError(f"{type(command).__name__} was not refused")

    def submit(self, caller: Caller = ANN) -> Bench:
        self._queue += 1
        self.do(c.SubmitJob(caller=caller, submit_order=self._queue))
        return self

    def grant(self, cores: Mapping[int, int] | None = None) -> Bench:
        """Give cores, node to number; one node with four by default."""
        given = {n: tuple(range(k)) for n, k in (cores or {1: 4}).items()}
        sites = {n: (f"n{n}", self.groups.get(n, ())) for n in given}
        self.do(c.GrantCores(cores=given, sites=sites, largest=self.largest))
        return self

    def start(self, cores: Mapping[int, int] | None = None) -> Bench:
        """Submit, grant, and report the start of everything that was sent."""
        self.submit().grant(cores)
        return self.run_all()

    def cancel(self, message: str = "", caller: Caller = ANN, **how: bool) -> Decision:
        return self.do(c.CancelJob(caller=caller, message=message, **how))

    def finish_job(self, message: str = "", **how: bool) -> Decision:
        return self.do(c.FinishJob(caller=ANN, message=message, **how))

    def requeue(self, caller: Caller = ANN) -> Decision:
        self._queue += 1
        return self.do(c.RequeueJob(caller=caller, submit_order=self._queue))

    def configure(self) -> Decision:
        return self.do(c.ConfigureJob(caller=ANN))

    def cancel_tasks(
        self, *keys: c.TaskKey, message: str = "", force: bool = False
    ) -> Decision:
        return self.do(
            c.CancelTasks(caller=ANN, tasks=keys, message=message, force=force)
        )

    def requeue_tasks(self, *keys: c.TaskKey) -> Decision:
        self._queue += 1
        return self.do(c.RequeueTasks(caller=ANN, tasks=keys, submit_order=self._queue))

    def finish_tasks(self, *keys: c.TaskKey) -> Decision:
        return self.do(c.FinishTasks(caller=ANN, tasks=keys))

    def conclude(self, task: int = 1, *, cancel: bool = False) -> Decision:
        return self.do(
            c.ConcludeService(caller=ANN, task_id=task, cancel_sub_tasks=cancel)
        )

    def modify(self, caller: Caller = ANN, **changes: Any) -> Decision:
        return self.do(c.ModifyJob(caller=caller, changes=changes))

    def modify_task(self, task: int, caller: Caller = ANN, **changes: Any) -> Decision:
        return self.do(c.ModifyTask(caller=caller, task_id=task, changes=changes))

    def hold(self, until: float | None = None, caller: Caller = ANN) -> Decision:
        return self.do(c.HoldJob(caller=caller, until=until))

    def release(self, caller: Caller = ANN) -> Decision:
        return self.do(c.ReleaseJob(caller=caller))

    def parent(self, number: int, state: JobState | None) -> Decision:
        return self.do(c.NoteParent(parent=number, state=state))

    def add(self, *tasks: TaskSpec, submit: bool = True) -> list[int]:
        answer = self.do(c.AddTasks(caller=ANN, tasks=tasks, submit=submit)).answer
        assert isinstance(answer, list)
        return answer

    def lose(self, node: int) -> Decision:
        return self.do(c.LoseNode(node_id=node, node=f"n{node}"))

    def evict(self, node: int, *, drain: bool = False) -> Decision:
        return self.do(c.EvictNode(node_id=node, node=f"n{node}", drain=drain))

    def preempt(self, cores: Mapping[int, int] | None = None, **how: Any) -> Decision:
        return self.do(c.PreemptCores(cores=cores or {}, **how))

    def sync(
        self, node: int, live: Sequence[LiveAttempt] = (), *, rebooted: bool = False
    ) -> Any:
        command = c.SyncNode(
            node_id=node, node=f"n{node}", live=live, rebooted=rebooted
        )
        return self.do(command).answer

    def tick(self, after: float) -> Decision:
        return self.do(c.Tick(), after=after)

    # -- reports --

    def run(self, task: int, instance: int = 0, *, core: int = 0) -> Bench:
        """Report that an attempt has started."""
        node = self.get("node", task, instance)
        self.report(node, self.started(task, instance, core=core))
        return self

    def end(self, task: int, instance: int = 0, **how: Any) -> Bench:
        """Report that an attempt has ended; by itself with exit code 0 if not said."""
        node = self.get("node", task, instance)
        self.report(node, self.ended(task, instance, **how))
        return self

    def fail(self, task: int, instance: int = 0, code: int = 1) -> Bench:
        return self.end(task, instance, code=code)

    def refuse(self, task: int, instance: int = 0) -> Bench:
        """Report that a node did not start an attempt."""
        return self.end(
            task, instance, reason=EndReason.NOT_STARTED, code=-1, ran=False
        )

    def report(self, node: int, *reports: Started | Ended) -> Decision:
        return self.do(c.TakeReports(node_id=node, node=f"n{node}", reports=reports))

    def started(
        self, task: int, instance: int = 0, *, attempt: int = 0, core: int = 0
    ) -> Started:
        return Started(
            job_id=7,
            task_id=task,
            instances=[instance],
            attempts=[attempt or self.get("attempt", task, instance)],
            times=[self.now],
            cores=[core],
        )

    def ended(
        self,
        task: int,
        instance: int = 0,
        *,
        reason: int = EndReason.EXITED,
        code: int = 0,
        ran: bool = True,
        attempt: int = 0,
        detail: EndDetail | None = None,
    ) -> Ended:
        return Ended(
            job_id=7,
            task_id=task,
            instances=[instance],
            attempts=[attempt or self.get("attempt", task, instance)],
            reasons=[int(reason)],
            exit_codes=[code],
            starts=[self.now if ran else 0.0],
            ends=[self.now + 1],
            cores=[0 if ran else -1],
            user_ms=[0],
            kernel_ms=[0],
            max_rss_kib=[0],
            details={} if detail is None else {0: detail},
        )

    def run_all(self) -> Bench:
        """Report the start of every attempt that was sent."""
        for record, instance in list(self.active((S.DISPATCHING,))):
            self.run(record.task_id, instance)
        return self

    def end_all(self, code: int = 0) -> Bench:
        """Report the end of every attempt on every node, until there is none."""
        for _ in range(1000):
            found = next(self.active(), None)
            if found is None:
                return self
            record, instance = found
            if self.state(record.task_id, instance) is S.CANCELING:
                self.stop(record.task_id, instance)
            else:
                self.end(record.task_id, instance, code=code)
        raise AssertionError("it never comes to rest")

    def stop(self, task: int, instance: int = 0) -> Bench:
        """Report that an attempt has ended after our signal."""
        ran = bool(self.get("flags", task, instance) & 2)
        reason = EndReason.CANCELED if ran else EndReason.NOT_STARTED
        return self.end(task, instance, reason=reason, code=143 if ran else -1, ran=ran)

    # -- looking --

    def get(self, column: str, task: int, instance: int = 0) -> Any:
        record = self.job.tasks[task - 1]
        return self.job.table_of(record).get(column, record.row(instance))

    def state(self, task: int, instance: int = 0) -> TaskState:
        """Return the state of an element, or of a task itself (a master's too)."""
        record = self.job.tasks[task - 1]
        return S(self.get("state", task, instance)) if instance else record.state

    def stands(self, state: JobState) -> bool:
        """Is the job in this state now?"""
        return self.job.state is state

    def states(self, task: int) -> list[str]:
        """Return the states of a sweep's elements."""
        record = self.job.tasks[task - 1]
        return [self.state(task, i + 1).label for i in range(record.count)]

    def note(self, task: int, instance: int = 0) -> tuple[int, str]:
        code, text = self.job.notes[self.get("note", task, instance)]
        return code, text

    def active(
        self, states: tuple[TaskState, ...] = ACTIVE
    ) -> Iterator[tuple[TaskRecord, int]]:
        """Yield (task, instance) of every attempt that may live on a node."""
        for record in self.job.tasks:
            for instance in instances_of(record):
                if self.get("state", record.task_id, instance) in states:
                    yield record, instance

    def live(self, node: int) -> list[LiveAttempt]:
        """Return what a node that forgot nothing says lives there."""
        return [
            LiveAttempt(
                7,
                record.task_id,
                instance,
                self.get("attempt", record.task_id, instance),
                running=True,
                start_time=self.now,
                core=0,
            )
            for record, instance in self.active()
            if self.get("node", record.task_id, instance) == node
        ]

    def told(self, kind: type[Any]) -> list[tuple[int, Any]]:
        """Return all orders of a kind so far."""
        return [(node, order) for node, order in self.orders if type(order) is kind]

    @property
    def path(self) -> list[str]:
        """Every state that the job entered so far."""
        return self.watcher.path

    def _took(self, decision: Decision) -> None:
        self.last = decision
        orders = effects_of_turn(decision.turn, self.scene)
        self.orders.extend(orders)
        for node, order in orders:
            if isinstance(order, StartTasks):
                keys = _keys(node, order)
                assert self.sent.isdisjoint(keys), "an attempt was started twice"
                self.sent |= keys
            elif isinstance(order, StopTasks):
                self.stopped |= _keys(node, order)
        self.watcher.take(decision.turn.events)
        check_invariants(self.job, self.watcher)
        self._check_orders()

    def _check_orders(self) -> None:
        for record, instance in self.active():
            task = record.task_id
            key = (
                self.get("node", task, instance),
                task,
                instance,
                self.get("attempt", task, instance),
            )
            assert key in self.sent
            if self.get("state", task, instance) == S.CANCELING:
                assert key in self.stopped


def instances_of(record: TaskRecord) -> range:
    """Return the instance numbers of a task."""
    return range(1, record.count + 1) if record.has_elements else range(1)


def _keys(node: int, order: StartTasks | StopTasks) -> set[tuple[int, int, int, int]]:
    pairs = zip(order.instances, order.attempts, strict=True)
    return {(node, order.task_id, instance, attempt) for instance, attempt in pairs}


def counts(job: Job) -> dict[str, int]:
    """Return the job's elements by the name of their state."""
    return dict(Counter({S(n).label: k for n, k in enumerate(job.counts) if k}))
