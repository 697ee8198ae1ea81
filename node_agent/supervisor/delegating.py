"""Starting a task as another account, and learning why it could not be.

The spawner never changes its own identity and never forks: it starts a program that
does the one and becomes the task (``dropping.py``). The order goes to it in a memory
file, so that ``ps`` shows nothing of it and its length has no limit.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os

from node_agent.supervisor import protocol
from node_agent.supervisor.commands import command_of_start
from node_agent.supervisor.definition import render
from node_agent.supervisor.launch import StartFailedError
from node_agent.supervisor.reports import Ending

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from node_agent.supervisor.attempt import Attempt
    from node_agent.supervisor.commands import Config
    from node_agent.supervisor.definition import Definition, Template, Value
    from node_agent.supervisor.slots import Slot

ORDER_FD = 3
"""Where the new process reads the order: JSON."""

FAILURE_FD = 4
"""Where it writes what has failed, in a record that has its place on the disk."""

RECORD_BYTES = 8192
LONGEST_TEXT = 1000  # characters, each at most six bytes of JSON
SPARE = 10
"""Descriptors from here on are not among those that the new process gets."""

TAG = (b"HPC_TASK", b"HPC_ATTEMPT")
FAILURE_FLAGS = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC


def order_of(
    definition: Definition,
    value: Value,
    environment: Mapping[bytes, bytes],
    config: Config,
) -> dict[str, Any]:
    """Return what to start and as whom, fit for JSON."""

    def path(template: Template | None) -> str | None:
        return None if template is None else _text(render(template, value))

    return {
        "account": definition.account,
        "min_uid": config.min_uid,
        "privileged": config.privileged,
        "new_privileges": config.new_privileges,
        "argv": [_text(word) for word in definition.arguments(value)],
        "env": {_text(name): _text(text) for name, text in environment.items()},
        "cwd": _text(definition.cwd),
        "stdin": path(definition.stdin),
        "stdout": path(definition.stdout),
        "stderr": path(definition.stderr),
    }


def spawn(
    order: Mapping[str, Any], attempt: Attempt, slot: Slot, streams: Sequence[int]
) -> int:
    """Start the program that carries the order out; return its process id.

    It has the attempt's tag in its environment from the first, and a session of its
    own: a spawner that follows a dead one knows whose it is.

    Raises:
        StartFailedError: it could not be executed: the node's fault.
    """
    environment = dict(zip(TAG, _tag(attempt), strict=True))
    command = command_of_start()
    descriptors: list[int] = []
    try:
        descriptors.append(os.memfd_create("hpc-task-start"))
        _write(descriptors[0], json.dumps(order).encode())
        descriptors.append(os.open(slot.failure, FAILURE_FLAGS, 0o600))
        _write(descriptors[1], record_of(unfinished()))
        given = [*streams, *descriptors]
        # None may be overwritten before it is duplicated itself, nor be its own copy,
        # which would stay closed on exec.
        for target, descriptor in enumerate(given):
            if descriptor < SPARE:
                given[target] = _above(descriptor)
                descriptors.append(given[target])
        return os.posix_spawn(
            command[0],
            command,
            environment,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, descriptor, target)
                for target, descriptor in enumerate(given)
            ],
            setsid=True,
            setsigmask=(),
        )
    except OSError as error:
        what = command[0].encode()
        raise StartFailedError("start", error, what, is_of_node=True) from None
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def unfinished() -> StartFailedError:
    """Return what is true until the program is executed or something has failed."""
    error = OSError(errno.EINTR, "it ended before the program was executed")
    return StartFailedError("start", error, b"", is_of_node=True)


def record_of(failure: StartFailedError | None) -> bytes:
    """Return the record of a failure, None for a program that was executed."""
    fields = None
    if failure is not None:
        fields = [failure.code, failure.text[:LONGEST_TEXT], failure.is_of_node]
    return json.dumps(fields).encode().ljust(RECORD_BYTES)


def failure_of(slot: Slot) -> Ending | None:
    """Return why nothing of a task was executed, None if it was."""
    data = b""
    with contextlib.suppress(OSError), open(slot.failure, "rb") as file:
        data = file.read(RECORD_BYTES)
    failure = json.loads(data) if data else None
    if failure is None:
        return None
    code, text, is_of_node = failure
    reason = protocol.NOT_STARTED if is_of_node else protocol.START_FAILED
    return Ending(reason, code=code, message=text)


def _tag(attempt: Attempt) -> tuple[bytes, bytes]:
    name = f"{attempt.definition.tag_prefix}{attempt.instance}"
    return name.encode(), b"%d" % attempt.attempt


def _above(descriptor: int) -> int:
    """Return a copy of a descriptor that no new process expects anything at."""
    import fcntl  # noqa: PLC0415 - rarely needed

    return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, SPARE)


def _write(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
