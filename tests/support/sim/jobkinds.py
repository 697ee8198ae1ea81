"""The jobs of a simulated cluster's users."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcsched.core.job.spec import JobSpec
from hpcsched.core.job.states import NodeLoss, UnitType
from hpcsched.core.task.spec import TaskSpec
from hpcsched.core.task.states import TaskType
from hpcsched.runtime.front import NewJob
from tests.support.sim.sizes import WHOLE, Size

if TYPE_CHECKING:
    import random

SPANS = ("short", "short", "medium", "long")
TRAITS = ("flaky", "deaf", "slow", "daemons", "broken", "sick")


class JobKinds:
    """Draws jobs, of some kinds and with some traits of processes.

    Attributes:
        kinds: Those of this seed.
        limits: Run-time limits of jobs that have one, by name.
    """

    def __init__(self, rng: random.Random, size: Size = WHOLE) -> None:
        self._rng = rng
        self._size = size
        self._count = 0
        self.limits: dict[str, float] = {}
        self.traits = [one for one in TRAITS if self._rng.random() < 0.4]
        self.kinds = [
            kind
            for kind in (
                self._sweep,
                self._plain,
                self._prepared,
                self._wide,
                self._spanning,
                self._chain,
                self._limited,
                self._endless,
                self._service,
            )
            if self._rng.random() < 0.6
        ] or [self._sweep]

    def draw(self) -> NewJob:
        """Return another job."""
        new: NewJob = self._rng.choice(self.kinds)()
        return new

    def name(self, kind: str) -> str:
        self._count += 1
        return f"{kind}-{self._count}"

    def _words(self, *more: str) -> str:
        chosen = [one for one in self.traits if self._rng.random() < 0.5]
        return ",".join([*more, *chosen])

    def task(self, *words: str, **fields: Any) -> TaskSpec:
        span = self._rng.choice(SPANS)
        text = self._words(span, *words)
        rerun = self._rng.random() < 0.8
        return TaskSpec(
            **{"arguments": ("live", text), "is_rerunnable": rerun, **fields}
        )

    def _spec(self, kind: str, **fields: Any) -> JobSpec:
        rng = self._rng
        more: dict[str, Any] = {}
        if rng.random() < 0.2:
            more["priority"] = rng.choice((0, 1000, 3000, 4000))
        if rng.random() < 0.2:
            more["retry_limit"] = rng.randint(1, 3)
        if rng.random() < 0.15:
            more["fail_on_task_failure"] = True
        if rng.random() < 0.15:
            more["can_preempt"] = True
        if rng.random() < 0.1:
            more["is_exclusive"] = True
        if rng.random() < 0.35:
            more["node_loss"] = NodeLoss.HOLD
        if rng.random() < 0.3:
            more["max_cores"] = rng.randint(1, 6)
        spec = JobSpec(**{"name": self.name(kind), **more, **fields})
        if spec.runtime:
            self.limits[spec.name] = spec.runtime
        return spec

    def crowd(self, die: random.Random) -> list[NewJob]:
        """Return many small jobs, as one call has them; a few of them take longer."""
        odd = die.choice(("short", "medium", "quick,flaky", "quick,sick", "quick"))
        return [
            NewJob(
                spec=JobSpec(
                    name=self.name("small"),
                    priority=die.choice((2000,) * 12 + (3000,)),
                ),
                tasks=(
                    TaskSpec(arguments=("live", die.choice(("quick",) * 9 + (odd,)))),
                ),
            )
            for _ in range(die.randint(*self._size.crowd))
        ]

    def equal(self, die: random.Random) -> NewJob:
        """Return a small job that is asked for many times in one call."""
        spec = JobSpec(name=self.name("equal"), priority=die.choice((2000, 2000, 3000)))
        words = die.choice(("quick",) * 6 + ("quick,flaky", "quick,sick"))
        return NewJob(spec=spec, tasks=(TaskSpec(arguments=("live", words)),))

    def _sweep(self) -> NewJob:
        end = self._rng.randint(1, self._size.elements)
        sweep = self.task(type=TaskType.PARAMETRIC_SWEEP, end=end)
        return NewJob(spec=self._spec("sweep"), tasks=(sweep,))

    def _plain(self) -> NewJob:
        tasks = tuple(self.task() for _ in range(self._rng.randint(1, 4)))
        return NewJob(spec=self._spec("plain"), tasks=tasks)

    def _prepared(self) -> NewJob:
        tasks = [self.task() for _ in range(self._rng.randint(1, 3))]
        if self._rng.random() < 0.7:
            tasks.append(self._quick(TaskType.NODE_PREP))
        if self._rng.random() < 0.7:
            tasks.append(self._quick(TaskType.NODE_RELEASE))
        return NewJob(spec=self._spec("prepared"), tasks=tuple(tasks))

    def _quick(self, kind: TaskType) -> TaskSpec:
        words = self._words("short")
        return TaskSpec(type=kind, arguments=("live", words))

    def _wide(self) -> NewJob:
        cores = self._rng.randint(2, 3)
        tasks = [self.task(min_cores=cores, max_cores=cores) for _ in range(2)]
        spec = self._spec("wide")
        return NewJob(spec=spec, tasks=tuple(tasks))

    def _spanning(self) -> NewJob:
        task = self.task(min_nodes=2, max_nodes=2)
        spec = self._spec("spanning", unit_type=UnitType.NODE, max_cores=None)
        return NewJob(spec=spec, tasks=(task,))

    def _chain(self) -> NewJob:
        first = self.task(name="a")
        second = self.task(name="b", depends_on=("a",))
        third = self.task(name="c", depends_on=("b",))
        return NewJob(spec=self._spec("chain"), tasks=(first, second, third))

    def _limited(self) -> NewJob:
        task = self.task(runtime=float(self._rng.randint(1, 40)))
        spec = self._spec("limited", runtime=float(self._rng.randint(5, 90)))
        return NewJob(spec=spec, tasks=(task, self.task()))

    def _endless(self) -> NewJob:
        limit = float(self._rng.randint(30, 120))
        words = self._words("forever")
        if self._rng.random() < 0.5:
            task = TaskSpec(arguments=("live", words), runtime=limit)
            return NewJob(spec=self._spec("endless"), tasks=(task,))
        task = TaskSpec(arguments=("live", words))
        return NewJob(spec=self._spec("endless", runtime=limit), tasks=(task,))

    def _service(self) -> NewJob:
        task = TaskSpec(
            type=TaskType.SERVICE, arguments=("live", self._words("medium"))
        )
        limit = float(self._rng.randint(20, 90))
        return NewJob(spec=self._spec("service", runtime=limit), tasks=(task,))
