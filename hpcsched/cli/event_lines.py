"""Events for people: a line per change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcsched.api.v1 import node_pb2
from hpcsched.cli.shapes import job_state, short, task_state
from hpcsched.cli.times import clock_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpcsched.api.v1 import watch_service_pb2


def event_lines(event: watch_service_pb2.Event) -> Iterator[str]:
    """Yield a line per change of an event, or one for an event without changes.

    The first says who caused it, if that was a person; each says why, once.
    """
    time = clock_time(event.time)
    told = f" ({event.message})" if event.message else ""
    who = "" if _is_ours(event.actor) else f" by {event.actor}"
    why = ""
    if event.HasField("node_change"):
        yield f"{time}  {_node_line(event)}{told}{who}"
        return
    if event.node_group:
        what = event.name.removeprefix("NodeGroup").lower()
        yield f"{time}  group {event.node_group}  {what}{told}{who}"
        return
    said_at = _place_of_message(event)
    for place, change in enumerate(event.changes):
        name = task_state if change.task_id else job_state
        state = short(name(change.state))
        before = short(name(change.previous_state)) if change.previous_state else ""
        arrow = f"{before} -> {state}" if before else state
        says = told if place == said_at else ""
        if change.reason not in {"", why, event.message}:
            why = change.reason
            says += f" ({why})"
        yield f"{time}  {_what(event.job_id, change)}  {arrow}{says}{who}"
        who = ""
    if not event.changes:
        yield f"{time}  job {event.job_id}  {event.name}{told}{who}"


def _place_of_message(event: watch_service_pb2.Event) -> int:
    """Return the change that an event's message is printed with: the first.

    Of a job that passes a state on its way to its end, the end.
    """
    place = 0
    for at, change in enumerate(event.changes):
        if change.task_id:
            break
        if change.reason == event.message:
            place = at
    return place


def _is_ours(actor: str) -> bool:
    """Is it the head or a node, and no person?"""
    return not actor or actor == "system" or actor.startswith("node:")


def _what(job_id: int, change: watch_service_pb2.Change) -> str:
    if not change.task_id:
        return f"job {job_id}"
    what = f"task {job_id}.{change.task_id}"
    return f"{what}.[{change.elements}]" if change.elements else what


def _node_line(event: watch_service_pb2.Event) -> str:
    change = event.node_change
    if change.joined_groups or change.left_groups:
        joined = [f"+{name}" for name in change.joined_groups]
        left = [f"-{name}" for name in change.left_groups]
        return f"node {change.node}  groups {' '.join(joined + left)}"
    if event.name in ("NodeAdded", "NodeRemoved", "NodeChanged"):
        return f"node {change.node}  {event.name.removeprefix('Node').lower()}"
    if event.name == "NodeResourcesChanged":
        return f"node {change.node}  resources changed"
    state = short(node_pb2.Node.State.Name(change.state))
    reach = "" if change.reachable else ", not reachable"
    if not change.previous_state or change.previous_state == change.state:
        return f"node {change.node}  {state}{reach}"
    before = short(node_pb2.Node.State.Name(change.previous_state))
    return f"node {change.node}  {before} -> {state}{reach}"
