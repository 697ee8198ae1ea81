"""Work sent ahead of free cores is taken back when long tasks are before it."""

from __future__ import annotations

import pytest

from hpcsched.core.job import codes
from hpcsched.core.job.effects import effects_on_node
from hpcsched.core.job.events import EventName
from hpcsched.core.job.placing import AHEAD_LIMIT
from hpcsched.core.job.recalling import QUIET_S
from hpcsched.core.job.states import JobState
from hpcsched.core.job.ticking import next_tick
from hpcsched.core.orders import RecallTasks, StartTasks
from hpcsched.core.reports import EndDetail
from hpcsched.core.task.spec import TaskSpec
from hpcsched.core.task.states import EndReason, TaskState
from tests.support.job_bench import Bench, counts, plain, sweep

S = TaskState
BACK = EndDetail(message="was never started", code="recalled")


def crowded(*tasks: TaskSpec, **spec: object) -> Bench:
    """Return a job of which one node has more than it has cores for: two."""
    bench = Bench(*(tasks or (sweep(6),)), **spec).submit()  # type: ignore[arg-type]
    bench.job.mean_run = 0.001
    bench.grant({1: 2})
    bench.run(1, 1, core=0)
    return bench.run(1, 2, core=1)


def tick(bench: Bench) -> None:
    """Let the time come at which the job wants to be looked at."""
    due = next_tick(bench.job, bench.settings, bench.now)
    assert due is not None
    bench.tick(max(0.0, due - bench.now))


def recalled(bench: Bench) -> list[int]:
    return [i for _, order in bench.told(RecallTasks) for i in order.instances]


def give_back(bench: Bench, instance: int) -> None:
    reason = EndReason.NOT_STARTED
    bench.end(1, instance, reason=reason, code=-1, ran=False, detail=BACK)


def test_what_waits_on_a_node_without_news_for_a_second_is_asked_for() -> None:
    bench = crowded()
    assert counts(bench.job) == {"Running": 2, "Dispatching": 4}
    due = next_tick(bench.job, bench.settings, bench.now)
    assert due == bench.now + QUIET_S

    tick(bench)

    assert recalled(bench) == [3, 4, 5, 6]
    assert counts(bench.job) == {"Running": 2, "Dispatching": 4}
    assert next_tick(bench.job, bench.settings, bench.now) is None


def test_what_is_given_back_is_queued_as_another_attempt_and_nobodys_fault() -> None:
    bench = crowded(sweep(6, is_rerunnable=False))
    tick(bench)

    give_back(bench, 6)

    assert bench.state(1, 6) is S.QUEUED
    assert bench.get("attempt", 1, 6) == 2
    assert (bench.get("auto", 1, 6), bench.note(1, 6)) == (0, (0, ""))
    assert bench.state(1, 5) is S.DISPATCHING


def test_what_was_given_back_goes_to_free_cores_only() -> None:
    bench = crowded()
    tick(bench)
    for instance in (3, 4, 5, 6):
        give_back(bench, instance)
    assert counts(bench.job) == {"Running": 2, "Queued": 4}

    bench.grant({2: 3})

    assert counts(bench.job) == {"Running": 2, "Dispatching": 3, "Queued": 1}
    starts = [order for node, order in bench.told(StartTasks) if node == 2]
    assert [order.attempts for order in starts] == [[2, 2, 2]]


def test_what_has_started_meanwhile_just_runs() -> None:
    bench = crowded()
    tick(bench)

    bench.end(1, 1).run(1, 3, core=0).end(1, 3)

    assert bench.state(1, 3) is S.FINISHED
    assert bench.get("attempt", 1, 3) == 1


def test_news_of_the_node_puts_it_off() -> None:
    bench = crowded()
    bench.now += 0.8
    bench.end(1, 1)
    bench.tick(0.5)

    assert not recalled(bench)
    assert next_tick(bench.job, bench.settings, bench.now) == bench.now + 0.5


def test_while_there_is_more_to_send_nothing_is_taken_back() -> None:
    bench = crowded(sweep(2 * AHEAD_LIMIT))
    assert bench.job.counts[S.QUEUED]

    assert next_tick(bench.job, bench.settings, bench.now) is None
    bench.tick(5.0)
    assert not recalled(bench)


def test_a_node_with_room_for_all_that_was_sent_is_left_alone() -> None:
    bench = Bench(plain(), plain()).submit().grant({1: 4})

    assert next_tick(bench.job, bench.settings, bench.now) is None


def test_a_node_that_gives_back_what_it_was_not_asked_for_has_refused_it() -> None:
    bench = crowded()

    give_back(bench, 6)

    assert bench.get("auto", 1, 6) == 1
    assert codes.NODE_ERROR in {code for code, _ in bench.job.notes}


def test_a_node_that_comes_back_to_another_head_is_asked_again() -> None:
    bench = crowded()
    tick(bench)
    job = bench.watcher.stored()

    orders = effects_on_node(job, 1, bench.settings, bench.scene)
    starts = [i for o in orders if isinstance(o, StartTasks) for i in o.instances]
    asked = [i for o in orders if isinstance(o, RecallTasks) for i in o.instances]
    assert (sorted(starts), sorted(asked)) == ([3, 4, 5, 6], [3, 4, 5, 6])


def test_a_job_that_was_just_loaded_waits_for_its_second() -> None:
    bench = crowded()
    bench.job.uses[1].news = 0.0
    tick(bench)
    assert not recalled(bench)
    assert next_tick(bench.job, bench.settings, bench.now) == bench.now + QUIET_S

    tick(bench)
    assert recalled(bench) == [3, 4, 5, 6]


@pytest.mark.parametrize("force", [True, False])
def test_a_job_that_is_canceled_meanwhile_ends(force: bool) -> None:
    bench = crowded()
    tick(bench)
    bench.cancel(force=force)

    for instance in (3, 4, 5, 6):
        give_back(bench, instance)
        assert bench.state(1, instance) is S.CANCELED
    bench.end_all()
    assert bench.stands(JobState.CANCELED)


def test_watchers_hear_of_it_when_it_is_queued_again() -> None:
    bench = crowded()
    tick(bench)
    assert bench.last is not None
    events = bench.last.turn.events
    assert [(e.name, changes) for e, changes in events] == [
        (EventName.TASKS_RECALLED, [])
    ]
