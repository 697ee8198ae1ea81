"""The node of the model: what it can do next, and what can happen to it.

A step is a label, the node after it, and what others learn: mail for the job's actor,
or a fact for the observer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.support.model.agent import agent_steps, hang_up
from tests.support.model.session import close_session, session_steps
from tests.support.model.supervisor import (
    inner_steps,
    journal_report,
    lacks_space,
    supervisor_steps,
)
from tests.support.model.values import (
    DEAD,
    INTENT,
    NOT_STARTED,
    ORPHANED,
    REBOOTED,
    RECORDED,
    SPAWNED,
    STARTED,
    STATUS_LOST,
    UNKNOWN,
    Step,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.model.values import Config, Node


def steps(config: Config, node: Node, at: int, known: int) -> list[Step]:
    """Return what a node and its session can do next."""
    if inner := [*inner_steps(config, node)]:
        return inner
    return [
        *supervisor_steps(config, node),
        *agent_steps(config, node),
        *session_steps(config, node, at, known),
    ]


def agent_dies(node: Node) -> Node:
    """The agent is killed: its memory is gone, what it has sent may still arrive."""
    node = hang_up(node)
    return node._replace(
        linked=False, table=(), ended=(), waiting=(), sent=(), handed=()
    )


def spawner_dies(config: Config, node: Node) -> Node:
    """The spawner is killed and followed by another (supervisor.recovery)."""
    disk = node.disk
    if config.mutant == "no_intent":
        alive = tuple(one for one in disk.alive if one[2] not in (INTENT, SPAWNED))
        disk = disk._replace(alive=alive)
    for task, attempt, how, stopped in disk.alive:
        if how == INTENT:
            disk = journal_report(disk, NOT_STARTED, task, attempt)
        elif how == SPAWNED:
            alive = tuple(
                (task, attempt, RECORDED, stopped)
                if one[:2] == (task, attempt)
                else one
                for one in disk.alive
            )
            disk = journal_report(disk._replace(alive=alive), STARTED, task, attempt)
    return hang_up(node)._replace(linked=False, handed=(), refused=(), disk=disk)


def both_die(config: Config, node: Node) -> Node:
    """Spawner and reaper are killed: processes live on, their statuses are lost."""
    disk = node.disk
    for task, attempt, how, stopped in disk.alive:
        if how == INTENT or (how == SPAWNED and config.mutant == "orphan_not_found"):
            disk = journal_report(disk, NOT_STARTED, task, attempt)
            continue
        if how in (DEAD, UNKNOWN):
            disk = journal_report(disk, STATUS_LOST, task, attempt)
            continue
        alive = tuple(
            (task, attempt, ORPHANED, stopped) if one[:2] == (task, attempt) else one
            for one in disk.alive
        )
        disk = disk._replace(alive=alive)
        if how == SPAWNED:
            disk = journal_report(disk, STARTED, task, attempt)
    return hang_up(node)._replace(linked=False, handed=(), refused=(), disk=disk)


def power_cut(node: Node, *, synced: bool) -> Node:
    """The machine boots again, with the journal as it was or as it was synced."""
    disk = node.synced if synced else node.disk
    for task, attempt, *_ in disk.alive:
        disk = journal_report(disk, REBOOTED, task, attempt)
    for key in disk.queued:
        disk = journal_report(disk, REBOOTED, *key)
    node = agent_dies(node)
    return node._replace(boot=node.boot + 1, disk=disk, synced=disk, refused=())


def cut(node: Node) -> Node:
    """The stream breaks; both ends notice, and nothing more arrives."""
    return close_session(hang_up(node))._replace(late=())


def mischief(node: Node) -> Iterator[tuple[str, Node]]:
    """Lose, double or swap numbered frames on a stream, which TCP never does."""
    for name in ("up", "down"):
        frames: Any = getattr(node, name)
        if not frames or frames[0][0] not in ("frame", "orders") or not frames[0][1]:
            continue
        tricks: dict[str, Any] = {
            "lose": frames[1:],
            "double": (frames[0], *frames),
            "swap": (*frames[1:2], frames[0], *frames[2:]),
        }
        for trick, after in tricks.items():
            changed: dict[str, Any] = {name: after}
            if after != frames:
                yield f"{trick} {name}", node._replace(**changed)


def faults(config: Config, node: Node) -> Iterator[tuple[str, str, Node]]:
    """Yield what can go wrong with a node: label, the budget it costs, the node after.

    Between the steps of a start or an end, only what stops the supervisor counts.
    """
    name = "spawner_crashes"
    yield name, name, spawner_dies(config, node)
    name = "both_killed"
    yield name, name, both_die(config, node)
    yield "power cut", "power_cuts", power_cut(node, synced=False)
    if node.synced != node.disk:
        label = "power cut, unsynced lost"
        yield label, "power_cuts", power_cut(node, synced=True)
    if any(inner_steps(config, node)):
        return
    if (refusing := lacks_space(config, node)) is not None:
        yield "no space", "refusals", refusing
    name = "agent_crashes"
    if node.linked:
        yield name, name, agent_dies(node)
    if node.stage or node.session:
        yield "cut", "cuts", cut(node)
    if node.session and node.session == node.sid:
        yield "head loses stream", "cuts", close_session(node)
        if node.stage:
            yield "agent loses stream", "cuts", hang_up(node)
    for label, after in mischief(node):
        yield label, "mischief", after
