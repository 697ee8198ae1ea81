"""Output of tasks that survives broken connections: every byte once, in order."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from hpcsched.api.v1 import job_service_pb2
from hpcsched.common.errors import HpcError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from hpcsched.client.connection import Connection

#: Between looks at output that cannot be had right now, seconds.
PAUSE_S: Final = 0.5

#: What passes by itself while a task is followed.
_PASSES: Final = frozenset({"OUTPUT_NOT_YET", "NODE_UNREACHABLE"})


async def read_output(
    connection: Connection,
    job_id: int,
    task: job_service_pb2.TaskRef,
    *,
    stderr: bool = False,
    offset: int = 0,
    follow: bool = False,
    attempt: int = 0,
) -> AsyncGenerator[job_service_pb2.ReadOutputResponse, None]:
    """Yield what a task wrote, from a position on.

    Args:
        connection: To the heads.
        job_id: Its job.
        task: A plain task, or an element of a sweep.
        stderr: Standard error instead of standard output.
        offset: First byte, from 0; a negative one counts from the end.
        follow: Go on until the task has ended; it need not have started, and a node
            that cannot be reached is waited for.
        attempt: Which one; 0 is the current or last one.

    Raises:
        HpcError: OUTPUT_GONE, OUTPUT_IN_FILE and others, or the head cannot be reached.
    """
    position = offset
    stream = (
        job_service_pb2.OUTPUT_STREAM_STDERR
        if stderr
        else job_service_pb2.OUTPUT_STREAM_STDOUT
    )

    def request() -> job_service_pb2.ReadOutputRequest:
        return job_service_pb2.ReadOutputRequest(
            job_id=job_id,
            task=task,
            stream=stream,
            offset=position,
            follow=follow,
            attempt=attempt,
        )

    while True:
        pieces = connection.stream(
            lambda stubs: stubs.jobs.ReadOutput, request, persist=follow
        )
        try:
            async with aclosing(pieces):
                async for piece in pieces:
                    position = piece.offset + len(piece.data)
                    yield piece
                    if piece.eof:
                        return
        except HpcError as refusal:
            if not (follow and refusal.reason in _PASSES):
                raise
        else:
            if not follow:
                return
        await connection.clock.sleep(PAUSE_S)
