"""Calls about what was used, by whom, when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from google.protobuf import timestamp_pb2

from hpcsched.api.v1 import accounting_service_pb2 as pb
from hpcsched.client.pages import Page, gather

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hpcsched.client.api import Caller

LARGEST_PAGE: Final = 1000


class Accounting:
    """Job history, allocations, node history, use."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Caller) -> None:
        self._connection = connection

    async def job_history(
        self,
        *,
        job_id: int = 0,
        owner: str = "",
        since: float | None = None,
        until: float | None = None,
        limit: int | None = None,
        page_token: str = "",
    ) -> Page[pb.JobHistory]:
        """Return how jobs ended, by time; times are seconds since 1970, UTC."""

        async def fetch(size: int, token: str) -> Page[pb.JobHistory]:
            request = pb.ListJobHistoryRequest(
                job_id=job_id,
                owner=owner,
                since=_time(since),
                until=_time(until),
                page_size=size,
                page_token=token,
            )
            answer = await self._connection.call(
                lambda s: s.accounting.ListJobHistory, request
            )
            return Page(items=answer.history, next_page_token=answer.next_page_token)

        return await gather(
            fetch, limit=limit, page_token=page_token, page_size=LARGEST_PAGE
        )

    async def allocations(
        self,
        *,
        job_id: int = 0,
        node: str = "",
        since: float | None = None,
        until: float | None = None,
        held: bool = False,
        limit: int | None = None,
        page_token: str = "",
    ) -> Page[pb.Allocation]:
        """Return who held which cores, by time; with ``held`` who holds them now."""

        async def fetch(size: int, token: str) -> Page[pb.Allocation]:
            request = pb.ListAllocationsRequest(
                job_id=job_id,
                node=node,
                since=_time(since),
                until=_time(until),
                held=held,
                page_size=size,
                page_token=token,
            )
            answer = await self._connection.call(
                lambda s: s.accounting.ListAllocations, request
            )
            token = answer.next_page_token
            return Page(items=answer.allocations, next_page_token=token)

        return await gather(
            fetch, limit=limit, page_token=page_token, page_size=LARGEST_PAGE
        )

    async def node_history(
        self,
        *,
        node: str = "",
        since: float | None = None,
        until: float | None = None,
        limit: int | None = None,
        page_token: str = "",
    ) -> Page[pb.NodeHistory]:
        """Return what happened to nodes, by time."""

        async def fetch(size: int, token: str) -> Page[pb.NodeHistory]:
            request = pb.ListNodeHistoryRequest(
                node=node,
                since=_time(since),
                until=_time(until),
                page_size=size,
                page_token=token,
            )
            answer = await self._connection.call(
                lambda s: s.accounting.ListNodeHistory, request
            )
            return Page(items=answer.history, next_page_token=answer.next_page_token)

        return await gather(
            fetch, limit=limit, page_token=page_token, page_size=LARGEST_PAGE
        )

    async def usage(
        self,
        *,
        first_day: str = "",
        last_day: str = "",
        owner: str = "",
        project: str = "",
        by: Iterable[str] = (),
    ) -> Sequence[pb.Usage]:
        """Return sums of use; days in UTC, such as ``2026-11-21``."""
        request = pb.ListUsageRequest(
            first_day=first_day,
            last_day=last_day,
            owner=owner,
            project=project,
            by=by,
        )
        answer = await self._connection.call(lambda s: s.accounting.ListUsage, request)
        return answer.usage


def _time(seconds: float | None) -> timestamp_pb2.Timestamp | None:
    if seconds is None:
        return None
    made = timestamp_pb2.Timestamp()
    made.FromNanoseconds(round(seconds * 1e6) * 1000)
    return made
