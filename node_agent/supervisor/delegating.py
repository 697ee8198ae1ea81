"""Starting a task as another account, and learning why it could not be.

The spawner never changes its own identity and never forks: it has a process that does
the one (``nursery.py``), whose copy does the other and becomes the task
(``dropping.py``). The order goes to it in a memory file, so that only the copy ever
reads it and its length has no limit.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os

from node_agent.supervisor import protocol
from node_agent.supervisor.definition import render
from node_agent.supervisor.failure import StartFailedError
from node_agent.supervisor.reports import Ending

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from node_agent.supervisor.commands import Config
    from node_agent.supervisor.definition import Definition, Template, Value
    from node_agent.supervisor.nursery import Gate, Nursery
    from node_agent.supervisor.slots import Slot

ORDER_FD = 3
"""Where the new process reads the order: JSON."""

FAILURE_FD = 4
"""Where it writes what has failed, in a record that has its place on the disk."""

RECORD_BYTES = 8192
LONGEST_TEXT = 1000  # characters, each at most six bytes of JSON
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
    nursery: Nursery,
    order: Mapping[str, Any],
    slot: Slot,
    streams: Sequence[int],
    *,
    contained: bool,
) -> Gate:
    """Have a process made that carries the order out once its gate is opened.

    Args:
        nursery: Which makes it.
        order: What ``order_of`` returned.
        slot: Of the attempt.
        streams: Standard input, output and error.
        contained: It is to be in the slot's cgroup.

    Raises:
        StartFailedError: there is none: the node's fault.
    """
    descriptors: list[int] = []
    try:
        descriptors.append(os.memfd_create("hpc-task-start"))
        _write(descriptors[0], json.dumps(order).encode())
        descriptors.append(os.open(slot.failure, FAILURE_FLAGS, 0o600))
        _write(descriptors[1], record_of(unfinished()))
        place = slot.number if contained else None
        return nursery.bear([*streams, *descriptors], place)
    except OSError as error:
        what = b"the process that starts tasks of other accounts"
        raise StartFailedError("start", error, what, is_of_node=True) from None
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def unfinished() -> StartFailedError:
    """Return what is true until the program is executed or something has failed."""
    error = OSError(errno.EINTR, os.strerror(errno.EINTR))
    what = b"it ended before the program was executed"
    return StartFailedError("start", error, what, is_of_node=True)


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


def _write(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
