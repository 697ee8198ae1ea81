"""Accounting over the wire: pages, conditions, refusals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hpcsched.api.v1 import accounting_service_pb2 as pb
from hpcsched.api.v1 import accounting_service_pb2_grpc, job_pb2
from hpcsched.core.job.accounting import JobEnd, encode_end
from hpcsched.core.job.states import JobState
from hpcsched.core.past_views import AllocationView, NodeHistoryView
from hpcsched.store.history import JobHistoryRow, UsageRow
from tests.support.served import refusal

if TYPE_CHECKING:
    from tests.support.fake_front import FakeFront
    from tests.support.served import Served


@pytest.fixture
def accounting(served: Served) -> Any:
    return served.stub(accounting_service_pb2_grpc.AccountingServiceStub)


def a_row(number: int) -> JobHistoryRow:
    end = JobEnd(
        requeue_id=1,
        state=JobState.CANCELED,
        event_time=number / 3,
        name="sim",
        core_ms=2**40,
        canceled_by="root",
    )
    return JobHistoryRow(
        job_id=number,
        requeue_id=1,
        owner="ann",
        project="sky",
        state=int(end.state),
        event_time=end.event_time,
        body=encode_end(end),
        history_id=number + 100,
    )


def an_allocation(number: int, **fields: Any) -> AllocationView:
    whole = {"end_time": number / 3, "history_id": number, **fields}
    return AllocationView(
        job_id=7, requeue_id=0, node=f"n{number}", cores="0-3", start_time=0.5, **whole
    )


async def test_pages_of_job_history_join_to_the_whole(
    accounting: Any, front: FakeFront
) -> None:
    rows = [a_row(number) for number in range(1, 6)]

    def listed(query: Any, **_: object) -> Any:
        after = query.after or (0.0, 0)
        later = [r for r in rows if (r.event_time, r.history_id) > after]
        return later[: query.limit]

    front.answers["job_history"] = listed
    seen: list[list[int]] = []
    token = ""
    while True:
        request = pb.ListJobHistoryRequest(page_size=2, page_token=token, owner="ann")
        page = await accounting.ListJobHistory(request)
        seen.append([row.job_id for row in page.history])
        token = page.next_page_token
        if not token:
            break

    assert seen == [[1, 2], [3, 4], [5]]
    assert front.last["query"].owner == "ann"
    row = page.history[0]
    assert row.state == job_pb2.Job.STATE_CANCELED
    assert (row.core_ms, row.canceled_by, row.template) == (2**40, "root", "Default")
    assert not row.HasField("submit_time")


async def test_allocations_come_in_pages_held_ones_too(
    accounting: Any, front: FakeFront
) -> None:
    front.answers["allocations"] = [an_allocation(n) for n in (1, 2, 3)]
    front.answers["held"] = [
        an_allocation(n, end_time=None, history_id=0) for n in (3, 1, 2)
    ]

    past = await accounting.ListAllocations(
        pb.ListAllocationsRequest(page_size=2, node="n5")
    )
    assert [row.node for row in past.allocations] == ["n1", "n2"]
    assert past.allocations[0].core_count == 4
    assert past.next_page_token
    assert front.last["query"].node_id == 5

    seen: list[str] = []
    token = ""
    while True:
        request = pb.ListAllocationsRequest(held=True, page_size=1, page_token=token)
        page = await accounting.ListAllocations(request)
        seen += [row.node for row in page.allocations]
        assert not any(row.HasField("end_time") for row in page.allocations)
        token = page.next_page_token
        if not token:
            break
    assert seen == ["n1", "n2", "n3"]


async def test_node_history_goes_on_where_the_page_ended(
    accounting: Any, front: FakeFront
) -> None:
    view = NodeHistoryView(
        seq=9, node="n1", name="NodeUnreachable", time=1.5, message="silence"
    )
    front.answers["node_history"] = ([view], 9)
    page = await accounting.ListNodeHistory(pb.ListNodeHistoryRequest(node="n1"))
    assert page.history[0].event == pb.NODE_EVENT_UNREACHABLE

    front.answers["node_history"] = ([], 0)
    request = pb.ListNodeHistoryRequest(node="n1", page_token=page.next_page_token)
    last = await accounting.ListNodeHistory(request)

    assert front.last["after"] == 9
    assert not last.next_page_token


async def test_use_is_of_the_last_thirty_days_unless_days_are_named(
    accounting: Any, front: FakeFront
) -> None:
    front.answers["usage"] = [UsageRow(day=3, owner="ann", core_ms=5)]
    answer = await accounting.ListUsage(pb.ListUsageRequest())
    query = front.last["query"]
    assert query.last_day - query.first_day == 30
    assert query.by == ("day", "owner", "project")
    assert (answer.usage[0].day, answer.usage[0].core_ms) == ("1970-01-04", 5)

    request = pb.ListUsageRequest(
        first_day="1970-01-02", last_day="1970-01-03", by=["owner"], project="sky"
    )
    answer = await accounting.ListUsage(request)
    query = front.last["query"]
    assert (query.first_day, query.last_day, query.project) == (1, 2, "sky")
    assert query.owner is None
    assert answer.usage[0].day == ""


@pytest.mark.parametrize(
    ("method", "fields", "field"),
    [
        ("ListUsage", {"first_day": "yesterday"}, "first_day"),
        ("ListUsage", {"last_day": "2026-13-01"}, "last_day"),
        ("ListUsage", {"by": ["owner", "hour"]}, "by[1]"),
        ("ListJobHistory", {"job_id": -1}, "job_id"),
        ("ListJobHistory", {"page_size": 1001}, "page_size"),
        ("ListJobHistory", {"page_token": "x"}, "page_token"),
        ("ListNodeHistory", {"page_token": "x"}, "page_token"),
        ("ListAllocations", {"held": True, "since": {"seconds": 1}}, "since"),
    ],
)
async def test_what_cannot_be_meant_is_refused_with_the_field(
    method: str, fields: dict[str, Any], field: str, accounting: Any
) -> None:
    request_ = getattr(pb, f"{method}Request")(**fields)
    error = await refusal(getattr(accounting, method)(request_))

    assert error.facts["field"] == field
