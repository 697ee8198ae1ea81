"""Accounting: what a job held and used, and how it ended (properties.md 10)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hpcsched.core.job import commands as c
from hpcsched.core.job.accounting import JobEnd, decode_end, encode_end
from hpcsched.core.job.states import JobState, JobType
from hpcsched.core.settings import Settings
from tests.support.job_bench import ANN, ROOT, Bench, plain, sweep

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcsched.core.job.decide import Decision


class Books:
    """A bench, and the rows that its turns lead to."""

    def __init__(self, *tasks: Any, **spec: Any) -> None:
        self.rows: list[JobEnd] = []
        self.held: list[tuple[int, tuple[int, ...], float, float]] = []
        self.bench = Bench(*tasks, **spec)
        took = self.bench._took

        def also(decision: Decision) -> None:
            took(decision)
            self.rows += decision.turn.ends
            self.held += [
                (one.node_id, one.cores, one.start, one.end)
                for one in decision.turn.held
            ]

        self.bench._took = also  # type: ignore[method-assign]

    def after(self, seconds: float) -> Bench:
        self.bench.now += seconds
        return self.bench

    @property
    def ends(self) -> Sequence[tuple[int, str]]:
        return [(row.requeue_id, row.state.label) for row in self.rows]


def test_a_row_each_time_a_job_reaches_a_terminal_state() -> None:
    """The example of the reference: submit and cancel, fail, finish: three rows."""
    books = Books(plain())
    books.bench.submit().cancel("enough")
    books.bench.requeue()
    books.bench.grant().run_all().fail(1)
    books.bench.requeue()
    books.bench.grant().run_all().end_all()

    assert books.ends == [(0, "Canceled"), (1, "Failed"), (2, "Finished")]


def test_a_job_that_was_canceled_before_it_started_started_when_it_ended() -> None:
    books = Books(plain(), name="n", can_preempt=True)
    books.bench.submit()
    books.after(5).cancel("enough", caller=ROOT)

    (row,) = books.rows
    assert (row.submit_time, row.start_time, row.event_time) == (100.0, 105.0, 105.0)
    assert (row.user_ms, row.kernel_ms, row.core_ms) == (0, 0, 0)
    assert row.wait_ms == 5000
    assert row.canceled_by == "root"
    assert (row.tasks, row.canceled_tasks) == (1, 1)
    assert (row.name, row.preemptable, row.error_message) == ("n", True, "enough")


def test_a_draft_that_is_canceled_has_no_history() -> None:
    books = Books(plain())
    books.bench.cancel()

    assert books.bench.stands(JobState.CANCELED)
    assert books.rows == []


def test_a_job_that_fails_its_validation_has_history() -> None:
    books = Books(plain("a", depends_on=("nobody",)))
    books.bench.submit()

    assert books.ends == [(0, "Failed")]


def test_a_run_time_limit_is_nobodys_cancel() -> None:
    books = Books(plain(), runtime=10.0)
    books.bench.start()
    books.bench.tick(11)
    books.bench.end_all()

    assert books.ends == [(0, "Canceled")]
    assert books.rows[0].canceled_by == ""


def test_cores_are_charged_from_grant_to_giving_back() -> None:
    books = Books(sweep(3))
    books.bench.submit().grant({1: 2, 2: 1}).run_all()
    books.after(10).end_all()

    assert sorted(books.held) == [(1, (0, 1), 100.0, 110.0), (2, (0,), 100.0, 110.0)]
    (row,) = books.rows
    assert row.core_ms == 30_000
    assert books.bench.job.books.core_ms == 30_000


def test_what_a_node_holds_for_a_job_is_told_apart_when_it_changes() -> None:
    books = Books(sweep(4), settings=Settings(shrink=False))
    books.bench.submit().grant({1: 1}).run_all()
    books.after(10).grant({1: 3})
    books.bench.run_all()
    books.after(1).end_all()

    assert books.held[0] == (1, (0,), 100.0, 110.0)
    assert books.rows[0].core_ms == sum(
        round((end - start) * 1000) * len(cores) for _, cores, start, end in books.held
    )


def test_what_a_job_did_not_keep_for_a_moment_is_no_row() -> None:
    books = Books(plain())
    books.bench.submit().grant({1: 1, 2: 1}).run_all()

    assert books.held == []


def test_each_round_is_charged_for_itself() -> None:
    books = Books(plain())
    books.bench.submit().grant({1: 1}).run_all()
    books.after(10).fail(1)
    books.bench.requeue()
    books.bench.grant({1: 1}).run_all()
    books.after(5).end_all()

    assert [row.core_ms for row in books.rows] == [10_000, 5_000]


def test_a_clock_that_was_set_back_charges_nothing() -> None:
    books = Books(plain())
    books.bench.submit().grant({1: 1}).run_all()
    books.after(-50).end_all()

    assert books.rows[0].core_ms == 0
    ((_, _, start, end),) = books.held
    assert start == end


def test_commands_are_in_the_books_and_hold_no_core() -> None:
    books = Books(plain(node="n4", is_rerunnable=False), job_type=JobType.ADMIN)
    books.bench.do(c.StartCommand(caller=ROOT, nodes={1: 4}))
    books.bench.run_all().end_all()

    assert books.held == [(4, (), 100.0, 100.0)]
    assert books.rows[0].job_type == "Admin"


def test_a_job_that_goes_back_to_the_queue_by_itself_has_no_row_yet() -> None:
    books = Books(plain())
    books.bench.submit().grant({1: 1}).run_all()
    books.after(10).lose(1)

    assert books.bench.stands(JobState.QUEUED)
    assert books.rows == []
    assert books.held == [(1, (0,), 100.0, 110.0)]
    books.bench.grant({2: 1}).run_all()
    books.after(1).end_all()
    assert [row.core_ms for row in books.rows] == [11_000]


@pytest.mark.parametrize(
    "end",
    [
        JobEnd(requeue_id=0, state=JobState.FINISHED, event_time=1.5),
        JobEnd(
            requeue_id=3,
            state=JobState.CANCELED,
            event_time=1.5,
            name="é",
            priority=2000,
            submit_time=0.5,
            tasks=10**6,
            user_ms=2**40,
            canceled_by="ann",
        ),
    ],
)
def test_an_end_is_read_as_it_was_written(end: JobEnd) -> None:
    again = decode_end(end.requeue_id, int(end.state), end.event_time, encode_end(end))

    assert again == end


def test_a_job_counts_among_the_ended_only_while_it_has_ended() -> None:
    bench = Bench(plain()).submit()
    assert bench.last is not None
    assert bench.last.turn.ended_counts is None
    bench.cancel()

    decision = bench.requeue(ANN)

    assert decision.turn.ended_counts is not None
    assert sum(decision.turn.ended_counts) == 1
