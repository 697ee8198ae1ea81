"""Orders are cut into frames that fit into a message."""

from __future__ import annotations

from hpcsched.core.orders import DefineTask, EndJob, Order, StartTasks
from hpcsched.runtime.frames import (
    CHARACTERS_PER_FRAME,
    ORDERS_PER_FRAME,
    frame_parts,
)


def test_many_small_orders_go_in_full_frames_and_in_order() -> None:
    orders = [EndJob(job_id=n) for n in range(2 * ORDERS_PER_FRAME + 1)]

    parts = list(frame_parts(orders))

    assert [len(part) for part in parts] == [ORDERS_PER_FRAME, ORDERS_PER_FRAME, 1]
    assert [order for part in parts for order in part] == orders


def test_large_orders_go_in_frames_of_their_own() -> None:
    size = CHARACTERS_PER_FRAME // 2
    orders: list[Order] = [
        DefineTask(job_id=1, task_id=1, definition=1, command_line="x" * size),
        DefineTask(job_id=1, task_id=2, definition=1, arguments=("x" * size,)),
        DefineTask(job_id=1, task_id=3, definition=1, environment={"A": "x" * size}),
        StartTasks(
            job_id=1,
            task_id=4,
            definition=1,
            instances=[1],
            attempts=[1],
            values=[1],
            lines=["x" * size],
        ),
        EndJob(job_id=1),
    ]

    assert [len(part) for part in frame_parts(orders)] == [2, 2, 1]


def test_nothing_is_no_frame() -> None:
    assert list(frame_parts([])) == []
