"""The output of a job's tasks while they run, on our own stdout and stderr."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO, Final

from hpcsched.api.v1 import job_pb2, task_pb2
from hpcsched.cli.choosing import as_job_state
from hpcsched.cli.problems import ProblemError, note
from hpcsched.client.tasks import ref
from hpcsched.common.errors import HpcError
from hpcsched.common.ranges import iterate, parse_ranges

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpcsched.api.v1 import watch_service_pb2
    from hpcsched.client import AsyncClient

#: Tasks that are followed at a time; the others' output comes when one has ended.
FOLLOWERS: Final = 16

_STARTED: Final = task_pb2.Task.STATE_RUNNING
_SILENT: Final = frozenset(
    {task_pb2.TASK_TYPE_NODE_PREP, task_pb2.TASK_TYPE_NODE_RELEASE}
)

#: Streams that cannot be shown, and are no fault of the job.
_NOT_HERE: Final = frozenset({"OUTPUT_IN_FILE", "OUTPUT_GONE", "OUTPUT_NOT_YET"})


class Writer:
    """One of our streams, which several tasks share.

    With a single task bytes go through as they come. With several each line goes out
    as a whole, so that no two tasks mix within a line.
    """

    def __init__(self, stream: BinaryIO, *, by_line: bool) -> None:
        self._stream = stream
        self._by_line = by_line
        self._rest = b""

    def sibling(self) -> Writer:
        """Return a writer to the same stream for another task."""
        return Writer(self._stream, by_line=self._by_line)

    def write(self, data: bytes) -> None:
        """Pass on what a task wrote."""
        if self._by_line:
            whole, newline, rest = (self._rest + data).rpartition(b"\n")
            data, self._rest = whole + newline, rest
        if data:
            self._stream.write(data)
            self._stream.flush()

    def close(self) -> None:
        """Pass on a last line that has no end."""
        if self._rest:
            self._stream.write(self._rest + b"\n")
            self._stream.flush()
            self._rest = b""


class Follower:
    """Follows a job and shows what its tasks write."""

    def __init__(self, client: AsyncClient, job_id: int) -> None:
        self._client = client
        self._job_id = job_id
        self._kinds: dict[int, int] = {}
        self._shown: dict[tuple[int, int], int] = {}
        self._queue: asyncio.Queue[tuple[int, int]] = asyncio.Queue()
        self._out = Writer(sys.stdout.buffer, by_line=True)
        self._err = Writer(sys.stderr.buffer, by_line=True)

    async def run(
        self, look: Callable[[job_pb2.Job], None] = lambda _: None
    ) -> job_pb2.Job:
        """Return the job as it ended, after all output was shown.

        Args:
            look: Called with the job's counts as they change.
        """
        job: job_pb2.Job | None = None
        seen = job_pb2.Job(id=self._job_id)
        await self._learn_kinds()
        shown = [kind for kind in self._kinds.values() if kind not in _SILENT]
        if shown == [task_pb2.TASK_TYPE_BASIC]:
            self._out = Writer(sys.stdout.buffer, by_line=False)
            self._err = Writer(sys.stderr.buffer, by_line=False)
        async with asyncio.TaskGroup() as tasks:
            followers = [tasks.create_task(self._serve()) for _ in range(FOLLOWERS)]
            async for message in self._client.watch_job(self._job_id):
                for event in message.events:
                    await self._note_starts(event)
                    for change in event.changes:
                        if not change.task_id:
                            seen.state = as_job_state(change.state)
                if message.HasField("task_counts"):
                    seen.task_counts.CopyFrom(message.task_counts)
                    look(seen)
                if message.HasField("job"):
                    job = message.job
            await self._queue.join()
            for follower in followers:
                follower.cancel()
        if job is None:
            raise ProblemError(
                "WATCH_ENDED", f"the watch of job {self._job_id} ended before the job"
            )
        return job

    async def _learn_kinds(self) -> None:
        page = await self._client.tasks.list(self._job_id)
        self._kinds = {task.task_id: task.type for task in page.items}

    async def _note_starts(self, event: watch_service_pb2.Event) -> None:
        for change in event.changes:
            if not change.task_id or change.state != _STARTED:
                continue
            if change.task_id not in self._kinds:
                await self._learn_kinds()
            kind = self._kinds.get(change.task_id, task_pb2.TASK_TYPE_BASIC)
            if kind in _SILENT:
                continue
            if change.elements:
                for element in iterate(parse_ranges(change.elements)):
                    self._queue.put_nowait((change.task_id, element))
            elif kind != task_pb2.TASK_TYPE_PARAMETRIC_SWEEP:
                self._queue.put_nowait((change.task_id, 0))

    async def _serve(self) -> None:
        while True:
            name = await self._queue.get()
            try:
                await self._show(name)
            except HpcError as refusal:
                note(f"output of task {self._job_id}.{name[0]}: {refusal}")
            finally:
                self._queue.task_done()

    async def _show(self, name: tuple[int, int]) -> None:
        """Show every attempt of a task that was not shown yet."""
        task = await self._client.tasks.get(self._job_id, ref(*name), full=True)
        spec = task.spec
        is_merged = spec.stdout_path and spec.stdout_path == spec.stderr_path
        first = self._shown.get(name, 0) + 1
        self._shown[name] = max(task.attempt, first)
        for attempt in range(first, task.attempt + 1):
            async with asyncio.TaskGroup() as streams:
                for stderr in (False,) if is_merged else (False, True):
                    streams.create_task(self._copy(name, attempt, stderr=stderr))

    async def _copy(self, name: tuple[int, int], attempt: int, *, stderr: bool) -> None:
        writer = (self._err if stderr else self._out).sibling()
        try:
            async for piece in self._client.read_output(
                self._job_id, ref(*name), stderr=stderr, follow=True, attempt=attempt
            ):
                writer.write(piece.data)
        except HpcError as refusal:
            if refusal.reason not in _NOT_HERE:
                with suppress(OSError):
                    note(f"output of task {self._job_id}.{name[0]}: {refusal}")
        finally:
            writer.close()
