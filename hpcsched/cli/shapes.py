"""The API's messages as JSON: proto field names, enum names, RFC 3339 times.

Zero and empty values are there; what has no value yet is left out (cli.md section 4).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcsched.api.v1 import job_pb2, task_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from google.protobuf.message import Message

    from hpcsched.api.v1 import watch_service_pb2


def to_dict(message: Message) -> dict[str, Any]:
    """Return a message as what ``json`` prints."""
    from google.protobuf.json_format import MessageToDict

    return MessageToDict(
        message,
        always_print_fields_with_no_presence=True,
        preserving_proto_field_name=True,
    )


def listing(
    name: str, items: Iterable[Message], next_page_token: str = ""
) -> dict[str, Any]:
    """Return the one shape of all lists: ``{"jobs": […], "next_page_token": ""}``."""
    found = [to_dict(item) for item in items]
    return {name: found, "next_page_token": next_page_token}


def job_state(number: int) -> str:
    """Return the name of a job's state; a number that is new stays a number."""
    return _name(job_pb2.Job.State, number)


def task_state(number: int) -> str:
    """Return the name of a task's state."""
    return _name(task_pb2.Task.State, number)


def _name(enum: Any, number: int) -> str:
    return str(enum.Name(number)) if number in enum.values() else str(number)


def role_text(number: int) -> str:
    """Return a role as ``token create --role`` takes it."""
    from hpcsched.api.v1 import cluster_service_pb2

    name = _name(cluster_service_pb2.Role, number)
    return name.removeprefix("ROLE_").replace("_", "").lower()


def ended_count(counts: task_pb2.TaskCounts) -> int:
    """Return how many elements have ended."""
    return counts.finished + counts.failed + counts.canceled


def short(name: str) -> str:
    """Return a state for people: ``STATE_RUNNING`` becomes ``Running``."""
    words = name.removeprefix("STATE_").split("_")
    return "".join(word.capitalize() for word in words)


def event_dict(event: watch_service_pb2.Event) -> dict[str, Any]:
    """Return an event as one line of a stream, its states by name."""
    found = to_dict(event)
    for change, shown in zip(event.changes, found["changes"], strict=True):
        name = task_state if change.task_id else job_state
        shown["state"] = name(change.state)
        shown["previous_state"] = name(change.previous_state)
    return found


def stream_lines(
    message: watch_service_pb2.WatchResponse | watch_service_pb2.WatchJobResponse,
) -> Iterator[dict[str, Any]]:
    """Return what one message of a watch says, one object per line."""
    for event in message.events:
        yield event_dict(event)
    if message.caught_up:
        yield {"cursor": message.cursor, "caught_up": True}
    elif message.bookmark:
        yield {"cursor": message.cursor, "bookmark": True}
