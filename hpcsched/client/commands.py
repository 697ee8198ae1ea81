"""Following a command on nodes over broken connections: every byte once, in order."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from hpcsched.api.v1 import job_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from hpcsched.client.connection import Connection

#: Before a stream that a stopping head has ended is opened again, seconds.
PAUSE_S: Final = 1.0


class Follower:
    """What was read of a command so far; ``follow`` may be called again after a break.

    Attributes:
        connection: To the heads; a new one may take the place of one that is closed.
        job_id: The command.
    """

    def __init__(self, connection: Connection, job_id: int) -> None:
        self.connection = connection
        self._at: dict[tuple[int, int], pb.CommandPosition] = {}
        self._states: dict[int, int] = {}
        self.job_id = job_id

    async def follow(self) -> AsyncGenerator[pb.FollowCommandResponse, None]:
        """Yield what nodes write and what becomes of their tasks, to the command's end.

        The last message has the job as it ended.

        Raises:
            HpcError: JOB_NOT_FOUND and others, or the head cannot be reached at all.
        """
        while True:
            stream = self.connection.stream(
                lambda stubs: stubs.jobs.FollowCommand, self._request
            )
            async with aclosing(stream):
                async for message in stream:
                    self._note(message)
                    yield message
                    if message.HasField("job"):
                        return
            # It ended before the command has: a head that stops politely.
            await self.connection.clock.sleep(PAUSE_S)

    def _request(self) -> pb.FollowCommandRequest:
        return pb.FollowCommandRequest(
            job_id=self.job_id, positions=list(self._at.values())
        )

    def _note(self, message: pb.FollowCommandResponse) -> None:
        """Keep the positions, and leave out states that were told before."""
        for output in message.outputs:
            self._at[output.task_id, output.stream] = pb.CommandPosition(
                task_id=output.task_id,
                stream=output.stream,
                offset=output.offset + len(output.data),
                eof=output.eof,
            )
        news = [
            task
            for task in message.tasks
            if self._states.get(task.task_id) != task.state
        ]
        self._states.update((task.task_id, task.state) for task in news)
        if len(news) < len(message.tasks):
            del message.tasks[:]
            message.tasks.extend(news)
