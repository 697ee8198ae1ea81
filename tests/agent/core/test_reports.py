"""Many reports become few columns, and nothing gets mixed up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hpcsched.api.v1 import task_pb2
from node_agent.core.reports import (
    END_REASONS,
    Detail,
    End,
    EndColumns,
    LivedColumns,
    Start,
    StartColumns,
    in_columns,
)


def end(job: int, task: int, instance: int, attempt: int = 1, **texts: object) -> End:
    key = (job, task, instance, attempt)
    return End(key, 1, instance % 7, 5.0, 6.0, 0, 1, 2, 3, **texts)  # type: ignore[arg-type]


def start(job: int, task: int, instance: int, attempt: int = 1) -> Start:
    return Start((job, task, instance, attempt), 5.0, 0, instance)


def test_starts_come_before_ends_and_tasks_in_order_of_their_first_report() -> None:
    columns = in_columns(
        [start(2, 1, 1), end(2, 1, 1), start(1, 1, 1), start(2, 1, 2), end(1, 1, 1)]
    )

    kinds = [
        (type(c), c.job_id, list(c.instances))
        for c in columns
        if not isinstance(c, LivedColumns)
    ]
    assert kinds == [
        (StartColumns, 2, [2]),
        (EndColumns, 2, [1]),
        (EndColumns, 1, [1]),
    ]


def test_only_attempts_with_texts_have_details() -> None:
    (columns,) = in_columns([end(1, 1, 1), end(1, 1, 2, output=b"x"), end(1, 1, 3)])

    assert isinstance(columns, EndColumns)
    assert columns.details == (Detail(1, b"x", "", ""),)


def test_processes_of_several_cores_name_them_where_they_do_not_follow() -> None:
    some = [
        start(1, 1, 1),
        start(1, 1, 2)._replace(core=2, cores=(2, 3)),
        start(1, 1, 3)._replace(core=4, cores=(4, 7, 8)),
    ]
    (columns,) = in_columns(some)
    assert isinstance(columns, StartColumns)
    assert (list(columns.counts), columns.sets) == ([1, 2, 3], {2: (4, 7, 8)})
    (columns,) = in_columns(some[:1])
    assert isinstance(columns, StartColumns)
    assert (list(columns.counts), columns.sets) == ([], {})


tasks = st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(0, 9))


@given(st.lists(st.tuples(tasks, st.booleans())))
def test_columns_hold_every_report_once_in_the_order_of_its_task(
    story: list[tuple[tuple[int, int, int], bool]],
) -> None:
    reports = [end(*task) if ended else start(*task) for task, ended in story]
    columns = in_columns(reports)

    over = {r.key for r in reports if isinstance(r, End) and r.start}
    told = [r for r in reports if isinstance(r, End) or r.key not in over]
    for kind, cls in ((End, EndColumns), (Start, StartColumns)):
        for job in range(1, 4):
            for task in range(1, 4):
                mine = [
                    r.key[2]
                    for r in told
                    if isinstance(r, kind) and r.key[:2] == (job, task)
                ]
                found = [
                    list(c.instances)
                    for c in columns
                    if isinstance(c, cls) and (c.job_id, c.task_id) == (job, task)
                ]
                assert found == ([mine] if mine else [])


def test_reasons_have_the_numbers_of_the_protocol() -> None:
    prefix = "END_REASON_"
    numbers = {
        name.removeprefix(prefix): number
        for name, number in task_pb2.EndReason.items()
        if number
    }

    assert dict(END_REASONS) == numbers


def test_plain_tasks_of_several_jobs_that_ended_well_are_told_of_together() -> None:
    well = [end(job, 1, 0, attempt=job) for job in (5, 3, 4)]
    others = [
        end(6, 1, 0, output=b"x"),
        end(7, 1, 2),
        end(8, 1, 0)._replace(exit_code=1),
        end(9, 1, 0)._replace(core=0, cores=(0, 1)),
        end(10, 1, 0)._replace(reason=END_REASONS["NOT_STARTED"], start=0.0),
    ]
    twice = [end(11, 1, 0), end(11, 1, 0, attempt=2)]
    alone = [end(12, 2, 0)]

    *rest, lived = in_columns([*well, *others, *twice, *alone], lived=True)

    assert isinstance(lived, LivedColumns)
    assert (lived.task_id, list(lived.jobs)) == (1, [5, 3, 4])
    assert list(lived.attempts) == [5, 3, 4]
    told = [c.job_id for c in rest if isinstance(c, EndColumns)]
    assert told == [6, 7, 8, 9, 10, 11, 12]


def test_no_head_is_told_of_them_together_that_does_not_take_it() -> None:
    columns = in_columns([end(1, 1, 0), end(2, 1, 0)])
    assert [type(one) for one in columns] == [EndColumns, EndColumns]
