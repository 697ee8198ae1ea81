"""Filters, sort keys and field masks on the wire."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from hpcsched.api.v1 import job_service_pb2 as pb
from hpcsched.api.v1 import listing_pb2, node_service_pb2
from hpcsched.core.listing.conditions import Comparison
from tests.support.fake_front import FakeFront
from tests.support.served import refusal
from tests.support.views import job_view, node_view, task_view

GREATER = listing_pb2.FILTER_OPERATOR_GREATER_THAN


def a_filter(name: str, *values: str, operator: Any = 0) -> listing_pb2.Filter:
    return listing_pb2.Filter(property=name, operator=operator, values=values)


async def test_a_search_carries_conditions_order_and_place(
    jobs: Any, front: FakeFront
) -> None:
    found = [(job_view(job_id=n), (n * 10, n)) for n in (3, 2, 1)]
    front.answers["search_jobs"] = found
    request = pb.ListJobsRequest(
        filters=[a_filter("Priority", "5", operator=GREATER), a_filter("name", "x")],
        sort=[listing_pb2.SortKey(property="priority", descending=True)],
        page_size=2,
        owner="ann",
        ascending=True,
    )
    request.changed_since.FromSeconds(77)

    page = await jobs.ListJobs(request)

    search = front.last["search"]
    assert [(c.property.name, c.comparison, c.values) for c in search.conditions] == [
        ("priority", Comparison.GREATER, (5,)),
        ("name", Comparison.IN, ("x",)),
        ("change_time", Comparison.AT_LEAST, (77.0,)),
    ]
    assert (search.query.owner, search.descending_ids) == ("ann", False)
    assert (search.after, [job.id for job in page.jobs]) == (None, [3, 2])
    request.page_token = page.next_page_token
    await jobs.ListJobs(request)
    assert front.last["search"].after == (20, 2)


async def test_ones_own_jobs_are_found_without_a_name(
    jobs: Any, front: FakeFront
) -> None:
    front.answers["list_jobs"] = []

    await jobs.ListJobs(pb.ListJobsRequest(mine=True))

    assert front.last["query"].owner == "ann"
    refused = await refusal(jobs.ListJobs(pb.ListJobsRequest(mine=True, owner="bob")))
    assert (refused.reason, refused.facts["field"]) == ("INVALID_FIELD", "mine")


@pytest.mark.parametrize("call", ["jobs", "tasks", "nodes"])
async def test_a_bad_filter_is_refused_with_its_place(
    call: str, jobs: Any, nodes: Any, front: FakeFront
) -> None:
    good, bad = a_filter("name", "x"), a_filter("output", "x")
    calls = {
        "jobs": lambda *f: jobs.ListJobs(pb.ListJobsRequest(filters=f)),
        "tasks": lambda *f: jobs.ListTasks(pb.ListTasksRequest(job_id=1, filters=f)),
        "nodes": lambda *f: nodes.ListNodes(
            node_service_pb2.ListNodesRequest(filters=f)
        ),
    }

    error = await refusal(calls[call](good, bad))
    assert error.reason == "INVALID_FILTER_PROPERTY"
    error = await refusal(calls[call](good, a_filter("state", "odd")))
    assert (error.reason, error.facts["field"]) == ("INVALID_FIELD", "filters[1]")
    error = await refusal(calls[call](*[good] * 33))
    assert (error.reason, error.facts["field"]) == ("OUT_OF_RANGE", "filters")
    error = await refusal(calls[call](a_filter("name", "x", operator=99)))
    assert error.facts["field"] == "filters[0].operator"
    assert not front.calls


async def test_a_mask_leaves_only_its_fields(
    jobs: Any, nodes: Any, front: FakeFront
) -> None:
    view = job_view(job_id=3, name="run", counts={8: 2, 9: 1})
    front.answers["list_jobs"] = [view]
    front.answers["list_tasks"] = ([task_view(name="t")], "")
    front.answers["find_nodes"] = [node_view(name="n1")]
    mask = FieldMask(paths=["id", "task_counts.failed"])

    page = await jobs.ListJobs(pb.ListJobsRequest(read_mask=mask))
    tasks = await jobs.ListTasks(
        pb.ListTasksRequest(job_id=1, read_mask=FieldMask(paths=["name"]))
    )
    listed = await nodes.ListNodes(
        node_service_pb2.ListNodesRequest(read_mask=FieldMask(paths=["name"]))
    )

    (job,) = page.jobs
    assert [f.name for f, _ in job.ListFields()] == ["id", "task_counts"]
    assert [f.name for f, _ in job.task_counts.ListFields()] == ["failed"]
    assert [f.name for f, _ in tasks.tasks[0].ListFields()] == ["name"]
    assert [f.name for f, _ in listed.nodes[0].ListFields()] == ["name"]


@pytest.mark.parametrize(
    "path", ["none", "id.x", "task_counts.none", "", "tasks.a", "spec", "spec.runtime"]
)
async def test_a_mask_with_a_field_that_lists_have_not_is_refused(
    path: str, jobs: Any
) -> None:
    mask = FieldMask(paths=["id", path])

    error = await refusal(jobs.ListJobs(pb.ListJobsRequest(read_mask=mask)))

    assert (error.reason, error.facts["field"]) == ("INVALID_FIELD", "read_mask")


async def test_nodes_are_chosen_and_sorted_by_the_head(
    nodes: Any, front: FakeFront
) -> None:
    front.answers["find_nodes"] = [
        node_view(name=f"n{n}", node_id=n, cores=n % 3) for n in range(1, 7)
    ]
    request = node_service_pb2.ListNodesRequest(
        filters=[a_filter("cores", "0", operator=GREATER)],
        sort=[listing_pb2.SortKey(property="cores", descending=True)],
        page_size=3,
    )

    first = await nodes.ListNodes(request)
    request.page_token = first.next_page_token
    second = await nodes.ListNodes(request)

    assert [node.name for node in first.nodes] == ["n2", "n5", "n1"]
    assert [node.name for node in second.nodes] == ["n4"]
    assert not second.next_page_token
