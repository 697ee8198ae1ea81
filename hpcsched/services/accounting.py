"""AccountingService: what was used, by whom, when."""

from __future__ import annotations

import math
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from hpcsched.api.v1 import accounting_service_pb2 as pb
from hpcsched.api.v1 import accounting_service_pb2_grpc
from hpcsched.common.errors import HpcError
from hpcsched.services.convert_accounting import (
    allocation_message,
    job_history_message,
    node_history_message,
    usage_message,
)
from hpcsched.services.convert_time import seconds_since_epoch
from hpcsched.services.cursors import Pages, whole_number
from hpcsched.services.fitting import fitting
from hpcsched.services.gate import caller
from hpcsched.services.requests import not_negative, page_size
from hpcsched.store.history import DAY_S, GROUPS, HistoryQuery, UsageQuery

if TYPE_CHECKING:
    from hpcsched.common.clock import Clock
    from hpcsched.runtime.front import AccountingFront

PAGE: Final = 100
LARGEST_PAGE: Final = 1000
LARGEST_USAGE: Final = 20_000
USUAL_DAYS: Final = 30
_EPOCH: Final = date(1970, 1, 1)


class AccountingService(accounting_service_pb2_grpc.AccountingServiceServicer):
    """See the proto."""

    def __init__(self, front: AccountingFront, clock: Clock) -> None:
        self._front = front
        self._clock = clock

    async def ListJobHistory(
        self, request: pb.ListJobHistoryRequest, context: Any
    ) -> pb.ListJobHistoryResponse:
        size = page_size(request.page_size, default=PAGE, largest=LARGEST_PAGE)
        pages = Pages(request)
        query = HistoryQuery(
            job_id=not_negative(request.job_id, "job_id"),
            owner=request.owner,
            since=_time(request, "since"),
            until=_time(request, "until"),
            after=_place(pages, request.page_token),
            limit=size + 1,
        )
        rows = await self._front.job_history(caller(), query)
        found = [job_history_message(row) for row in rows[:size]]
        count = fitting(found)
        token = ""
        if len(rows) > count:
            last = rows[count - 1]
            token = pages.encode(f"{last.event_time!r},{last.history_id}")
        return pb.ListJobHistoryResponse(history=found[:count], next_page_token=token)

    async def ListAllocations(
        self, request: pb.ListAllocationsRequest, context: Any
    ) -> pb.ListAllocationsResponse:
        size = page_size(request.page_size, default=PAGE, largest=LARGEST_PAGE)
        job_id = not_negative(request.job_id, "job_id")
        pages = Pages(request)
        if request.held:
            return await self._held(request, pages, size)
        node_id = self._front.node_number(request.node) if request.node else 0
        query = HistoryQuery(
            job_id=job_id,
            node_id=node_id,
            since=_time(request, "since"),
            until=_time(request, "until"),
            after=_place(pages, request.page_token),
            limit=size + 1,
        )
        views = await self._front.allocations(caller(), query)
        token = ""
        if len(views) > size:
            last = views[size - 1]
            token = pages.encode(f"{last.end_time!r},{last.history_id}")
        return pb.ListAllocationsResponse(
            allocations=map(allocation_message, views[:size]), next_page_token=token
        )

    async def _held(
        self, request: pb.ListAllocationsRequest, pages: Pages, size: int
    ) -> pb.ListAllocationsResponse:
        for field in ("since", "until"):
            if request.HasField(field):
                problem = "not together with held"
                raise HpcError("INVALID_FIELD", field=field, problem=problem)
        views = await self._front.held(caller(), request.job_id, request.node)
        after = pages.decode(request.page_token)
        keyed = [(f"{view.job_id:010} {view.node}", view) for view in views]
        rest = sorted(one for one in keyed if one[0] > after)
        token = pages.encode(rest[size - 1][0]) if len(rest) > size else ""
        found = [allocation_message(view) for _, view in rest[:size]]
        return pb.ListAllocationsResponse(allocations=found, next_page_token=token)

    async def ListNodeHistory(
        self, request: pb.ListNodeHistoryRequest, context: Any
    ) -> pb.ListNodeHistoryResponse:
        size = page_size(request.page_size, default=PAGE, largest=LARGEST_PAGE)
        pages = Pages(request)
        if request.node:
            self._front.node_number(request.node)
        views, after = await self._front.node_history(
            caller(),
            request.node,
            (_time(request, "since"), _time(request, "until")),
            pages.decode_number(request.page_token),
            size,
        )
        token = pages.encode(str(after)) if after else ""
        return pb.ListNodeHistoryResponse(
            history=map(node_history_message, views), next_page_token=token
        )

    async def ListUsage(
        self, request: pb.ListUsageRequest, context: Any
    ) -> pb.ListUsageResponse:
        last = _day(request.last_day, "last_day")
        if last is None:
            last = int(self._clock.wall() // DAY_S)
        first = _day(request.first_day, "first_day")
        if first is None:
            first = last - USUAL_DAYS
        if first > last:
            problem = "it is after last_day"
            raise HpcError("INVALID_FIELD", field="first_day", problem=problem)
        query = UsageQuery(
            first_day=first,
            last_day=last,
            owner=request.owner or None,
            project=request.project or None,
            by=_groups(request),
            limit=LARGEST_USAGE + 1,
        )
        rows = await self._front.usage(caller(), query)
        if len(rows) > LARGEST_USAGE:
            problem = f"more than {LARGEST_USAGE} rows: ask for fewer days, or less"
            raise HpcError("INVALID_FIELD", field="by", problem=problem)
        return pb.ListUsageResponse(usage=[usage_message(row, query) for row in rows])


def _time(request: Any, field: str) -> float | None:
    if not request.HasField(field):
        return None
    return seconds_since_epoch(getattr(request, field), field)


def _place(pages: Pages, token: str) -> tuple[float, int] | None:
    position = pages.decode(token)
    if not position:
        return None
    time, _, history_id = position.partition(",")
    try:
        moment = float(time)
    except ValueError:
        moment = math.nan
    number = whole_number(history_id)
    if number is None or not math.isfinite(moment):
        raise HpcError("PAGE_TOKEN_INVALID", field="page_token")
    return moment, number


def _day(text: str, field: str) -> int | None:
    """Return days since 1970; None for an empty text."""
    if not text:
        return None
    try:
        return (date.fromisoformat(text) - _EPOCH).days
    except ValueError:
        problem = f"{text[:40]!r} is no day such as 2026-11-21"
        raise HpcError("INVALID_FIELD", field=field, problem=problem) from None


def _groups(request: pb.ListUsageRequest) -> tuple[str, ...]:
    for at, name in enumerate(request.by):
        if name not in GROUPS:
            problem = f"{name[:40]!r} is not one of {', '.join(GROUPS)}"
            raise HpcError("INVALID_FIELD", field=f"by[{at}]", problem=problem)
    return tuple(name for name in GROUPS if name in request.by) or GROUPS
