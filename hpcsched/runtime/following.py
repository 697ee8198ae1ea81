"""Following a command: what all its nodes write, and what becomes of its tasks.

One stream for all nodes. What a reader has not taken yet is bounded, however many nodes
there are: each of them waits for room before it is asked for more.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hpcsched.common.errors import HpcError
from hpcsched.core.job.show import task_view
from hpcsched.core.job.states import JobType
from hpcsched.core.task.states import WAITING, TaskState
from hpcsched.core.views import JobView, TaskView
from hpcsched.runtime.front import CommandItem, CommandOutput
from hpcsched.runtime.outputs import RETRY_S, WAIT_S, Outputs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from hpcsched.core.caller import Caller
    from hpcsched.core.job.model import Job

ROOM: Final = 1 << 20
"""Bytes that wait for a reader; each piece counts for at least SMALLEST."""
SMALLEST: Final = 256
WINDOW: Final = 32 * 1024
"""Bytes that one node is asked for at a time: there may be thousands of them."""
LOOK_S: Final = 0.05
"""Between looks at the states of the tasks, which may change one by one."""
_NOT_SENT: Final = (*WAITING, TaskState.DISPATCHING)


@dataclass(frozen=True, slots=True)
class _Seen:
    """A look at the job: the whole, tasks that are news, tasks that have started."""

    job: JobView
    tasks: tuple[TaskView, ...]
    started: tuple[tuple[int, str], ...]


class _Channel:
    """From many who tell to one who reads, with bounded room."""

    def __init__(self) -> None:
        self._items: list[CommandOutput | TaskView | JobView] = []
        self._size = 0
        self._some = asyncio.Event()
        self._room = asyncio.Event()
        self._over = False
        self._task: asyncio.Task[None] | None = None
        self._unread = False
        self.error: Exception | None = None

    def begun(self) -> bool:
        """Note who works for this channel; False: nobody reads it any more."""
        self._task = asyncio.current_task()
        return not self._unread

    async def put(self, item: CommandOutput | TaskView | JobView) -> None:
        """Hand over an item, when there is room for it."""
        while self._size >= ROOM:
            self._room.clear()
            await self._room.wait()
        data = item.data if isinstance(item, CommandOutput) else b""
        self._items.append(item)
        self._size += max(SMALLEST, len(data))
        self._some.set()

    async def take(self) -> list[CommandOutput | TaskView | JobView]:
        """Return what there is; nothing: that was all."""
        while not (self._items or self._over):
            self._some.clear()
            await self._some.wait()
        items, self._items, self._size = self._items, [], 0
        self._room.set()
        return items

    def end(self) -> None:
        """Nothing will come any more."""
        self._over = True
        self._some.set()

    def close(self) -> None:
        """Nobody reads any more."""
        self._unread = True
        if self._task is not None:
            self._task.cancel()


class Following(Outputs):
    """``follow_command`` of ``runtime.front.JobFront``."""

    async def follow_command(
        self,
        caller: Caller,
        job_id: int,
        positions: Mapping[tuple[int, bool], int | None],
    ) -> AsyncIterator[CommandItem]:
        """Yield what the nodes of a command write and how its tasks fare, to its end.

        Args:
            caller: An administrator, as commands are theirs.
            job_id: The command.
            positions: (task number, is it standard error) to the byte to begin with;
                None: that stream has been read to its end. Others begin at 0.

        Raises:
            HpcError: JOB_NOT_FOUND, PERMISSION_DENIED; INVALID_OPERATION, the job is no
                command.
        """
        await self._look_at(caller, job_id, {})
        channel = _Channel()
        self._world.spawn(self._follow(channel, caller, job_id, positions))
        try:
            while items := await channel.take():
                outputs = tuple(i for i in items if isinstance(i, CommandOutput))
                tasks = tuple(i for i in items if isinstance(i, TaskView))
                jobs = [i for i in items if isinstance(i, JobView)]
                yield CommandItem(
                    outputs=outputs, tasks=tasks, job=jobs[0] if jobs else None
                )
        finally:
            channel.close()
        if channel.error is not None:
            raise channel.error

    async def _follow(
        self,
        channel: _Channel,
        caller: Caller,
        job_id: int,
        positions: Mapping[tuple[int, bool], int | None],
    ) -> None:
        if not channel.begun():
            return
        try:
            async with asyncio.TaskGroup() as copies:
                job = await self._tell(channel, caller, job_id, positions, copies)
            await channel.put(job)
        except* HpcError as group:
            channel.error = group.exceptions[0]
        finally:
            channel.end()

    async def _tell(
        self,
        channel: _Channel,
        caller: Caller,
        job_id: int,
        positions: Mapping[tuple[int, bool], int | None],
        copies: asyncio.TaskGroup,
    ) -> JobView:
        """Tell each change of a task, and have its output copied once it has started.

        Returns the job as it ended.
        """
        feed, clock = self._world.feed, self._world.clock
        told: dict[int, int] = {}
        copied: set[int] = set()
        while True:
            at = feed.last
            seen = await self._look_at(caller, job_id, told)
            for task in seen.tasks:
                told[task.task_id] = int(task.state)
                await channel.put(task)
            for task_id, node in seen.started:
                if task_id in copied:
                    continue
                copied.add(task_id)
                for stderr in (False, True):
                    offset = positions.get((task_id, stderr), 0)
                    if offset is None:
                        continue
                    blank = CommandOutput(
                        task_id=task_id, node=node, stderr=stderr, offset=offset
                    )
                    copies.create_task(self._copy(channel, caller, job_id, blank))
            if seen.job.state.terminal:
                return seen.job
            await feed.more(at, WAIT_S, job_id)
            await clock.sleep(LOOK_S)

    async def _look_at(
        self, caller: Caller, job_id: int, told: Mapping[int, int]
    ) -> _Seen:
        def look(job: Job) -> _Seen:
            caller.require_operator(job.owner, f"follow command {job_id}")
            if job.spec.job_type is not JobType.ADMIN:
                raise HpcError(
                    "INVALID_OPERATION",
                    job_id=job_id,
                    state=job.state.label,
                    operation="follow, as it is no command,",
                )
            news, started = [], []
            for record in job.ordinary():
                state = int(job.table_of(record).state[record.row(0)])
                if told.get(record.task_id) != state:
                    view = task_view(job, record, 0, self._world.name_of, full=True)
                    news.append(view)
                if TaskState(state) not in _NOT_SENT:
                    started.append((record.task_id, record.spec.node))
            return _Seen(self._view(job), tuple(news), tuple(started))

        seen: _Seen = await self._world.jobs.look(job_id, look)
        return seen

    async def _copy(
        self, channel: _Channel, caller: Caller, job_id: int, blank: CommandOutput
    ) -> None:
        """Hand over one stream of one node; what goes wrong is its end."""
        at = blank.offset
        while True:
            try:
                async for piece in self.read_output(
                    caller,
                    job_id,
                    (blank.task_id, 0),
                    stderr=blank.stderr,
                    offset=at,
                    follow=True,
                    attempt=0,
                    window=WINDOW,
                ):
                    at = piece.offset + len(piece.data)
                    await channel.put(
                        blank.with_piece(piece.offset, piece.data, eof=piece.eof)
                    )
                    if piece.eof:
                        return
            except HpcError as refusal:
                if refusal.reason == "JOB_NOT_FOUND":
                    raise
                if refusal.reason != "QUEUE_FULL":
                    end = blank.with_piece(at, b"", eof=True, error=str(refusal))
                    await channel.put(end)
                    return
            await self._world.clock.sleep(RETRY_S)
