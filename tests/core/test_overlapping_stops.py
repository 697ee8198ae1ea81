"""One stop after another: which end holds (lifecycle.md 5.5), as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hpcsched.core.job.states import JobState
from hpcsched.core.task.elements import FORCED
from hpcsched.core.task.states import CancelOrigin, TaskState
from tests.support.job_bench import Bench, plain, service, sweep

if TYPE_CHECKING:
    from collections.abc import Callable

J, T, O = JobState, TaskState, CancelOrigin  # noqa: E741  names of the table

#: First stop: what it is, the pending end, its origin.
FIRST: dict[str, tuple[Callable[[Bench], object], TaskState, CancelOrigin]] = {
    "requeue task": (lambda b: b.requeue_tasks((1, n(b))), T.QUEUED, O.REQUEUE),
    "evict": (lambda b: b.evict(1), T.QUEUED, O.NODE),
    "preempt": (
        lambda b: b.preempt({1: 1}, immediate=True),
        T.QUEUED,
        O.PREEMPTION,
    ),
    "cancel task": (lambda b: b.cancel_tasks((1, n(b))), T.FAILED, O.USER_TASK),
    "finish task": (lambda b: b.finish_tasks((1, n(b))), T.FINISHED, O.USER_TASK),
}
#: Second stop: what it is, the end and the origin that it brings, and whether by force.
SECOND: dict[str, tuple[Callable[[Bench], object], TaskState, CancelOrigin, bool]] = {
    "cancel task by force": (
        lambda b: b.cancel_tasks((1, n(b)), force=True),
        T.FAILED,
        O.USER_TASK,
        True,
    ),
    "cancel job": (lambda b: b.cancel("enough"), T.FAILED, O.USER_JOB, False),
    "cancel job by force": (
        lambda b: b.cancel("enough", force=True),
        T.FAILED,
        O.USER_JOB,
        True,
    ),
    "finish job": (lambda b: b.finish_job(), T.FINISHED, O.USER_JOB, False),
    "finish job by force": (
        lambda b: b.finish_job(force=True),
        T.FINISHED,
        O.USER_JOB,
        True,
    ),
    "job's limit": (lambda b: b.tick(100), T.FAILED, O.TIMEOUT, False),
    "fail fast": (lambda b: b.fail(2), T.FAILED, O.SYSTEM, False),
}


def n(bench: Bench) -> int:
    """Return the instance that is stopped: the first element, or the task itself."""
    return 1 if bench.job.tasks[0].has_elements else 0


def running(kind: str) -> Bench:
    """Return a job whose task 1 (or its first element) runs alone on node 1."""
    first = {"plain": plain(), "sweep": sweep(1), "service": service()}[kind]
    others = [] if kind == "service" else [plain(critical=True)]
    bench = Bench(first, *others, runtime=50.0, min_cores=1, max_cores=4)
    bench.submit().grant({1: 1, 2: 1})
    for core, (record, instance) in enumerate(list(bench.active())):
        bench.run(record.task_id, instance, core=core)
    return bench


@pytest.mark.parametrize("kind", ["plain", "sweep", "service"])
@pytest.mark.parametrize("second", SECOND)
@pytest.mark.parametrize("first", FIRST)
def test_a_pending_queued_is_replaced_and_any_other_end_stays(
    first: str, second: str, kind: str
) -> None:
    if kind == "service" and (first == "requeue task" or second == "fail fast"):
        return  # neither exists
    stop, pending, origin = FIRST[first]
    again, end, new_origin, forced = SECOND[second]
    bench = running(kind)
    node = bench.get("node", 1, n(bench))
    assert node == 1
    stop(bench)
    again_pending = T.CANCELED if kind == "service" and pending is T.QUEUED else pending
    assert bench.get("pending", 1, n(bench)) == again_pending
    assert bench.get("origin", 1, n(bench)) == origin

    again(bench)

    replaced = pending is T.QUEUED
    assert bench.get("pending", 1, n(bench)) == (end if replaced else pending)
    assert bench.get("origin", 1, n(bench)) == (new_origin if replaced else origin)
    assert bool(bench.get("flags", 1, n(bench)) & FORCED) == forced
    bench.stop(1, n(bench))
    assert bench.get("state", 1, n(bench)) == (end if replaced else pending)


@pytest.mark.parametrize("loss", ["lost", "rebooted"])
@pytest.mark.parametrize("first", FIRST)
def test_a_lost_node_brings_the_pending_end_at_once(first: str, loss: str) -> None:
    stop, pending, _ = FIRST[first]
    bench = running("plain")
    stop(bench)

    if loss == "lost":
        bench.lose(1)
    else:
        bench.sync(1, rebooted=True)

    ended = bench.state(1)
    if pending is T.QUEUED:
        assert ended in {T.QUEUED, T.DISPATCHING}
        assert bench.get("attempt", 1) == 2
        assert not bench.get("auto", 1), "what we stopped ourselves is not charged"
    else:
        assert ended is pending


#: A job that is being stopped, and what it is to become.
JOB_STOPS: dict[str, tuple[Callable[[Bench], object], JobState]] = {
    "requeue": (lambda b: b.requeue(), J.QUEUED),
    "preempt": (lambda b: b.preempt({}, immediate=True, whole=True), J.QUEUED),
    "fail fast": (lambda b: b.fail(2), J.FAILED),
    "limit": (lambda b: b.tick(100), J.CANCELED),
    "cancel": (lambda b: b.cancel("first"), J.CANCELED),
}


@pytest.mark.parametrize("force", [False, True], ids=["", "by force"])
@pytest.mark.parametrize("stop", JOB_STOPS)
def test_a_cancel_replaces_a_pending_queued_and_no_other_end(
    stop: str, *, force: bool
) -> None:
    act, end = JOB_STOPS[stop]
    bench = running("plain")
    waits = bench.add(plain())[0]
    act(bench)
    assert bench.stands(J.CANCELING)

    if end is J.QUEUED or force:
        bench.cancel("enough", force=force)
    else:
        with pytest.raises(Exception, match="cannot be canceled"):
            bench.cancel("enough")

    bench.end_all()
    assert bench.job.state is (J.CANCELED if end is J.QUEUED else end)
    if end is J.QUEUED:
        assert (bench.state(1), bench.get("origin", 1)) == (T.FAILED, O.USER_JOB)
        assert (bench.state(waits), bench.get("origin", waits)) == (
            T.CANCELED,
            O.USER_JOB,
        )
        assert bench.job.error_message == "enough"
    elif stop == "cancel":
        assert bench.job.error_message == "first"


def test_a_task_canceled_by_name_stays_so_through_any_number_of_rounds() -> None:
    bench = Bench(plain(), plain()).submit()
    bench.cancel_tasks((1, 0), message="mine")

    for _ in range(3):
        bench.cancel("all")
        assert (bench.state(1), bench.get("origin", 1)) == (T.CANCELED, O.USER_TASK)
        assert bench.note(1)[1] == "mine"
        bench.requeue()
        assert bench.state(1) is T.CANCELED
        assert bench.state(2) is T.QUEUED

    bench.requeue_tasks((1, 0))
    assert bench.state(1) is T.QUEUED
    bench.cancel("all")
    assert bench.get("origin", 1) == O.USER_JOB, "now it was swept with the job"
    bench.requeue()
    assert bench.state(1) is T.QUEUED
    bench.cancel_tasks((1, 0))
    bench.cancel("all")
    bench.requeue()
    assert bench.state(1) is T.CANCELED


def test_what_has_ended_by_itself_is_not_touched_by_a_stop() -> None:
    bench = Bench(plain(), plain(), plain()).start({1: 3})
    bench.end(1)
    bench.fail(2, code=3)

    bench.cancel("enough")
    bench.end_all()

    assert (bench.state(1), bench.get("origin", 1)) == (T.FINISHED, O.NONE)
    assert (bench.state(2), bench.get("origin", 2)) == (T.FAILED, O.NONE)
    assert bench.note(2)[1] == "exited with code 3"
