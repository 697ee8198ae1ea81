"""Long random lives of a job, made by a die, with everything mixed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcsched.common.errors import HpcError
from hpcsched.core.job import commands as c
from hpcsched.core.job.ahead import may_go_ahead
from hpcsched.core.job.states import JobState, JobType, NodeLoss
from hpcsched.core.job.ticking import next_tick
from hpcsched.core.reports import EndDetail, LiveAttempt
from hpcsched.core.scheduling.snapshot import NodeFree
from hpcsched.core.settings import Settings
from hpcsched.core.task.states import EndReason, TaskType
from tests.support.ahead_walks import AheadSteps
from tests.support.inventory import Nodes
from tests.support.job_bench import (
    ANN,
    ROOT,
    Bench,
    instances_of,
    plain,
    prep,
    release,
    service,
    sweep,
)

if TYPE_CHECKING:
    import random

    from hpcsched.core.caller import Caller
    from hpcsched.core.task.spec import TaskSpec

NAMES = ("", "a", "b", "c")
NODES = (1, 2, 3)
ODD = frozenset({"odd"})
CLUSTER = Nodes(
    *(NodeFree(n, f"n{n}", 4, groups=ODD if n % 2 else frozenset()) for n in NODES)
)
PARENTS = (1, 2)
STANDS = (JobState.QUEUED, JobState.RUNNING, JobState.FAILED, *[JobState.FINISHED] * 3)
COMMANDS = 0.05
"""Share of lives that are those of commands."""
SMALL = 0.2
"""And of those of one small task."""
SELDOM = {"cancel": 2, "finish": 1, "configure": 2, "finish_tasks": 5, "lose": 6}
SELDOM |= {"modify": 5, "hold": 2, "note_parent": 8, "fail_activation": 1}
SELDOM |= {"hold_activation": 2, "send_ahead": 5}
SELDOM |= {"conclude": 4, "end_backfill": 3, "start_command": 3}
SELDOM |= {"exclude": 3, "review": 3, "note_aside": 1}
OFTEN = {
    "take_verdict": 20,
    "grant": 60,
    "start": 50,
    "end": 50,
    "requeue": 15,
    "requeue_tasks": 20,
}


class Walk(AheadSteps):
    """One life: a job, and a die."""

    def __init__(self, die: random.Random) -> None:
        self.die = die
        self.exclusive = False
        self.required: list[tuple[str, ...]] = [()]
        if die.random() < COMMANDS:
            self.bench = Bench(*self.command(), job_type=JobType.ADMIN)
            return
        if die.random() < SMALL:
            self.bench = Bench(plain(), runtime=50.0, inventory=CLUSTER)
            return
        least = self.die.choice([None, None, 3])
        endless = self.die.random() < 0.1
        most = 8 if least or endless else None
        self.exclusive = most is not None and self.die.random() < 0.4
        if most is not None:
            self.required = [()] * 8 + [("n1",), ("n3", "n2")]
        reruns = self.die.randint(0, 2)
        self.bench = Bench(
            *self.tasks(),
            settings=Settings(
                task_retries=reruns,
                job_retries=reruns,
                max_sweep=40,
                submission_filter=self.die.choice([""] * 6 + ["/filter"]),
            ),
            fail_on_task_failure=self.die.random() < 0.15,
            fail_dependent_tasks=self.die.random() < 0.3,
            run_until_canceled=endless,
            node_loss=self.die.choice([NodeLoss.RERUN, NodeLoss.RERUN, NodeLoss.HOLD]),
            runtime=self.die.choice([0.0, 50.0]),
            retry_limit=self.die.randint(0, 1),
            min_cores=least or (3 if endless else None),
            max_cores=most,
            parent_job_ids=self.die.choice([()] * 5 + [PARENTS]),
            is_exclusive=self.exclusive,
            node_groups=self.die.choice([()] * 5 + [("odd",)]),
            inventory=CLUSTER,
        )

    @property
    def who(self) -> Caller:
        """Who asks: only administrators may ask anything of a command."""
        admin = self.bench.job.spec.job_type is JobType.ADMIN
        return ROOT if admin else ANN

    def command(self) -> list[TaskSpec]:
        """Return the tasks of a command, one per node."""
        return [plain(node=f"n{node}") for node in NODES[: self.die.randint(1, 3)]]

    def tasks(self, *, late: bool = False) -> list[TaskSpec]:
        """Return up to four tasks, some of them sweeps, some waiting for others."""
        die = self.die
        made: list[TaskSpec] = []
        for number in range(die.randint(0, 4)):
            fields: dict[str, Any] = {
                "name": die.choice(NAMES),
                "is_rerunnable": die.randint(0, 5) > 0,
                "min_cores": die.choice([1, 1, 1, 2, 3, 5]),
                "required_nodes": die.choice(self.required),
                "requested_node_group": die.choice([""] * 8 + ["odd"]),
                "critical": die.choice([None] * 5 + [True, False]),
            }
            names = sorted({one.name for one in made} - {"", fields["name"]})
            if number and fields["name"] and names and die.random() < 0.5:
                fields["depends_on"] = (die.choice(names),)
            if die.random() < 0.5:
                most = die.choice([0, 0, 1, 2])
                made.append(sweep(die.randint(1, 4), max_concurrent=most, **fields))
            else:
                most = die.choice([0, max(3, fields["min_cores"])])
                alone = self.exclusive and die.random() < 0.3
                made.append(plain(max_cores=most, is_exclusive=alone, **fields))
        if not late and die.random() < 0.2:
            made = [
                service(
                    min_cores=die.choice([1, 1, 2]),
                    max_concurrent=die.choice([0, 0, 2]),
                    critical_count=die.choice([0, 0, 3]),
                )
            ]
        if not late and made:
            made += [prep()] * die.randint(0, 1)
            made += [release()] * die.randint(0, 1)
        return made

    def go(self, steps: int) -> None:
        """Take so many steps."""
        short = [name.removeprefix("step_") for name in STEPS]
        weights = [SELDOM.get(name, OFTEN.get(name, 10)) for name in short]
        for name in self.die.choices(STEPS, weights, k=steps):
            getattr(self, name)()

    def ask(self, command: c.Command) -> None:
        """Ask for something that may be refused."""
        try:
            self.bench.do(command)
        except HpcError:
            return

    def keys(self) -> list[c.TaskKey]:
        """Return some tasks and elements; seldom such as there are none."""
        die, job = self.die, self.bench.job
        known = [
            (record.task_id, instance)
            for record in job.tasks
            for instance in (0, *instances_of(record))
        ]
        return [
            die.choice(known)
            if known and die.random() < 0.8
            else (die.randint(1, 6), die.randint(0, 3))
            for _ in range(die.randint(1, 3))
        ]

    def flag(self) -> bool:
        return self.die.random() < 0.5

    def node(self) -> int:
        return self.die.choice(NODES)

    def step_submit(self) -> None:
        states = {one: self.die.choice(STANDS) for one in PARENTS}
        kin = c.Kin(states=states)
        self.ask(c.SubmitJob(caller=self.who, submit_order=1, kin=kin))
        if self.bench.job.state is JobState.QUEUED and may_go_ahead(self.bench.job):
            self.step_send_ahead()

    def step_take_verdict(self) -> None:
        refusal = HpcError("RELEASE_TASKS_DISABLED", field="spec.tasks")
        verdict = c.TakeVerdict(
            validation=self.bench.job.validation - (self.die.random() < 0.2),
            refusal=self.die.choice([None, None, refusal]),
        )
        self.bench.do(verdict)

    def step_fail_activation(self) -> None:
        self.bench.do(c.FailActivation(message=self.die.choice(["", "no"])))

    def step_hold_activation(self) -> None:
        self.bench.do(c.HoldActivation(until=self.bench.now + 5))

    def step_note_parent(self) -> None:
        state = self.die.choice([*STANDS, JobState.FINISHED, None])
        self.bench.do(c.NoteParent(parent=self.die.choice(PARENTS), state=state))

    def step_start_command(self) -> None:
        nodes = {n: self.die.choice([None, n, n]) for n in NODES}
        self.ask(c.StartCommand(caller=ROOT, nodes=nodes))

    def step_grant(self) -> None:
        node, number, job = self.node(), self.die.randint(1, 4), self.bench.job
        if job.spec.job_type is JobType.ADMIN:
            return  # no scheduler ever hears of it
        held = job.uses.get(node)
        kept = () if held is None else held.cores
        cores = {node: tuple(sorted({*kept, *range(number)}))}
        if job.state is JobState.QUEUED:
            for other in NODES:
                number += 0 if other == node else 4
                cores.setdefault(other, (0, 1, 2, 3))
        if job.state is not JobState.QUEUED or number >= job.least():
            sites = {n: (f"n{n}", ("odd",) if n % 2 else ()) for n in cores}
            most, ahead = self.die.choice([0, 4, 4]), self.die.random() < 0.1
            self.ask(
                c.GrantCores(cores=cores, sites=sites, largest=most, backfill=ahead)
            )

    def step_end_backfill(self) -> None:
        self.ask(c.EndBackfill())

    def step_note_aside(self) -> None:
        aside = self.die.choice([True, False])
        self.bench.do(c.NoteAside(aside=aside, message="a fault"))

    def step_start(self) -> None:
        found = list(self.bench.active())
        if found:
            record, instance = self.die.choice(found)
            self.bench.run(record.task_id, instance, core=self.die.randint(-1, 3))

    def step_end(self) -> None:
        found = list(self.bench.active())
        if found:
            record, instance = self.die.choice(found)
            reason = self.die.choice([*EndReason, *[EndReason.EXITED] * 8, 99])
            self.bench.end(
                record.task_id,
                instance,
                reason=reason,
                code=self.die.choice([0, 0, 1]),
                ran=reason not in (EndReason.NOT_STARTED, EndReason.START_FAILED),
                detail=EndDetail(code=self.die.choice(["", "user", "exec"])),
            )

    def step_strange_reports(self) -> None:
        bench, task = self.bench, self.die.randint(1, 6)
        if task <= len(bench.job.tasks):
            attempt, instance = self.die.randint(1, 4), self.die.randint(-1, 5)
            ended = bench.ended(task, instance, attempt=attempt)
            started = bench.started(task, instance, attempt=attempt)
            bench.report(self.node(), started, ended, ended, started)

    def step_lose(self) -> None:
        self.bench.lose(self.node())

    def step_preempt(self) -> None:
        whole, cores = self.die.random() < 0.3, {}
        for use in self.bench.job.uses.values():
            cores[use.node_id] = self.die.randint(0, len(use.cores) + 1)
        command = c.PreemptCores(cores=cores, immediate=self.flag(), whole=whole)
        self.bench.do(command)

    def step_evict(self) -> None:
        self.bench.evict(self.node(), drain=self.flag())

    def step_exclude(self) -> None:
        some = self.die.sample([f"n{n}" for n in NODES], self.die.randint(0, 2))
        add, remove = (some, ()) if self.flag() else ((), some)
        self.ask(c.ExcludeNodes(caller=ANN, add=add, remove=remove, clear=self.flag()))

    def step_review(self) -> None:
        node = self.node()
        self.bench.do(c.ReviewNodes(node_id=node, node=f"n{node}"))

    def step_sync(self) -> None:
        node, rebooted = self.node(), self.flag()
        live = [] if rebooted else self.bench.live(node)[self.die.randint(0, 2) :]
        stranger = LiveAttempt(7, 1, 1, 9, running=True)
        self.bench.sync(node, [*live, stranger], rebooted=rebooted)

    def step_tick(self) -> None:
        self.bench.tick(self.die.choice([1.0, 1.0, 60.0]))

    def step_wait(self) -> None:
        """Wait for what time brings."""
        bench = self.bench
        wake = next_tick(bench.job, bench.settings, bench.now)
        if wake is not None:
            bench.tick(max(0.0, wake - bench.now))
            later = next_tick(bench.job, bench.settings, bench.now)
            assert later is None or later > bench.now

    def step_cancel(self) -> None:
        self.ask(c.CancelJob(caller=self.who, force=self.flag(), graceful=self.flag()))

    def step_finish(self) -> None:
        self.ask(c.FinishJob(caller=self.who, force=self.flag(), graceful=self.flag()))

    def step_requeue(self) -> None:
        self.ask(c.RequeueJob(caller=self.who, submit_order=2))

    def step_configure(self) -> None:
        self.ask(c.ConfigureJob(caller=self.who))

    def step_modify(self) -> None:
        changes: dict[str, Any] = self.die.choice(
            [
                {"project": self.die.choice(["p", "q"])},
                {"runtime": self.die.choice([0.0, 50.0, 5.0])},
                {"custom_properties": {"k": self.die.choice("abc")}},
                {"progress": self.die.choice([None, 5])},
                {"fail_on_task_failure": self.flag()},
                {"run_until_canceled": self.flag(), "min_cores": 3, "max_cores": 8},
            ]
        )
        self.ask(c.ModifyJob(caller=self.who, changes=changes))

    def step_modify_task(self) -> None:
        changes: dict[str, Any] = self.die.choice(
            [
                {"end": self.die.randint(0, 6)},
                {"start": self.die.randint(1, 2)},
                {"type": TaskType.BASIC, "end": 0, "max_concurrent": 0},
                {"type": TaskType.PARAMETRIC_SWEEP, "end": 3, "max_cores": 0},
                {"type": TaskType.NODE_PREP, "end": 0, "depends_on": ()},
                {"is_rerunnable": self.flag(), "min_cores": self.die.randint(1, 3)},
                {"name": self.die.choice(NAMES), "depends_on": ()},
            ]
        )
        task_id = self.die.randint(1, 6)
        self.ask(c.ModifyTask(caller=self.who, task_id=task_id, changes=changes))

    def step_hold(self) -> None:
        until = self.die.choice([None, self.bench.now + 5])
        self.ask(c.HoldJob(caller=self.who, until=until))

    def step_release(self) -> None:
        self.ask(c.ReleaseJob(caller=self.who))

    def step_add(self) -> None:
        if len(self.bench.job.tasks) < 8:
            added = self.tasks(late=True)
            self.ask(c.AddTasks(caller=self.who, tasks=added, submit=self.flag()))

    def step_submit_task(self) -> None:
        self.ask(c.SubmitTasks(caller=self.who, task_ids=[self.die.randint(1, 6)]))

    def step_cancel_tasks(self) -> None:
        self.ask(c.CancelTasks(caller=self.who, tasks=self.keys(), force=self.flag()))

    def step_requeue_tasks(self) -> None:
        self.ask(c.RequeueTasks(caller=self.who, tasks=self.keys(), submit_order=3))

    def step_conclude(self) -> None:
        task, cancel = self.die.randint(1, 3), self.flag()
        self.ask(
            c.ConcludeService(caller=self.who, task_id=task, cancel_sub_tasks=cancel)
        )

    def step_finish_tasks(self) -> None:
        self.ask(c.FinishTasks(caller=self.who, tasks=self.keys()))


STEPS = tuple(name for name in dir(Walk) if name.startswith("step_"))
