"""Random lives of a job: whatever is asked and reported, its rules hold."""

from __future__ import annotations

import contextlib
import os
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from hpcsched.common.errors import HpcError
from hpcsched.core.job import commands as c
from hpcsched.core.job.model import UsePhase
from hpcsched.core.job.placing import next_task
from hpcsched.core.job.states import JobState, NodeLoss
from hpcsched.core.job.ticking import next_tick
from hpcsched.core.reports import EndDetail, LiveAttempt
from hpcsched.core.settings import Settings
from hpcsched.core.task.spec import TaskSpec
from hpcsched.core.task.states import EndReason, TaskState
from tests.support.job_bench import ANN, Bench, plain, prep, release, service, sweep
from tests.support.job_walks import Walk

pytestmark = pytest.mark.timeout(120)

LIVES = int(os.environ.get("HPCSCHED_LIVES", "30"))
NODES = (1, 2, 3)
NAMES = ("", "a", "b", "c")
REASONS = st.sampled_from([*EndReason, 99])
FLAG = st.booleans()
TASK = st.integers(1, 6)
INSTANCE = st.integers(0, 3)
KEYS = st.lists(st.tuples(TASK, INSTANCE), min_size=1, max_size=3)


@st.composite
def tasks(draw: st.DrawFn, *, late: bool = False) -> list[TaskSpec]:
    """Return up to four tasks, some of them sweeps, some waiting for others."""
    made: list[TaskSpec] = []
    for number in range(draw(st.integers(0, 4))):
        fields: dict[str, Any] = {
            "name": draw(st.sampled_from(NAMES)),
            "is_rerunnable": draw(st.integers(0, 5)) > 0,
            "min_cores": draw(st.sampled_from([1, 1, 1, 2, 3])),
            "critical": draw(st.sampled_from([None, None, None, True, False])),
        }
        if number and fields["name"] and draw(FLAG):
            names = {one.name for one in made} - {"", fields["name"]}
            if names:
                fields["depends_on"] = (draw(st.sampled_from(sorted(names))),)
        if draw(FLAG):
            limit = draw(st.sampled_from([0, 0, 1, 2]))
            made.append(sweep(draw(st.integers(1, 4)), max_concurrent=limit, **fields))
        else:
            made.append(plain(max_cores=draw(st.sampled_from([0, 3])), **fields))
    if not late and draw(st.integers(0, 4)) == 0:
        made = [
            service(
                min_cores=draw(st.sampled_from([1, 1, 2])),
                max_concurrent=draw(st.sampled_from([0, 0, 2])),
                critical_count=draw(st.sampled_from([0, 0, 3])),
            )
        ]
    if not late and made:
        made += [prep()] * draw(st.integers(0, 1))
        made += [release()] * draw(st.integers(0, 1))
    return made


