"""What a job holds on a lost node (node_loss), and who may end that."""

from __future__ import annotations

from hpcsched.core.job import commands as c
from hpcsched.core.job.states import NodeLoss
from hpcsched.core.task.states import TaskState
from tests.support.job_bench import Bench, plain

S = TaskState


def test_what_is_held_on_a_lost_node_runs_again_when_its_owner_asks_for_it() -> None:
    bench = Bench(plain(), plain(), node_loss=NodeLoss.HOLD).start({1: 1})
    bench.lose(1)

    bench.requeue_tasks((1, 0))

    assert bench.state(1) is S.QUEUED
    assert bench.get("attempt", 1) == 2
    assert not bench.job.uses


def test_what_is_held_on_a_lost_node_runs_again_when_the_node_is_fenced() -> None:
    bench = Bench(plain(), plain(), node_loss=NodeLoss.HOLD).start({1: 1})
    bench.lose(1)
    bench.evict(1)  # as the node is taken offline with it

    bench.do(c.LoseNode(node_id=1, node="n1", fenced=True))

    assert bench.state(1) is S.QUEUED
    assert (bench.get("attempt", 1), bench.get("auto", 1)) == (2, 1)
    assert not bench.job.uses
