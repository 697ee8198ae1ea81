"""What a node's Hello changes in what is kept of it."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from hpcsched.common.errors import HpcError
from hpcsched.runtime.node_event import SYSTEM, NodeEvent, agent_of
from hpcsched.runtime.node_groups import groups_event, is_name

if TYPE_CHECKING:
    from hpcsched.runtime.frames import Hello
    from hpcsched.runtime.node_actor import NodeActor
    from hpcsched.runtime.node_changes import Change
    from hpcsched.runtime.world import World

PROTOCOL: Final = 1
CORE_LIMIT: Final = 65535
GROUPS_DECLARED: Final = 64

#: A node that was heard of within so many heartbeats lives, whoever has its name too.
LATELY: Final = 1.5
_NODE_NAME: Final = re.compile(r"[\w.-]{1,80}")


def check_hello(hello: Hello, token_node: str) -> None:
    """Refuse a node that has no business here.

    Raises:
        HpcError: PERMISSION_DENIED, PROTOCOL_MISMATCH, INVALID_FIELD, OUT_OF_RANGE.
    """
    if token_node not in ("*", hello.node):
        raise HpcError(
            "PERMISSION_DENIED", user=token_node, operation=f"join as {hello.node}"
        )
    if not hello.protocol_min <= PROTOCOL <= hello.protocol_max:
        raise HpcError(
            "PROTOCOL_MISMATCH",
            low=hello.protocol_min,
            high=hello.protocol_max,
            ours=PROTOCOL,
        )
    if not _NODE_NAME.fullmatch(hello.node):
        problem = f"{hello.node!r} is no name of a node: letters, digits, '-', '.', '_'"
        raise HpcError("INVALID_FIELD", field="hello.node", problem=problem)
    if not 1 <= hello.resources.cores <= CORE_LIMIT:
        raise HpcError(
            "OUT_OF_RANGE",
            field="hello.cores",
            value=hello.resources.cores,
            limit=f"1 to {CORE_LIMIT}",
        )


def declared_groups(hello: Hello) -> tuple[str, ...]:
    """Return the groups that a node names; what cannot be a name is passed over."""
    names = sorted({name for name in hello.resources.groups if is_name(name)})
    return tuple(names[:GROUPS_DECLARED])


def _conflict(world: World, actor: NodeActor, hello: Hello) -> str:
    """Return why a node cannot be the one that is connected; empty: it can.

    Another machine is refused for as long as the first one's stream lasts. One with its
    machine id may be the same after a reboot, unless the first was heard of lately: a
    cloned image has the id as well. Without this each would end the other's stream and
    lose its tasks, in turns (RELIABILITY F47).
    """
    session = actor.session
    if session is None:
        return ""
    first = session.hello
    silent = world.clock.mono() - actor.heard_at
    machines = first.machine_id, hello.machine_id
    if first.boot_id != hello.boot_id and all(machines) and len(set(machines)) > 1:
        return "machine id {} there, {} here".format(*machines)
    if silent >= LATELY * session.beat_s:
        return ""
    if first.boot_id != hello.boot_id:
        return f"boot {first.boot_id} there, {hello.boot_id} here"
    if first.instance != hello.instance:
        return f"supervisor {first.instance} there, {hello.instance} here"
    return ""


def admission(world: World, actor: NodeActor, hello: Hello, *, new: bool) -> Change:
    """Return what a Hello changes; the node may be a new one.

    Raises:
        HpcError: NODE_CONFLICT.
    """
    before = actor.record
    problem = _conflict(world, actor, hello)
    if problem:
        refusal = HpcError("NODE_CONFLICT", node=hello.node, problem=problem)
        world.alarms.sound(hello.node, f"{refusal}. {refusal.hint}")
        raise refusal
    groups = declared_groups(hello)
    record = replace(before.learned(hello), declared=groups)
    if not record.guid:
        record = replace(record, guid=world.ids.uuid())
    agent = agent_of(hello.node)
    change = world.groups.declared(groups, agent)
    if record == before:
        return change
    change.records = [(actor, record)]
    now = world.clock.wall()
    events = []
    if new or before.cores != record.cores:
        name, by = ("NodeAdded", SYSTEM) if new else ("NodeResourcesChanged", agent)
        unit = "core" if record.cores == 1 else "cores"
        was = "" if new else f", it had {before.cores}"
        one = NodeEvent(
            name=name,
            time=now,
            actor=by,
            node=record.name,
            state=record.state,
            previous=0 if new else record.state,
            reachable=actor.reachable,
            message=f"{record.cores} {unit}{was}",
        )
        events.append(one)
    moved = groups_event(before, record, agent, now, reachable=actor.reachable)
    events += [] if moved is None else [moved]
    change.events = [*change.events, *events]
    return change
