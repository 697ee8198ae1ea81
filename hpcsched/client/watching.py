"""Watches that survive broken connections: every event once, in order.

The position is the cursor of the last message that was handed out; a new connection
resumes behind it, so nothing is missed and nothing comes twice.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from hpcsched.api.v1 import watch_service_pb2

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from hpcsched.client.connection import Connection


async def watch(
    connection: Connection,
    *,
    after: str = "",
    filter_: watch_service_pb2.WatchFilter | None = None,
    snapshot: bool = False,
    backlog_only: bool = False,
) -> AsyncGenerator[watch_service_pb2.WatchResponse, None]:
    """Yield what happens in the cluster; ``caught_up`` is set in one message only.

    Args:
        connection: To the heads.
        after: Cursor of the last event that the caller has seen; empty means from now
            on, ``0`` from the oldest that is kept.
        filter_: Which events.
        snapshot: First the jobs as they are. If the connection breaks before it is
            complete it begins anew, so a job may come twice, as it is then.
        backlog_only: End after ``caught_up``.

    Raises:
        HpcError: CURSOR_EXPIRED, CURSOR_UNKNOWN, or the head cannot be reached at all.
    """
    cursor = after
    caught_up = False

    def request() -> watch_service_pb2.WatchRequest:
        return watch_service_pb2.WatchRequest(
            after=cursor,
            filter=filter_,
            snapshot=snapshot and not caught_up,
            backlog_only=backlog_only,
        )

    while True:
        stream = connection.stream(
            lambda stubs: stubs.watch.Watch, request, persist=not backlog_only
        )
        async with aclosing(stream):
            async for message in stream:
                if caught_up and message.caught_up:
                    message.caught_up = False
                    message.bookmark = not message.events
                caught_up = caught_up or message.caught_up
                if message.cursor and (caught_up or not snapshot):
                    cursor = message.cursor
                yield message
                if backlog_only and caught_up:
                    return
        if backlog_only:
            return
        # A head that stops may end the stream politely; this watch does not end.
        await connection.clock.sleep(1.0)


async def watch_job(
    connection: Connection, job_id: int, *, after: str = "", jobs_only: bool = False
) -> AsyncGenerator[watch_service_pb2.WatchJobResponse, None]:
    """Yield what happens to one job, from its first event; ends when the job has ended.

    The last message holds the job as it ended.

    Args:
        connection: To the heads.
        job_id: Which job.
        after: Cursor of the last event that the caller has seen; empty means the whole
            history.
        jobs_only: Leave out changes of tasks.

    Raises:
        HpcError: JOB_NOT_FOUND, or the head cannot be reached at all.
    """
    cursor = after
    caught_up = False

    def request() -> watch_service_pb2.WatchJobRequest:
        return watch_service_pb2.WatchJobRequest(
            job_id=job_id, after=cursor, jobs_only=jobs_only
        )

    while True:
        stream = connection.stream(lambda stubs: stubs.watch.WatchJob, request)
        async with aclosing(stream):
            async for message in stream:
                if caught_up and message.caught_up:
                    message.caught_up = False
                    message.bookmark = not message.events and not message.HasField(
                        "job"
                    )
                caught_up = caught_up or message.caught_up
                cursor = message.cursor or cursor
                yield message
                if message.HasField("job"):
                    return
        # It ended before the job has: a head that stops politely.
        await connection.clock.sleep(1.0)
