"""Reading what a task wrote: from its node, without a shared file system."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from hpcsched.common.errors import HpcError
from hpcsched.core.job.locating import find_elements, show
from hpcsched.core.orders import ReadOutput, StopReading
from hpcsched.core.task.elements import HAS_EXIT, HAS_OUTPUT
from hpcsched.core.task.states import WAITING, TaskState
from hpcsched.core.views import OutputPiece
from hpcsched.runtime.job_reads import JobReads
from hpcsched.runtime.reading import WINDOW

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from hpcsched.core.caller import Caller
    from hpcsched.core.job.model import Job
    from hpcsched.runtime.front import TaskKey
    from hpcsched.runtime.node_actor import NodeActor

RETRY_S: Final = 0.5
WAIT_S: Final = 30.0
_NOT_THERE: Final = frozenset({"gone", "unknown"})
"""What a node says that has no such file, or does not know the job at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where an attempt wrote.

    Attributes:
        node_id: 0: it was never sent to a node.
        path: The user's file, if the stream goes there.
        silent: It has ended, and the report of its end had no output: it wrote nothing.
    """

    node_id: int
    attempt: int
    state: TaskState
    path: str
    silent: bool

    @property
    def before(self) -> bool:
        """Has it not started yet?"""
        return self.state in WAITING or self.state is TaskState.DISPATCHING

    def silent_in(self, attempt: int) -> bool:
        """Did it write nothing in that attempt, as far as is known?"""
        return self.silent and attempt == self.attempt


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
        window: int = WINDOW,
    ) -> AsyncIterator[OutputPiece]:
        """Yield a task's output from an offset.

        The node is asked for ``window`` bytes at a time.

        With ``follow`` a task that has not started is waited for, and a node that is
        away, as long as what ran there is not known to be lost.

        Raises:
            HpcError: TASK_NOT_FOUND, OUTPUT_NOT_YET, OUTPUT_GONE, OUTPUT_IN_FILE,
                NODE_UNREACHABLE, PERMISSION_DENIED.
        """
        name = show(job_id, task)
        place = await self._where(caller, job_id, task, stderr=stderr)
        while place.before and attempt in (0, place.attempt):
            if not follow:
                raise HpcError("OUTPUT_NOT_YET", task=name)
            feed = self._world.feed
            await feed.more(feed.last, WAIT_S, job_id)
            place = await self._where(caller, job_id, task, stderr=stderr)
        if not place.node_id:
            if attempt not in (0, place.attempt):
                raise HpcError("OUTPUT_GONE", task=name, node="?")
            yield OutputPiece(offset=max(0, offset), data=b"", eof=True)
            return
        order = ReadOutput(
            read_id=0,
            job_id=job_id,
            task_id=task[0],
            instance_id=task[1],
            attempt=attempt or place.attempt,
            stderr=stderr,
            offset=offset,
            follow=follow,
            limit=window,
        )
        while True:
            node = self._ready_node(place.node_id)
            if node is None:
                if not follow or await self._is_lost(caller, job_id, task, place):
                    raise HpcError(
                        "NODE_UNREACHABLE", node=self._world.name_of(place.node_id)
                    )
                await self._world.clock.sleep(RETRY_S)
                continue
            part = self._window(node, order, name, place)
            async with aclosing(part) as pieces:  # a read must not outlive its reader
                async for piece in pieces:
                    at = piece.offset + len(piece.data)
                    order = replace(order, offset=at)
                    yield piece
                    if piece.eof:
                        return

    def _ready_node(self, node_id: int) -> NodeActor | None:
        node = self._world.nodes.by_id(node_id)
        there = node is not None and node.session is not None and node.session.asked
        return node if there else None

    async def _is_lost(
        self, caller: Caller, job_id: int, task: TaskKey, before: _Place
    ) -> bool:
        """Will nothing more come from there, as far as anybody knows?"""
        now = await self._where(caller, job_id, task, stderr=False)
        if (now.node_id, now.attempt) != (before.node_id, before.attempt):
            return True
        node = self._world.nodes.by_id(before.node_id)
        return now.state.terminal and (node is None or node.known_lost)

    async def _window(
        self, node: NodeActor, order: ReadOutput, name: str, place: _Place
    ) -> AsyncGenerator[OutputPiece, None]:
        """Yield the pieces of one window; fewer when the stream to the node ends."""
        reading = node.readings.open()
        got, over = 0, False
        try:
            node.send(replace(order, read_id=reading.number))
            while got < order.limit and not over:
                chunk = await reading.next()
                if chunk is None:
                    return
                over = bool(chunk.eof or chunk.error)
                if chunk.error == "user_file":
                    raise HpcError(
                        "OUTPUT_IN_FILE",
                        task=name,
                        path=place.path,
                        node=node.record.name,
                    )
                if chunk.error == "busy":
                    what = f"node {node.record.name} serves many readers"
                    raise HpcError("QUEUE_FULL", what=what)
                if chunk.error in _NOT_THERE and place.silent_in(order.attempt):
                    # A node keeps nothing of it, and forgets that there was nothing.
                    at = max(0, order.offset)
                    yield OutputPiece(offset=at, data=b"", eof=True)
                    return
                if chunk.error:
                    raise HpcError("OUTPUT_GONE", task=name, node=node.record.name)
                got += len(chunk.data)
                yield OutputPiece(offset=chunk.offset, data=chunk.data, eof=chunk.eof)
        finally:
            node.readings.end(reading)
            if not over and got < order.limit:
                node.send(StopReading(read_id=reading.number))

    async def _where(
        self, caller: Caller, job_id: int, task: TaskKey, *, stderr: bool
    ) -> _Place:
        """Return where the current attempt writes, or would."""

        def look(job: Job) -> _Place:
            caller.require_operator(job.owner, f"read the output of job {job_id}")
            record, _ = find_elements(job, task)
            if record.has_elements and not task[1]:
                name = show(job_id, task)
                problem = f"{name} has elements: name one, such as {name}.1"
                raise HpcError("INVALID_FIELD", field="task", problem=problem)
            table, row = job.table_of(record), record.row(task[1])
            told = table.get("flags", row) & (HAS_EXIT | HAS_OUTPUT)
            path = record.spec.stderr_path if stderr else record.spec.stdout_path
            reports = self._settings.output_limit > 0 and not path
            return _Place(
                node_id=table.get("node", row),
                attempt=table.get("attempt", row),
                state=TaskState(table.state[row]),
                path=path,
                silent=reports and told == HAS_EXIT,
            )

        found: _Place = await self._world.jobs.look(job_id, look)
        return found
