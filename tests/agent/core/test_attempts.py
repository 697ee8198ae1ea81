"""The table of attempts."""

from __future__ import annotations

from node_agent.core.attempts import MOST_ENDED, Attempts, Ended, Live
from node_agent.core.reports import End

KEY = (1, 2, 3, 4)


def running(attempts: Attempts, key: tuple[int, int, int, int] = KEY) -> None:
    attempts.start(key, 5.0, (1,), "/out", "/err")


def test_an_attempt_waits_runs_and_ends() -> None:
    attempts = Attempts()
    attempts.order(KEY, 7, 30)
    assert (attempts.queued, attempts.running) == (1, 0)
    running(attempts)
    running(attempts)
    assert (attempts.queued, attempts.running) == (0, 1)
    live = attempts.live(KEY)
    assert live is not None
    assert (live.definition, live.value, live.out_path) == (7, 30, "/out")
    attempts.end(KEY, Ended(out_bytes=5))

    assert (attempts.queued, attempts.running) == (0, 0)
    assert attempts.live(KEY) is None
    assert attempts.ended(KEY) == Ended(out_bytes=5)


def test_an_order_that_comes_again_after_the_end_revives_nothing() -> None:
    attempts = Attempts()
    attempts.end(KEY, Ended())
    attempts.order(KEY, 7, 30)

    assert attempts.queued == 0


def test_a_refusal_is_the_fate_of_an_attempt_that_only_waited() -> None:
    attempts = Attempts()
    attempts.order(KEY, 7, 30)
    assert attempts.refuse(KEY)
    assert attempts.queued == 0
    running(attempts)
    assert not attempts.refuse(KEY)
    attempts.end(KEY, Ended())
    assert not attempts.refuse(KEY)


def test_the_supervisors_inventory_replaces_ours_and_keeps_definitions() -> None:
    attempts = Attempts()
    attempts.order(KEY, 7, 30)
    attempts.order((9, 9, 9, 9), 1, 1)
    attempts.replace([(KEY, Live(running=True, start_time=5.0))])

    assert (attempts.queued, attempts.running) == (0, 1)
    live = attempts.live(KEY)
    assert live is not None
    assert (live.definition, live.value) == (7, 30)


def test_an_end_that_the_head_may_not_know_stands_in_the_inventory_once() -> None:
    attempts = Attempts()
    running(attempts)
    other = (1, 2, 4, 4)
    ends = [End(key, 1, 0, 5.0, 6.0, -1, 1, 2, 3) for key in (KEY, other, other)]

    assert [line.key for line in attempts.inventory(ends)] == [KEY, other]


def test_memory_of_ended_attempts_is_bounded() -> None:
    attempts = Attempts()
    for instance in range(MOST_ENDED + 10):
        attempts.end((1, 1, instance, 1), Ended())

    assert attempts.ended((1, 1, 9, 1)) is None
    assert attempts.ended((1, 1, 10, 1)) == Ended()
