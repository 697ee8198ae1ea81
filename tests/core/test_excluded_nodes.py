"""Nodes that a job may not use any more (api.md 4, T24, T25)."""

from __future__ import annotations

from typing import Any

import pytest

from hpcsched.core.job import codes
from hpcsched.core.job import commands as c
from hpcsched.core.job.excluding import excluded_nodes
from hpcsched.core.job.states import JobState, NodeGroupOp, UnitType
from hpcsched.core.orders import StopTasks
from hpcsched.core.scheduling.snapshot import NodeFree
from hpcsched.core.settings import Settings
from hpcsched.core.task.states import TaskState
from tests.support.inventory import Nodes
from tests.support.job_bench import ANN, BOB, ROOT, Bench, plain, sweep

S = TaskState


def cluster(count: int = 4, cores: int = 2, **groups: str) -> Nodes:
    """Return n1 … with groups by name."""
    return Nodes(
        *(
            NodeFree(
                n, f"n{n}", cores, groups=frozenset(groups.get(f"n{n}", "").split())
            )
            for n in range(1, count + 1)
        )
    )


def exclude(bench: Bench, *names: str, caller: Any = ANN, **how: Any) -> None:
    bench.do(c.ExcludeNodes(caller=caller, add=names, **how))


def a_job(*tasks: Any, **fields: Any) -> Bench:
    fields.setdefault("inventory", cluster())
    return Bench(*(tasks or (sweep(4),)), **fields)


def test_nodes_are_excluded_and_allowed_again() -> None:
    bench = a_job(excluded_nodes=("n1",)).submit()

    exclude(bench, "n2", "n3")
    assert excluded_nodes(bench.job) == ("n1", "n2", "n3")
    bench.do(c.ExcludeNodes(caller=ROOT, remove=("n1", "n3", "n4")))
    assert excluded_nodes(bench.job) == ("n2",)
    bench.do(c.ExcludeNodes(caller=ANN, clear=True))
    assert excluded_nodes(bench.job) == ()


def test_what_changes_nothing_is_no_event() -> None:
    bench = a_job(excluded_nodes=("n1",)).submit()
    before = bench.job.revision

    exclude(bench, "n1", "n1")
    bench.do(c.ExcludeNodes(caller=ANN, remove=("n2",)))

    assert bench.job.revision == before


def test_a_node_whose_preparation_failed_is_in_the_list_and_can_be_allowed() -> None:
    bench = a_job().submit()
    bench.job.excluded = ("n2",)
    bench.watcher.shadow.excluded = ("n2",)

    exclude(bench, "n1")
    assert excluded_nodes(bench.job) == ("n1", "n2")
    bench.do(c.ExcludeNodes(caller=ANN, remove=("n2",)))
    assert excluded_nodes(bench.job) == ("n1",)


REFUSED: list[tuple[dict[str, Any], dict[str, Any], str, int]] = [
    ({}, {"add": ("n1", "n9")}, "EXCLUDED_NODE_UNKNOWN", -2147220885),
    ({}, {"remove": ("n9",)}, "EXCLUDED_NODE_UNKNOWN", -2147220885),
    (
        {"settings": Settings(excluded_limit=2), "excluded_nodes": ("n1",)},
        {"add": ("n2", "n3")},
        "TOO_MANY_EXCLUDED_NODES",
        -2147220782,
    ),
    (
        {"min_cores": 7},
        {"add": ("n1",)},
        "EXCLUDED_TOO_MANY_NODES",
        -2147220886,
    ),
    (
        {"min_nodes": 2, "unit_type": UnitType.NODE, "requested_nodes": ("n1", "n2")},
        {"add": ("n2",)},
        "EXCLUDED_TOO_MANY_NODES",
        -2147220886,
    ),
    ({}, {"add": ("n1",), "caller": BOB}, "PERMISSION_DENIED", -2147220981),
]


@pytest.mark.parametrize(("fields", "change", "reason", "number"), REFUSED)
def test_what_may_not_be_excluded_leaves_the_list_as_it_is(
    fields: dict[str, Any], change: dict[str, Any], reason: str, number: int
) -> None:
    bench = a_job(**fields).submit()
    before = excluded_nodes(bench.job)

    refused = bench.refused(c.ExcludeNodes(**{"caller": ANN, **change}))

    assert (refused.reason, refused.hresult) == (reason, number)
    assert excluded_nodes(bench.job) == before


