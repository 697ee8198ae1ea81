"""An order for several jobs means what so many orders for one would have meant."""

from __future__ import annotations

import pytest

from hpcsched.agent.v1 import agent_service_pb2 as pb
from hpcsched.core import orders as o
from hpcsched.core.job.environment import one_by_one
from hpcsched.services.convert_order import order_message
from node_agent.link.convert import head_frame

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


@pytest.mark.parametrize("order", [ALIKE, o.EndJobs(job_ids=(3, 5, 4))])
def test_it_is_read_as_one_order_for_each(order: o.StartAlike | o.EndJobs) -> None:
    whole = head_frame(pb.ConnectResponse(seq=1, orders=[order_message(order)]))
    parts = map(order_message, one_by_one(order))
    alone = head_frame(pb.ConnectResponse(seq=1, orders=parts))

    assert not whole.problems
    assert list(whole.orders) == list(alone.orders)
    assert len(whole.orders) in {3, 9}


def test_each_of_them_knows_its_own_number_and_no_other() -> None:
    definitions = [one for one in one_by_one(ALIKE) if isinstance(one, o.DefineTask)]

    assert [one.environment["CCP_JOBID"] for one in definitions] == ["7", "9", "12"]
    assert [one.environment["CCP_TASKCONTEXT"] for one in definitions] == [
        *("7.1", "9.1", "12.1")
    ]
    assert {one.environment["A"] for one in definitions} == {"7"}
    assert {one.arguments for one in definitions} == {ALIKE.define.arguments}
