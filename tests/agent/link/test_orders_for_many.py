"""An order for several jobs means what so many orders for one would have meant."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hpcsched.agent.v1 import agent_service_pb2 as pb
from hpcsched.core import orders as o
from hpcsched.core.job.environment import one_by_one
from hpcsched.services.convert_order import order_message
from node_agent.core.orders import EndJobs, StartAlike
from node_agent.link.convert import head_frame
from node_agent.link.read_orders import MOST_STARTS

if TYPE_CHECKING:
    from node_agent.core.orders import Order

NAMED = {"CCP_JOBID": "7", "CCP_TASKSYSTEMID": "7.1", "CCP_TASKCONTEXT": "7.1"}
ALIKE = o.StartAlike(
    job_ids=(7, 9, 12),
    grant=o.SetGrant(job_id=7, cores=(0, 3)),
    define=o.DefineTask(
        job_id=7,
        task_id=1,
        definition=2,
        arguments=("/bin/echo", "7", "7.1"),
        environment={"A": "7", "CCP_NUMCPUS": "1", **NAMED},
        owner="ann",
    ),
    start=o.StartTasks(
        job_id=7, task_id=1, definition=2, instances=[0], attempts=[3], values=[0]
    ),
)


def read(*orders: o.Order) -> list[Order]:
    """Return what the agent reads of orders that the head sends."""
    messages = map(order_message, orders)
    frame = head_frame(pb.ConnectResponse(seq=1, orders=messages))
    assert not frame.problems
    return list(frame.orders)


def test_a_start_of_many_means_what_one_order_for_each_would_have_meant() -> None:
    (whole,) = read(ALIKE)
    alone = read(*one_by_one(ALIKE))

    assert isinstance(whole, StartAlike)
    assert list(whole.one_by_one()) == alone
    assert len(alone) == 9


def test_an_end_of_many_names_each_of_them() -> None:
    assert read(o.EndJobs(job_ids=(3, 5, 4))) == [EndJobs(job_ids=(3, 5, 4))]


def test_a_job_that_is_named_twice_is_started_once() -> None:
    (whole,) = read(replace(ALIKE, job_ids=(7, 9, 7)))

    assert isinstance(whole, StartAlike)
    assert whole.job_ids == (7, 9)


def test_starts_of_many_count_for_the_limit_of_a_frame() -> None:
    count = MOST_STARTS // 2 + 1
    start = replace(ALIKE.start, instances=(1, 2), attempts=(1, 1), values=(0, 0))
    many = replace(ALIKE, job_ids=tuple(range(1, count + 1)), start=start)
    frame = head_frame(pb.ConnectResponse(seq=1, orders=[order_message(many)]))

    assert not frame.orders
    assert str(MOST_STARTS) in frame.problems[0]


def test_each_of_them_knows_its_own_number_and_no_other() -> None:
    definitions = [one for one in one_by_one(ALIKE) if isinstance(one, o.DefineTask)]

    assert [one.environment["CCP_JOBID"] for one in definitions] == ["7", "9", "12"]
    assert [one.environment["CCP_TASKCONTEXT"] for one in definitions] == [
        *("7.1", "9.1", "12.1")
    ]
    assert {one.environment["A"] for one in definitions} == {"7"}
    assert {one.arguments for one in definitions} == {ALIKE.define.arguments}