def test_a_node_that_a_task_requires_cannot_be_excluded() -> None:
    bench = a_job(plain(required_nodes=("n2",)), min_cores=1, max_cores=1).submit()

    refused = bench.refused(c.ExcludeNodes(caller=ANN, add=("n2",)))

    assert (refused.reason, refused.hresult) == ("EXCLUDED_NODE_REQUIRED", -2147220887)
    assert refused.facts["task"] == "7.1"


def test_a_job_that_no_cluster_of_this_size_can_run_may_still_exclude_nodes() -> None:
    bench = a_job(min_cores=99).submit()

    exclude(bench, "n1")

    assert excluded_nodes(bench.job) == ("n1",)


def test_only_a_job_that_has_not_ended_can_be_told() -> None:
    bench = a_job(plain())
    exclude(bench, "n4")
    bench.submit()
    exclude(bench, "n3")
    bench.grant({1: 1})
    bench.run_all()
    exclude(bench, "n2")
    bench.cancel()
    bench.do(c.ExcludeNodes(caller=ANN, clear=True))
    bench.end_all()

    refused = bench.refused(c.ExcludeNodes(caller=ANN, add=("n1",)))

    assert refused.reason == "INVALID_EXCLUSION_STATE"
    assert refused.hresult == -2147220884


@pytest.mark.parametrize(("rerunnable", "end"), [(True, S.QUEUED), (False, S.FAILED)])
def test_what_runs_on_an_excluded_node_is_stopped_then_queued_or_failed(
    rerunnable: bool, end: TaskState
) -> None:
    bench = a_job(plain(is_rerunnable=rerunnable), plain())
    bench.start({1: 1, 2: 1})

    exclude(bench, "n1")

    assert bench.state(1) == S.CANCELING
    assert [node for node, _ in bench.told(StopTasks)] == [1]
    assert bench.state(2) == S.RUNNING
    bench.stop(1)
    assert bench.state(1) == end
    assert 1 not in bench.job.uses
    if end is S.FAILED:
        assert bench.note(1) == (
            codes.NODE_NOT_USABLE,
            "node n1 was excluded from the job",
        )


def test_a_job_that_loses_all_its_nodes_this_way_waits_for_others_unpunished() -> None:
    bench = a_job(plain(), settings=Settings(job_retries=0))
    bench.start({1: 1})

    exclude(bench, "n1")
    bench.stop(1)

    assert bench.stands(JobState.QUEUED)
    assert bench.job.auto_requeue_count == 0
    bench.grant({2: 1})
    assert bench.stands(JobState.RUNNING)


def test_a_grant_that_was_under_way_gives_no_excluded_node() -> None:
    bench = a_job(sweep(2)).submit()
    exclude(bench, "n1")

    bench.grant({1: 1, 2: 1})
    assert bench.stands(JobState.QUEUED)
    bench.grant({2: 1})
    bench.grant({1: 1})

    assert list(bench.job.uses) == [2]


OPS = [
    (NodeGroupOp.INTERSECT, "a b", "a", True),
    (NodeGroupOp.INTERSECT, "a b", "a b c", False),
    (NodeGroupOp.UNION, "a b", "b", False),
    (NodeGroupOp.UNION, "a b", "c", True),
    (NodeGroupOp.UNIFORM, "a b", "b", True),
    (NodeGroupOp.UNIFORM, "a b", "a", False),
]


@pytest.mark.parametrize(("op", "wanted", "left", "leaves"), OPS)
def test_a_node_that_leaves_the_groups_of_a_job_is_left(
    op: NodeGroupOp, wanted: str, left: str, leaves: bool
) -> None:
    both = "a" if op is NodeGroupOp.UNIFORM else "a b"
    bench = a_job(
        plain(),
        plain(),
        inventory=cluster(n1="a b", n2=both),
        node_groups=tuple(wanted.split()),
        node_group_op=op,
    )
    bench.start({1: 1, 2: 1})
    bench.inventory = cluster(n1=left, n2=both)

    bench.do(c.ReviewNodes(node_id=1, node="n1"))

    assert (bench.state(1) == S.CANCELING) == leaves
    assert bench.state(2) == S.RUNNING
