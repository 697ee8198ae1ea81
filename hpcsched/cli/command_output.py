"""What the nodes of a command write: lines after their names, bytes, or JSON Lines."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, Final

from hpcsched.api.v1 import job_service_pb2 as pb
from hpcsched.api.v1 import task_pb2
from hpcsched.cli.shapes import task_state, to_dict

if TYPE_CHECKING:
    from hpcsched.cli.app import App

TASK: Final = task_pb2.Task
_STREAMS: Final = {pb.OUTPUT_STREAM_STDERR: "stderr"}

#: A line that is longer is shown in parts, bytes.
LONGEST_LINE: Final = 64 * 1024


class CommandOutput:
    """Shows a command as it goes.

    Attributes:
        failed: Node to why it failed there.
    """

    def __init__(self, app: App, job_id: int, *, prefix: bool) -> None:
        self._app = app
        self._job_id = job_id
        self._prefix = prefix
        self._rest: dict[tuple[int, int], bytes] = {}
        self.failed: dict[str, str] = {}

    def show(self, message: pb.FollowCommandResponse) -> None:
        """Show one message."""
        for output in message.outputs:
            self._show_output(output)
        for task in message.tasks:
            self._show_task(task)
        if message.HasField("job") and self._app.as_json:
            self._line({"job": to_dict(message.job)})
        sys.stdout.flush()
        sys.stderr.flush()

    def _show_output(self, output: pb.CommandOutput) -> None:
        if not (self._prefix or self._app.as_json):
            _file(output.stream).write(output.data)
            return
        key = (output.task_id, output.stream)
        *lines, rest = (self._rest.pop(key, b"") + output.data).split(b"\n")
        while len(rest) > LONGEST_LINE:
            lines.append(rest[:LONGEST_LINE])
            rest = rest[LONGEST_LINE:]
        if rest and output.eof:
            lines.append(rest)
        elif rest:
            self._rest[key] = rest
        for line in lines:
            self._show_line(output, line)
        if output.eof and self._app.as_json:
            self._event(output, eof=True, error=output.error)

    def _show_line(self, output: pb.CommandOutput, line: bytes) -> None:
        if self._app.as_json:
            self._event(output, text=line.decode(errors="replace"))
        else:
            name = output.node.encode()
            _file(output.stream).write(name + b": " + line + b"\n")

    def _event(self, output: pb.CommandOutput, **facts: object) -> None:
        stream = _STREAMS.get(output.stream, "stdout")
        self._line({"node": output.node, "stream": stream, **facts})

    def _show_task(self, task: pb.CommandTask) -> None:
        ended = task.HasField("exit_code")
        if task.state in (TASK.STATE_FAILED, TASK.STATE_CANCELED):
            code = f"exit code {task.exit_code}" if ended else "it did not run"
            self.failed[task.node] = task.error_message or code
        if not self._app.as_json:
            return
        facts: dict[str, Any] = {
            "node": task.node,
            "task_id": task.task_id,
            "state": task_state(task.state),
        }
        if ended:
            facts["exit_code"] = task.exit_code
        self._line({**facts, "error_message": task.error_message})

    def _line(self, facts: dict[str, Any]) -> None:
        text = json.dumps({"job_id": self._job_id, **facts}, ensure_ascii=False)
        sys.stdout.buffer.write(text.encode(errors="replace") + b"\n")


def _file(stream: int) -> Any:
    return (sys.stderr if stream == pb.OUTPUT_STREAM_STDERR else sys.stdout).buffer
