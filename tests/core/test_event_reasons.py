"""Events say what was before, why, and who: for jobs, tasks and masters alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hpcsched.core.job.events import EventName
from hpcsched.core.job.states import JobState
from hpcsched.core.reports import EndDetail
from hpcsched.core.settings import Settings
from hpcsched.core.task.states import EndReason, TaskState
from tests.support.job_bench import Bench, plain, service, sweep

if TYPE_CHECKING:
    from hpcsched.core.job.events import Change, Event

J, T = JobState, TaskState


def told(bench: Bench, task: int, state: int) -> tuple[Event, Change]:
    """Return the last event that led there, and its change."""
    assert bench.last is not None
    for event, changes in reversed(bench.last.turn.events):
        for change in changes:
            if (change.task_id, change.state) == (task, state):
                return event, change
    raise AssertionError(f"task {task} did not become {state}")


def test_a_failed_task_says_why_and_which_node_said_so() -> None:
    bench = Bench(plain(), plain()).start()

    bench.fail(1, code=3)

    event, change = told(bench, 1, T.FAILED)
    assert (change.previous, event.actor) == (T.FINISHING, "node:n1")
    assert (change.code, change.text) == (-2147218980, "exited with code 3")


def test_a_task_that_runs_again_says_why_although_it_keeps_no_error() -> None:
    bench = Bench(plain(), retry_limit=1).start()

    bench.fail(1, code=3)

    _, change = told(bench, 1, T.QUEUED)
    assert change.text == "exited with code 3"
    assert bench.note(1) == (0, "")


@pytest.mark.parametrize("way", ["lost", "refused", "status"])
def test_a_system_error_says_why_whether_it_reruns_or_not(way: str) -> None:
    for reruns, state in ((1, T.QUEUED), (0, T.FAILED)):
        bench = Bench(plain(), plain(), settings=Settings(task_retries=reruns)).start()
        if way == "lost":
            bench.lose(1)
        elif way == "refused":
            detail = EndDetail(message="no such user")
            bench.end(1, reason=EndReason.NOT_STARTED, code=-1, detail=detail)
        else:
            bench.end(1, reason=EndReason.STATUS_LOST, code=-1)

        event, change = told(bench, 1, state)
        assert change.code
        assert change.text
        assert (
            event.actor == ("system" if way == "lost" else "node:n1") or way == "lost"
        )


def test_a_cancel_tells_its_message_with_each_step_and_its_user() -> None:
    bench = Bench(plain(), plain()).submit().grant({1: 1}).run_all()

    bench.cancel("enough")

    for task, state in ((0, J.CANCELING), (1, T.CANCELING), (2, T.CANCELED)):
        event, change = told(bench, task, state)
        assert change.text == "enough"
        assert change.code
        assert event.actor == "ann"
    bench.stop(1)
    assert told(bench, 1, T.FAILED)[1].text == "enough"
    assert told(bench, 0, J.CANCELED)[1].text == "enough"


def test_success_and_the_way_there_say_nothing() -> None:
    bench = Bench(plain()).start()

    bench.end(1)

    assert bench.last is not None
    changes = [one for _, many in bench.last.turn.events for one in many]
    assert [one.text for one in changes] == [""] * len(changes)


def test_elements_with_different_reasons_give_none_for_all_of_them() -> None:
    bench = Bench(sweep(2)).start({1: 2})
    bench.cancel_tasks((1, 1), message="first")
    bench.cancel_tasks((1, 2), message="second")

    one, two = bench.ended(1, 1, code=143), bench.ended(1, 2, code=143)
    bench.report(1, one, two)

    assert bench.last is not None
    texts = [
        change.text
        for event, changes in bench.last.turn.events
        for change in changes
        if event.name is EventName.TASKS_ENDED and change.ranges
    ]
    assert texts == ["first", "second"]


def test_masters_of_sweeps_and_services_tell_each_state() -> None:
    for spec in (sweep(2), service(max_concurrent=2)):
        bench = Bench(spec).submit()
        assert told(bench, 1, T.QUEUED)[1].previous in {T.CONFIGURING, T.VALIDATING}
        bench.grant({1: 2}).run(1, 1)
        event, change = told(bench, 1, T.RUNNING)
        if change.ranges:
            changes = [c for _, many in bench.last.turn.events for c in many]  # type: ignore[union-attr]
            change = next(c for c in changes if c.task_id == 1 and not c.ranges)
        assert (change.previous, change.state) == (T.QUEUED, T.RUNNING)
        assert event.actor == "node:n1"


def test_a_rejected_job_says_what_was_wrong() -> None:
    bench = Bench(plain(depends_on=("x",), name="y")).submit()

    _, change = told(bench, 0, J.FAILED)
    assert change.code == -2147219929
    assert "x" in change.text
    assert "not valid" in told(bench, 1, T.FAILED)[1].text


def test_a_failed_job_and_one_over_its_limit_say_so() -> None:
    bench = Bench(plain(), runtime=10.0).start()

    bench.tick(60)

    assert "run-time limit" in told(bench, 0, J.CANCELING)[1].text
    assert told(bench, 0, J.CANCELING)[1].code == -2147218987
    failed = Bench(plain()).start().fail(1)
    assert told(failed, 0, J.FAILED)[1].text == "1 task failed"
