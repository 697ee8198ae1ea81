"""Sweeps: masters and elements (lifecycle.md 6), and what a million of them cost."""

from __future__ import annotations

import sys
import tracemalloc

import pytest

from hpcsched.core.job import codec
from hpcsched.core.job import commands as c
from hpcsched.core.job.decide import Decision, decide, new_job
from hpcsched.core.job.show import element_name, master_view
from hpcsched.core.job.spec import JobSpec
from hpcsched.core.job.states import JobState
from hpcsched.core.orders import StartTasks
from hpcsched.core.settings import Settings
from hpcsched.core.task.spec import TaskSpec
from hpcsched.core.task.states import TaskState, TaskType
from tests.support.job_bench import ANN, Bench, counts, plain, sweep

S = TaskState
MILLION = 1_000_000


@pytest.mark.parametrize(
    ("start", "end", "step", "values"),
    [
        (1, 3, 1, [1, 2, 3]),
        (5, 15, 5, [5, 10, 15]),
        (1, 10, 4, [1, 5, 9]),
        (7, 7, 9, [7]),
    ],
)
def test_values_go_from_the_start_in_steps_and_never_past_the_end(
    start: int, end: int, step: int, values: list[int]
) -> None:
    spec = TaskSpec(
        type=TaskType.PARAMETRIC_SWEEP,
        arguments=("/bin/true",),
        start=start,
        end=end,
        step=step,
    )

    bench = Bench(spec).submit().grant({1: 8})

    ((_, order),) = bench.told(StartTasks)
    assert list(order.values) == values
    assert list(order.instances) == list(range(1, len(values) + 1))


def test_a_sweep_over_lines_has_an_element_for_each() -> None:
    spec = TaskSpec(
        name="say *",
        type=TaskType.PARAMETRIC_SWEEP,
        arguments=("/bin/true",),
        lines=("a", "b", "c"),
    )

    bench = Bench(spec).submit().grant({1: 8})

    ((_, order),) = bench.told(StartTasks)
    assert list(order.lines) == ["a", "b", "c"]
    assert element_name(bench.job.tasks[0], 2, 2) == "say b"


def test_the_master_is_queued_until_an_element_has_started_then_running() -> None:
    bench = Bench(sweep(2)).submit().grant({1: 1})
    assert bench.state(1) is S.QUEUED

    bench.run(1, 1)
    assert bench.state(1) is S.RUNNING
    bench.end(1, 1)
    assert bench.state(1) is S.RUNNING
    bench.end(1, 2)

    assert bench.state(1) is S.FINISHED


def test_the_master_fails_if_an_element_failed() -> None:
    bench = Bench(sweep(2), plain()).start({1: 3})

    bench.fail(1, 1).end(1, 2)

    assert bench.state(1) is S.FAILED


def test_the_master_is_canceled_if_its_job_swept_some_of_it() -> None:
    bench = Bench(sweep(3)).submit().grant({1: 1}).run_all().end(1, 1)
    bench.evict(1)
    bench.refuse(1, 2)

    bench.cancel()

    assert bench.states(1) == ["Finished", "Canceled", "Canceled"]
    assert bench.state(1) is S.CANCELED


def test_watchers_hear_of_a_masters_changes_apart_from_its_elements() -> None:
    bench = Bench(sweep(1))

    bench.start()
    bench.end_all()

    assert bench.watcher.told[1, 0] == S.FINISHED
    assert bench.watcher.told[1, 1] == S.FINISHED


def test_the_master_counts_its_elements() -> None:
    bench = Bench(sweep(5), plain()).start({1: 2})
    bench.fail(1, 1)
    bench.cancel_tasks((1, 5))

    view = master_view(bench.job, bench.job.tasks[0], str)

    assert view.counts == {S.FAILED: 1, S.RUNNING: 1, S.DISPATCHING: 1} | {
        S.QUEUED: 1,
        S.CANCELED: 1,
    }


class Big:
    """A job with a sweep of a million elements, without the checks of the bench."""

    def __init__(self) -> None:
        spec = JobSpec(min_cores=1, max_cores=4)
        task = sweep(MILLION)
        self.job, decision = new_job(1, "ann", spec, [task], 1.0, Settings())
        self.took(decision)

    def do(self, command: c.Command) -> Decision:
        decision = decide(self.job, command, 2.0, Settings())
        self.took(decision)
        return decision

    def took(self, decision: Decision) -> None:
        """Check that nothing was told or stored element by element."""
        for event, changes in decision.turn.events:
            assert len(event.moves) <= 4
            assert sum(len(move.ranges) for move in event.moves) <= 4
            assert len(changes) <= 12
            assert len(codec.encode_event(event, changes)) < 2000

    def bytes_of_columns(self) -> int:
        table = self.job.tables[1]
        columns = [*table.bytes.values(), *table._wide.values()]
        return sum(sys.getsizeof(column) for column in columns)


def test_a_million_elements_are_submitted_canceled_and_queued_again_as_ranges() -> None:
    big = Big()

    big.do(c.SubmitJob(caller=ANN, submit_order=1))
    assert big.bytes_of_columns() <= 4 * MILLION
    big.do(c.CancelJob(caller=ANN, message="enough"))
    assert big.job.state is JobState.CANCELED
    big.do(c.RequeueJob(caller=ANN, submit_order=2))
    assert counts(big.job) == {"Queued": MILLION}
    big.do(c.CancelTasks(caller=ANN, tasks=[(1, 0)]))
    big.do(c.RequeueTasks(caller=ANN, tasks=[(1, 0)], submit_order=3))
    assert counts(big.job) == {"Queued": MILLION}
    big.do(c.GrantCores(cores={1: (0, 1, 2, 3)}))
    big.do(c.RequeueJob(caller=ANN, submit_order=4))

    assert big.job.counts[S.CANCELING] == 4
    assert big.bytes_of_columns() <= 50 * 2**20


def test_no_object_is_made_for_a_queued_element() -> None:
    tracemalloc.start(1)
    try:
        big = Big()
        big.do(c.SubmitJob(caller=ANN, submit_order=1))
        found = tracemalloc.take_snapshot().statistics("lineno")
        objects = sum(stat.count for stat in found)
        size = sum(stat.size for stat in found)
    finally:
        tracemalloc.stop()

    assert objects < 50_000  # the numbers of 3907 changed chunks are some of them
    assert size < 50 * 2**20


def test_the_time_to_place_a_task_does_not_grow_with_those_that_have_ended() -> None:
    big = Big()
    big.do(c.SubmitJob(caller=ANN, submit_order=1))
    big.do(c.GrantCores(cores={1: (0, 1)}))
    record = big.job.tasks[0]

    assert record.hint == 0
    big.job.tables[1].fill("state", 2, MILLION - 2, S.FINISHED)
    big.do(c.GrantCores(cores={1: (0, 1, 2)}))

    assert big.job.tables[1].state[MILLION - 1] == S.DISPATCHING
    assert record.hint == MILLION - 1