class Lives(RuleBasedStateMachine):
    """Commands, reports, losses and ticks in any order."""

    bench: Bench

    @initialize(
        made=tasks(),
        fast=FLAG,
        dependents=FLAG,
        until=st.integers(0, 5),
        loss=st.sampled_from([NodeLoss.RERUN, NodeLoss.RERUN, NodeLoss.HOLD]),
        runtime=st.sampled_from([0.0, 50.0]),
        retry=st.integers(0, 1),
        least=st.sampled_from([None, None, 3]),
        reruns=st.integers(0, 2),
        submit=st.integers(0, 4),
    )
    def create(self, made: list[TaskSpec], **how: Any) -> None:
        endless = how["until"] == 0
        least = how["least"] or (3 if endless else None)
        self.bench = Bench(
            *made,
            settings=Settings(
                task_retries=how["reruns"], job_retries=how["reruns"], max_sweep=40
            ),
            fail_on_task_failure=how["fast"],
            fail_dependent_tasks=how["dependents"],
            run_until_canceled=endless,
            node_loss=how["loss"],
            runtime=how["runtime"],
            retry_limit=how["retry"],
            min_cores=least,
            max_cores=8 if least else None,
        )
        if how["submit"]:
            self.bench.submit()

    def ask(self, command: c.Command) -> None:
        """Ask for something that may be refused."""
        with contextlib.suppress(HpcError):
            self.bench.do(command)

    @rule()
    def submit(self) -> None:
        self.ask(c.SubmitJob(caller=ANN, submit_order=1))

    @rule(node=st.sampled_from(NODES), number=st.integers(1, 4))
    def grant(self, node: int, number: int) -> None:
        held = self.bench.job.uses.get(node)
        cores = tuple(range(max(number, len(held.cores) if held else 0)))
        waits = self.bench.stands(JobState.QUEUED)
        if not waits or number >= self.bench.job.min_cores():
            self.ask(c.GrantCores(cores={node: cores}))

    @rule(which=st.integers(0, 20), core=st.integers(-1, 3))
    def start(self, which: int, core: int) -> None:
        found = list(self.bench.active())
        if found:
            record, instance = found[which % len(found)]
            self.bench.run(record.task_id, instance, core=core)

    @rule(which=st.integers(0, 20), reason=REASONS, code=st.sampled_from([0, 0, 1]))
    def end(self, which: int, reason: int, code: int) -> None:
        found = list(self.bench.active())
        if found:
            record, instance = found[which % len(found)]
            self.bench.end(
                record.task_id,
                instance,
                reason=reason,
                code=code,
                ran=reason not in (EndReason.NOT_STARTED, EndReason.START_FAILED),
                detail=EndDetail(code="user") if reason == 7 and code else None,
            )

    @rule(code=st.sampled_from([0, 0, 1]))
    def end_everything_once(self, code: int) -> None:
        for record, instance in list(self.bench.active()):
            self.bench.end(record.task_id, instance, code=code)

    @rule(
        node=st.sampled_from(NODES),
        task=TASK,
        instance=st.integers(-1, 5),
        attempt=st.integers(0, 4),
        reason=REASONS,
    )
    def strange_reports(
        self, node: int, task: int, instance: int, attempt: int, reason: int
    ) -> None:
        bench = self.bench
        if not 1 <= task <= len(bench.job.tasks):
            return
        ended = bench.ended(task, instance, attempt=attempt or 1, reason=reason)
        started = bench.started(task, instance, attempt=attempt or 1)
        bench.report(node, started, ended, ended, started)
        bench.report(node, ended)

    @rule(node=st.sampled_from(NODES))
    def lose(self, node: int) -> None:
        self.bench.lose(node)

    @rule(node=st.sampled_from(NODES), drain=FLAG)
    def evict(self, node: int, drain: bool) -> None:
        self.bench.evict(node, drain=drain)

    @rule(node=st.sampled_from(NODES), rebooted=FLAG, forgets=st.integers(0, 3))
    def sync(self, node: int, rebooted: bool, forgets: int) -> None:
        live = [] if rebooted else self.bench.live(node)[forgets:]
        stranger = LiveAttempt(7, 1, 1, 9, running=True)
        strangers, _ = self.bench.sync(node, [*live, stranger], rebooted=rebooted)
        assert (1, 1, 9) in strangers

    @rule(seconds=st.sampled_from([1.0, 60.0]))
    def tick(self, seconds: float) -> None:
        self.bench.tick(seconds)

    @rule(force=FLAG, graceful=FLAG, message=st.sampled_from(["", "enough", "x" * 321]))
    def cancel(self, **how: Any) -> None:
        self.ask(c.CancelJob(caller=ANN, **how))

    @rule(force=FLAG, graceful=FLAG)
    def finish(self, **how: Any) -> None:
        self.ask(c.FinishJob(caller=ANN, **how))

    @rule()
    def requeue(self) -> None:
        self.ask(c.RequeueJob(caller=ANN, submit_order=2))

    @rule()
    def configure(self) -> None:
        self.ask(c.ConfigureJob(caller=ANN))

    @rule(made=tasks(late=True), submit=FLAG)
    def add(self, made: list[TaskSpec], submit: bool) -> None:
        if len(self.bench.job.tasks) < 8:
            self.ask(c.AddTasks(caller=ANN, tasks=made, submit=submit))

    @rule(task=TASK)
    def submit_task(self, task: int) -> None:
        self.ask(c.SubmitTasks(caller=ANN, task_ids=[task]))

    @rule(keys=KEYS, force=FLAG, message=st.sampled_from(["", "no"]))
    def cancel_tasks(self, keys: list[c.TaskKey], **how: Any) -> None:
        self.ask(c.CancelTasks(caller=ANN, tasks=keys, **how))

    @rule(keys=KEYS)
    def requeue_tasks(self, keys: list[c.TaskKey]) -> None:
        self.ask(c.RequeueTasks(caller=ANN, tasks=keys, submit_order=3))

    @rule(task=st.integers(1, 3), cancel=FLAG)
    def conclude(self, task: int, cancel: bool) -> None:
        self.ask(c.ConcludeService(caller=ANN, task_id=task, cancel_sub_tasks=cancel))

    @rule()
    def wait(self) -> None:
        """Wait for what time brings."""
        bench = self.bench
        wake = next_tick(bench.job, bench.settings, bench.now)
        if wake is not None:
            bench.tick(max(0.0, wake - bench.now))
            later = next_tick(bench.job, bench.settings, bench.now)
            assert later is None or later > bench.now

    @rule(keys=KEYS)
    def finish_tasks(self, keys: list[c.TaskKey]) -> None:
        self.ask(c.FinishTasks(caller=ANN, tasks=keys))

    def teardown(self) -> None:
        if hasattr(self, "bench"):
            heal(self.bench)


def heal(bench: Bench) -> None:
    """Let every node answer; the job must come to rest where it may rest."""
    job = bench.job
    for node in [n for n, use in job.uses.items() if use.phase.lost]:
        bench.sync(node, bench.live(node))
    if job.service is not None and job.state is JobState.RUNNING:
        bench.conclude(job.service.task_id)
    bench.end_all()
    if job.state is not JobState.RUNNING:
        assert job.state.terminal or job.state in (
            JobState.CONFIGURING,
            JobState.QUEUED,
        )
        return
    queued = job.counts[TaskState.QUEUED]
    assert job.spec.run_until_canceled or (queued and next_task(job) is None)
    assert all(use.phase is UsePhase.READY for use in job.uses.values())


Lives.TestCase.settings = settings(
    max_examples=5 * LIVES,
    stateful_step_count=30,
    deadline=None,
    derandomize="CI" in os.environ,
    print_blob=True,
    phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.too_slow],
)
TestLives = Lives.TestCase


@pytest.mark.parametrize("block", range(8))
def test_long_lives_come_to_rest(block: int) -> None:
    """Each life is made from its seed, so that a failure can be seen again."""
    for seed in range(block * LIVES, (block + 1) * LIVES):
        walk = Walk(seed)
        try:
            walk.go(100)
            heal(walk.bench)
        except Exception as fault:
            fault.add_note(f"seed {seed}")
            raise
