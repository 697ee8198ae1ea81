"""Events of jobs that are alike are told as any others are."""

from __future__ import annotations

import pytest

from hpcsched.core.views import ChangeView, EventView
from hpcsched.runtime.front import WatchItem
from hpcsched.services.convert_event import event_message, watch_responses


def pattern(name: str, changes: tuple[ChangeView, ...]) -> EventView:
    view = EventView(
        seq=7,
        job_id=3,
        revision=4,
        time=1_700_000_000.25,
        owner="ann",
        name=name,
        actor="ann",
        changes=changes,
        message="why",
    )
    view.is_pattern()
    return view


def change(task_id: int, state: int) -> ChangeView:
    return ChangeView(task_id=task_id, elements=(), state=state, previous_state=1)


@pytest.mark.parametrize("jobs_only", [False, True])
def test_an_event_of_one_of_many_is_the_message_that_it_would_be_alone(
    jobs_only: bool,
) -> None:
    both = (change(0, 5), change(1, 4))
    patterns = [pattern("JobStarted", both), pattern("TasksEnded", both)]
    patterns.append(pattern("JobEnded", (change(0, 8),)))
    views = [
        one.again(1000 * number + at, 50 + number, float(number) + at / 8)
        for number in range(40)
        for at, one in enumerate(patterns)
    ]
    if jobs_only:
        views = [part for view in views if (part := view.of_job()) is not None]

    (message,) = watch_responses(WatchItem(seq=views[-1].seq, events=tuple(views)))

    assert list(message.events) == [event_message(view) for view in views]
