"""Lists come in pages that join to the whole, each small enough for any client."""

from __future__ import annotations

from typing import Any

import pytest

from hpcsched.api.v1 import (
    accounting_service_pb2,
    accounting_service_pb2_grpc,
    node_service_pb2,
)
from hpcsched.api.v1 import job_service_pb2 as pb
from hpcsched.services.cursors import Pages
from hpcsched.services.limits import MAX_PAGE_BYTES
from tests.support.fake_front import FakeFront
from tests.support.served import refusal
from tests.support.views import job_view, node_view, task_view


async def test_pages_of_jobs_join_to_the_whole_list(
    jobs: Any, front: FakeFront
) -> None:
    views = [job_view(job_id=n) for n in range(9, 0, -1)]

    def listed(query: Any, **_: object) -> Any:
        after = query.after_id or 99
        return [view for view in views if view.job_id < after][: query.limit]

    front.answers["list_jobs"] = listed
    seen, token = [], ""
    while True:
        request = pb.ListJobsRequest(page_size=4, page_token=token, owner="ann")
        page = await jobs.ListJobs(request)
        seen.append([job.id for job in page.jobs])
        token = page.next_page_token
        if not token:
            break

    assert seen == [[9, 8, 7, 6], [5, 4, 3, 2], [1]]


@pytest.mark.parametrize("change", ["owner", "ascending", "garbage", "other call"])
async def test_a_page_token_of_another_query_is_refused(
    change: str, jobs: Any, front: FakeFront
) -> None:
    front.answers["list_jobs"] = [job_view(job_id=n) for n in (3, 2, 1)]
    front.answers["list_tasks"] = ([task_view()], "1.0")
    page = await jobs.ListJobs(pb.ListJobsRequest(page_size=2))
    token = page.next_page_token
    assert token
    front.calls.clear()

    call = {
        "owner": lambda: jobs.ListJobs(pb.ListJobsRequest(page_token=token, owner="b")),
        "ascending": lambda: jobs.ListJobs(
            pb.ListJobsRequest(page_token=token, ascending=True)
        ),
        "garbage": lambda: jobs.ListJobs(pb.ListJobsRequest(page_token="ü" + token)),
        "other call": lambda: jobs.ListTasks(
            pb.ListTasksRequest(job_id=1, page_token=token)
        ),
    }[change]()
    error = await refusal(call)

    assert error.reason == "PAGE_TOKEN_INVALID"
    assert not front.calls


async def test_a_page_size_may_change_from_page_to_page(
    jobs: Any, front: FakeFront
) -> None:
    front.answers["list_jobs"] = [job_view(job_id=n) for n in (3, 2, 1)]
    token = (await jobs.ListJobs(pb.ListJobsRequest(page_size=2))).next_page_token

    await jobs.ListJobs(pb.ListJobsRequest(page_size=1, page_token=token))

    assert front.last["query"].after_id == 2


async def test_a_page_of_large_jobs_is_cut_to_what_any_client_takes(
    jobs: Any, front: FakeFront
) -> None:
    large = {"text": "x" * 100_000}
    front.answers["list_jobs"] = [
        job_view(job_id=n, custom_properties=large) for n in range(100, 0, -1)
    ]

    page = await jobs.ListJobs(pb.ListJobsRequest(page_size=100))

    assert 1 < len(page.jobs) < 100
    assert page.ByteSize() <= MAX_PAGE_BYTES + 1000
    await jobs.ListJobs(pb.ListJobsRequest(page_token=page.next_page_token))
    assert front.last["query"].after_id == page.jobs[-1].id


async def test_a_page_of_large_tasks_is_cut_where_the_next_one_begins(
    jobs: Any, front: FakeFront
) -> None:
    views = [task_view(task_id=n, output="x" * 4096) for n in range(1, 2001)]

    def listed(page: Any, **_: object) -> Any:
        part = [view for view in views if view.task_id > int(page.token or 0)]
        more = len(part) > page.limit
        part = part[: page.limit]
        return part, str(part[-1].task_id) if more else ""

    front.answers["list_tasks"] = listed
    seen, token = [], ""
    while True:
        request = pb.ListTasksRequest(job_id=1, page_size=10_000, page_token=token)
        page = await jobs.ListTasks(request)
        assert page.ByteSize() <= MAX_PAGE_BYTES + 1000
        seen += [task.task_id for task in page.tasks]
        token = page.next_page_token
        if not token:
            break

    assert seen == list(range(1, 2001))


async def test_pages_of_nodes_join_to_the_whole_list(
    nodes: Any, front: FakeFront
) -> None:
    front.answers["find_nodes"] = [node_view(name=f"n{n}") for n in range(1, 6)]
    request = node_service_pb2.ListNodesRequest

    first = await nodes.ListNodes(request(page_size=3))
    rest = await nodes.ListNodes(request(page_token=first.next_page_token))

    assert [node.name for node in first.nodes] == ["n1", "n2", "n3"]
    assert [node.name for node in rest.nodes] == ["n4", "n5"]
    assert rest.next_page_token == ""


@pytest.mark.parametrize(
    "position", ["9" * 20, "9" * 5000, str(1 << 63), "-1", "1.5", "\N{SUPERSCRIPT TWO}"]
)
async def test_a_position_that_no_store_takes_is_refused_in_every_list(
    jobs: Any, served: Any, position: str
) -> None:
    accounts = served.stub(accounting_service_pb2_grpc.AccountingServiceStub)
    listed = pb.ListJobsRequest()
    listed.page_token = Pages(listed).encode(position)
    history = accounting_service_pb2.ListJobHistoryRequest()
    history.page_token = Pages(history).encode(f"1.5,{position}")
    nodes = accounting_service_pb2.ListNodeHistoryRequest()
    nodes.page_token = Pages(nodes).encode(position)
    for call in (
        jobs.ListJobs(listed),
        accounts.ListJobHistory(history),
        accounts.ListNodeHistory(nodes),
    ):
        assert (await refusal(call)).reason == "PAGE_TOKEN_INVALID"


async def test_a_page_token_does_not_mind_which_fields_are_asked_for(
    jobs: Any, front: FakeFront
) -> None:
    front.answers["list_jobs"] = [job_view(job_id=n) for n in (3, 2, 1)]
    first = pb.ListJobsRequest(page_size=2)
    first.read_mask.paths.append("name")
    token = (await jobs.ListJobs(first)).next_page_token

    page = await jobs.ListJobs(pb.ListJobsRequest(page_size=2, page_token=token))

    assert page.jobs
