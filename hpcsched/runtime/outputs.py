"""Reading what a task wrote: from its node, without a shared file system."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hpcsched.common.errors import HpcError
from hpcsched.core.job.requeueing import find_elements, show
from hpcsched.core.orders import ReadOutput, StopReading
from hpcsched.core.task.states import TaskState
from hpcsched.core.views import OutputPiece
from hpcsched.runtime.job_reads import JobReads
from hpcsched.runtime.reading import WINDOW

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from hpcsched.core.caller import Caller
    from hpcsched.core.job.model import Job
    from hpcsched.runtime.front import TaskKey
    from hpcsched.runtime.node_actor import NodeActor

RETRY_S: Final = 0.5
_BEFORE: Final = (
    TaskState.CONFIGURING,
    TaskState.SUBMITTED,
    TaskState.VALIDATING,
    TaskState.QUEUED,
    TaskState.DISPATCHING,
)


class Outputs(JobReads):
    """``read_output`` of ``runtime.front.JobFront``."""

    async def read_output(
        self,
        caller: Caller,
        job_id: int,
        task: TaskKey,
        *,
        stderr: bool,
        offset: int,
        follow: bool,
        attempt: int,
    ) -> AsyncIterator[OutputPiece]:
        """Yield a task's output from an offset.

        With ``follow`` a task that has not started is waited for, a node that is away too.

        Raises:
            HpcError: TASK_NOT_FOUND, OUTPUT_NOT_YET, OUTPUT_GONE, OUTPUT_IN_FILE,
                NODE_UNREACHABLE, PERMISSION_DENIED.
        """
        name = show(job_id, task)
        while True:
            node_id, number, state, path = await self._where(
                caller, job_id, task, stderr=stderr
            )
            if state not in _BEFORE or attempt:
                break
            if not follow:
                raise HpcError("OUTPUT_NOT_YET", task=name)
            await self._world.feed.more(self._world.feed.last, RETRY_S * 4)
        if not node_id:
            yield OutputPiece(offset=max(0, offset), data=b"", eof=True)
            return
        node = self._world.nodes.by_id(node_id)
        at = offset
        while True:
            if node is None or node.session is None or not node.session.asked:
                if not follow or node is None:
                    raise HpcError(
                        "NODE_UNREACHABLE", node=self._world.name_of(node_id)
                    )
                await self._world.clock.sleep(RETRY_S)
                continue
            order = ReadOutput(
                read_id=0,
                job_id=job_id,
                task_id=task[0],
                instance_id=task[1],
                attempt=attempt or number,
                stderr=stderr,
                offset=at,
                follow=follow,
                limit=WINDOW,
            )
            async for piece in self._window(node, order, name, path):
                at = piece.offset + len(piece.data)
                yield piece
                if piece.eof:
                    return

    async def _window(
        self, node: NodeActor, order: ReadOutput, name: str, path: str
    ) -> AsyncIterator[OutputPiece]:
        """Yield the pieces of one window; it ends early when the stream to the node does."""
        number, queue = node.readings.open()
        got = 0
        try:
            fields = {f: getattr(order, f) for f in order.__dataclass_fields__}
            node.send(ReadOutput(**{**fields, "read_id": number}))
            while got < order.limit:
                chunk = await queue.get()
                if chunk is None:
                    return
                if chunk.error == "user_file":
                    raise HpcError(
                        "OUTPUT_IN_FILE", task=name, path=path, node=node.record.name
                    )
                if chunk.error:
                    raise HpcError("OUTPUT_GONE", task=name, node=node.record.name)
                got += len(chunk.data)
                yield OutputPiece(offset=chunk.offset, data=chunk.data, eof=chunk.eof)
                if chunk.eof:
                    return
        finally:
            node.readings.end(number)
            node.send(StopReading(read_id=number))

    async def _where(
        self, caller: Caller, job_id: int, task: TaskKey, *, stderr: bool
    ) -> tuple[int, int, TaskState, str]:
        """Return (node, attempt, state, path of the user's file or nothing)."""

        def look(job: Job) -> tuple[int, int, TaskState, str]:
            caller.require_owner(job.owner, f"read the output of job {job_id}")
            record, _ = find_elements(job, task)
            name = show(job_id, task)
            if record.has_elements and not task[1]:
                problem = f"{name} has elements: name one, such as {name}.1"
                raise HpcError("INVALID_FIELD", field="task", problem=problem)
            table, row = job.table_of(record), record.row(task[1])
            path = record.spec.stderr_path if stderr else record.spec.stdout_path
            state = TaskState(table.state[row])
            return table.get("node", row), table.get("attempt", row), state, path

        found: tuple[int, int, TaskState, str] = await self._world.jobs.look(
            job_id, look
        )
        return found
