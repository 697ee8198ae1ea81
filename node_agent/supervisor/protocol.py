r"""The frames that agent and supervisor exchange over their Unix socket.

A frame is a length (four bytes, big-endian) and a JSON array of messages in UTF-8; a
message is an array whose first item is its name. What has gathered is sent in one
frame; nobody waits to fill one. Strings may hold bytes that are no UTF-8, as lone
surrogates (``os.fsencode``'s surrogateescape); they travel as ``\udcXX`` escapes.

The agent imports this module too, hence the standard library only.

========================  ===========================================================
agent to supervisor       items after the name
========================  ===========================================================
hello                     {"version": 1, "job_ends": false: no job_ended is wanted};
                          always the first message
define                    {"job", "task", "def", "argv" | "shell", "env", "cwd",
                          "stdin", "stdout", "stderr", "limit_s", "grace_s", "signal",
                          "pin", "output_limit", "cgroup"}
grant                     job, [core ids]
start                     job, task, def, [[instance, attempt, value, ncores, env]]
stop                      job, task, [[instance, attempt]], grace_s, reason
recall                    job, task, [[instance, attempt]]
alike                     {as for define}, [variable], [[job, value of each]],
                          [core ids], [as for start]: define, grant and start for
                          each of the jobs, which differ in nothing else
end_job, purge            job
end_jobs                  [job]
ack                       position
stop_all                  grace_s, reason
settings                  {"output_quota"}
ping                      any value
usage                     none; the answer has the same name
upgrade, shutdown         none
========================  ===========================================================

========================  ===========================================================
supervisor to agent       items after the name
========================  ===========================================================
hello                     {"version", "boot_id", "instance", "containment",
                          "position", "cores", "running", "queued", "node",
                          "usage": true, "holds_starts": true,
                          "alike": true: those of end_jobs, too}
started                   position, job, task, instance, attempt, pid, start time,
                          [cores], stdout path, stderr path
ended                     position, job, task, instance, attempt, {...}
refused                   job, task, instance, attempt, text
job_ended                 job; several, if they were ended together
all_stopped               none
pong                      the ping's value
usage                     [[job, task, instance, attempt, user ms, system ms,
                          resident KiB, number of processes, [process ids]]]
error                     text
========================  ===========================================================
"""

from __future__ import annotations

import contextlib
import json
import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

VERSION = 1
MAX_FRAME_BYTES = 16 * 1024 * 1024
LENGTH = struct.Struct(">I")
MAX_SOCKET_PATH_BYTES = 107  # sockaddr_un, without the final zero

HELLO = "hello"
DEFINE = "define"
GRANT = "grant"
START = "start"
ALIKE = "alike"
STOP = "stop"
RECALL = "recall"
END_JOB = "end_job"
END_JOBS = "end_jobs"
PURGE = "purge"
ACK = "ack"
STOP_ALL = "stop_all"
SETTINGS = "settings"
PING = "ping"
USAGE = "usage"
UPGRADE = "upgrade"
SHUTDOWN = "shutdown"

STARTED = "started"
ENDED = "ended"
REFUSED = "refused"
JOB_ENDED = "job_ended"
ALL_STOPPED = "all_stopped"
PONG = "pong"
ERROR = "error"

EXITED = "EXITED"
SIGNALED = "SIGNALED"
CANCELED = "CANCELED"
KILLED = "KILLED"
TIME_LIMIT = "TIME_LIMIT"
OUT_OF_MEMORY = "OUT_OF_MEMORY"
START_FAILED = "START_FAILED"
NOT_STARTED = "NOT_STARTED"
NODE_REBOOTED = "NODE_REBOOTED"
NODE_SHUTDOWN = "NODE_SHUTDOWN"
STATUS_LOST = "STATUS_LOST"
PREEMPTED = "PREEMPTED"  # only as the reason of a stop

Message = list["Any"]


class ProtocolError(ValueError):
    """The peer sent what is no frame; the connection cannot be used any more."""


def encode_message(message: Iterable[Any]) -> bytes:
    """Return one message as JSON, ASCII only."""
    return _ENCODER.encode(message).encode()


def frame_of(texts: Iterable[bytes]) -> bytes:
    """Return a frame of messages that are JSON already.

    Raises:
        ProtocolError: the frame would be longer than MAX_FRAME_BYTES.
    """
    body = b"[" + b",".join(texts) + b"]"
    if len(body) > MAX_FRAME_BYTES:
        raise ProtocolError(_too_long(len(body)))
    return LENGTH.pack(len(body)) + body


def encode(messages: Iterable[Iterable[Any]]) -> bytes:
    """Return a frame of the messages.

    Raises:
        ProtocolError: the frame would be longer than MAX_FRAME_BYTES.
    """
    return frame_of(encode_message(message) for message in messages)


def decode(body: bytes) -> list[Message]:
    """Return the messages of a frame's body (without its length).

    Raises:
        ProtocolError: it is no JSON array of arrays that begin with a name.
    """
    try:
        found = _DECODER.decode(body.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"not JSON: {error}") from None
    if not isinstance(found, list):
        raise ProtocolError("a frame is a JSON array of messages")
    for message in found:
        if not isinstance(message, list) or not message or type(message[0]) is not str:
            raise ProtocolError("a message is an array whose first item is its name")
    return found


class FrameReader:
    """Cuts a stream of bytes into messages."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """Return the messages of the frames that the bytes complete.

        Raises:
            ProtocolError: a frame is malformed or longer than MAX_FRAME_BYTES.
        """
        buffer = self._buffer
        buffer += data
        messages: list[Message] = []
        start = 0
        while len(buffer) - start >= LENGTH.size:
            (length,) = LENGTH.unpack_from(buffer, start)
            if length > MAX_FRAME_BYTES:
                raise ProtocolError(_too_long(length))
            end = start + LENGTH.size + length
            if len(buffer) < end:
                break
            messages += decode(bytes(buffer[start + LENGTH.size : end]))
            start = end
        if start:
            del buffer[:start]
        return messages


@contextlib.contextmanager
def socket_address(path: str) -> Iterator[str]:
    """Yield an address for bind or connect that names a Unix socket's path.

    A socket's address holds 107 bytes. A longer path is reached through a descriptor
    of its directory, which is open while the context lasts.

    Raises:
        OSError: the directory cannot be opened.
    """
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES:
        yield path
        return
    folder, name = os.path.split(path)
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{name}"
    finally:
        os.close(descriptor)


def _too_long(length: int) -> str:
    return f"a frame of {length} bytes; the limit is {MAX_FRAME_BYTES}"


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
_DECODER = json.JSONDecoder(parse_constant=_no_constant)
