"""Commands on nodes as calls (api.md 8)."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final, cast

from hpcsched.api.v1 import job_service_pb2 as pb
from hpcsched.api.v1 import task_pb2
from hpcsched.common.errors import HpcError
from hpcsched.services.convert_job import job_message
from hpcsched.services.convert_job_spec import task_spec
from hpcsched.services.gate import caller
from hpcsched.services.limits import MAX_OUTPUT_BYTES
from hpcsched.services.requests import (
    not_negative,
    number,
    request_of,
    some,
    texts,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from hpcsched.core.views import TaskView
    from hpcsched.runtime.front import CommandItem, CommandOutput, JobFront

#: Two streams of as many nodes as one command has.
MAX_POSITIONS: Final = 20_000
#: Tasks in one message.
TASKS_PER_MESSAGE: Final = 1_000
#: Bytes of output after which a message is sent.
MESSAGE_BYTES: Final = 512 * 1024


class CommandCalls:
    """The calls of JobService about commands."""

    _front: JobFront

    async def CreateCommand(
        self, request: pb.CreateCommandRequest, context: Any
    ) -> pb.CreateCommandResponse:
        template = command_template(request)
        nodes = texts(request.nodes, "nodes")
        view = await self._front.create_command(
            caller(), nodes, template, request_of(request)
        )
        return pb.CreateCommandResponse(job=job_message(view))

    async def FollowCommand(
        self, request: pb.FollowCommandRequest, context: Any
    ) -> AsyncIterator[pb.FollowCommandResponse]:
        job_id = number(request.job_id, "job_id")
        items = self._front.follow_command(caller(), job_id, positions_of(request))
        async with contextlib.aclosing(items) as all_items:  # type: ignore[type-var]
            async for item in all_items:
                for message in follow_messages(item):
                    yield message


def command_template(request: pb.CreateCommandRequest) -> Any:
    """Return the task that a command runs on each of its nodes."""
    message = task_pb2.TaskSpec(
        arguments=request.arguments,
        command_line=request.command_line,
        environment=request.environment,
        work_directory=request.work_directory,
        stdin_path=request.stdin_path,
    )
    if request.HasField("runtime"):
        message.runtime.CopyFrom(request.runtime)
    return task_spec(message, "command")


def positions_of(
    request: pb.FollowCommandRequest,
) -> dict[tuple[int, bool], int | None]:
    """Return where each stream goes on; None: it has been read to its end.

    Raises:
        HpcError: INVALID_FIELD, OUT_OF_RANGE.
    """
    found: dict[tuple[int, bool], int | None] = {}
    if not request.positions:
        return found
    for at, one in enumerate(some(request.positions, "positions", MAX_POSITIONS)):
        if one.stream not in pb.OutputStream.values():
            problem = f"{one.stream} is no stream"
            field = f"positions[{at}].stream"
            raise HpcError("INVALID_FIELD", field=field, problem=problem)
        offset = not_negative(one.offset, f"positions[{at}].offset")
        stderr = one.stream == pb.OUTPUT_STREAM_STDERR
        found[one.task_id, stderr] = None if one.eof else offset
    return found


def follow_messages(item: CommandItem) -> Iterator[pb.FollowCommandResponse]:
    """Yield one step as messages of bearable size; the job is in the last."""
    tasks = [_task_message(view) for view in item.tasks]
    for start in range(0, len(tasks), TASKS_PER_MESSAGE):
        part = tasks[start : start + TASKS_PER_MESSAGE]
        yield pb.FollowCommandResponse(tasks=part)
    outputs: list[pb.CommandOutput] = []
    size = 0
    for output in item.outputs:
        for message in _output_messages(output):
            outputs.append(message)
            size += len(message.data) + len(message.node)
            if size >= MESSAGE_BYTES:
                yield pb.FollowCommandResponse(outputs=outputs)
                outputs, size = [], 0
    if outputs:
        yield pb.FollowCommandResponse(outputs=outputs)
    if item.job is not None:
        yield pb.FollowCommandResponse(job=job_message(item.job))


def _output_messages(output: CommandOutput) -> Iterator[pb.CommandOutput]:
    stream = pb.OUTPUT_STREAM_STDERR if output.stderr else pb.OUTPUT_STREAM_STDOUT
    starts = range(0, max(1, len(output.data)), MAX_OUTPUT_BYTES)
    for start in starts:
        last = start == starts[-1]
        yield pb.CommandOutput(
            node=output.node,
            task_id=output.task_id,
            stream=stream,
            offset=output.offset + start,
            data=output.data[start : start + MAX_OUTPUT_BYTES],
            eof=output.eof and last,
            error=output.error if last else "",
        )


def _task_message(view: TaskView) -> pb.CommandTask:
    return pb.CommandTask(
        node=view.spec.node if view.spec is not None else "",
        task_id=view.task_id,
        state=cast("task_pb2.Task.State.ValueType", int(view.state)),
        exit_code=view.exit_code,
        error_message=view.error_message,
    )
