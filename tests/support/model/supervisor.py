"""The supervisor of the model: its journal, its processes.

Each function names the code that it stands for (node_agent.supervisor).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.model.values import (
    DEAD,
    EXITED,
    INTENT,
    KILLED,
    NOT_STARTED,
    ORPHANED,
    RECORDED,
    SPAWNED,
    STARTED,
    STATUS_LOST,
    UNKNOWN,
    Disk,
    Step,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.model.values import Config, Node, Order


def journal_report(disk: Disk, kind: str, task: int, attempt: int) -> Disk:
    """Journal a report (supervisor.ending._report, starting.report_started)."""
    position = disk.position + 1
    seen = disk.seen
    alive, queued = disk.alive, disk.queued
    if kind != STARTED:
        seen = tuple(
            max(newest, attempt) if at == task else newest
            for at, newest in enumerate(seen)
        )
        alive = tuple(one for one in alive if one[:2] != (task, attempt))
        queued = tuple(one for one in queued if one != (task, attempt))
    reports = (*disk.reports, (position, kind, task, attempt))
    return Disk(queued, alive, seen, disk.early, reports, position)


def _obey(config: Config, node: Node, order: Order) -> Node:
    """Carry out an order (supervisor.orders.Orders)."""
    disk = node.disk
    word, task, attempt = order
    if word == "ack":
        reports = tuple(one for one in disk.reports if one[0] > task)
        return node._replace(disk=disk._replace(reports=reports))
    if word == "end":  # stopping.end_job
        for key in disk.queued:
            disk = journal_report(disk, NOT_STARTED, *key)
        alive = tuple((t, a, how, True) for t, a, how, _ in disk.alive)
        return node._replace(disk=disk._replace(alive=alive))
    if word == "stop":
        return node._replace(disk=_stop(config, disk, task, attempt))
    return _accept(config, node, task, attempt)


def _here(disk: Disk, task: int) -> list[int]:
    """Return the attempts of a task that wait or live."""
    waiting = [a for t, a in disk.queued if t == task]
    return waiting + [a for t, a, *_ in disk.alive if t == task]


def _stop(config: Config, disk: Disk, task: int, attempt: int) -> Disk:
    """Stop an attempt; one that has not come will be refused (stopping.stop)."""
    if (task, attempt) in disk.queued:
        return journal_report(disk, NOT_STARTED, task, attempt)
    here = _here(disk, task)
    if attempt in here:
        alive = tuple(
            (t, a, how, stopped or (t, a) == (task, attempt))
            for t, a, how, stopped in disk.alive
        )
        return disk._replace(alive=alive)
    unknown = attempt > max([disk.seen[task], *here])
    if not unknown or config.mutant == "early_stop_forgotten":
        return disk
    return disk._replace(early=tuple(sorted({*disk.early, (task, attempt)})))


def _accept(config: Config, node: Node, task: int, attempt: int) -> Node:
    """Take a start, once; a newer attempt waits (starting.accept, _is_new)."""
    disk = node.disk
    here = _here(disk, task)
    if attempt in here:
        return node
    ended = disk.seen[task] if config.mutant != "ended_forgotten" else 0
    still = here and config.mutant == "newer_refused"
    still = still or (task, attempt) in node.refused
    if still or attempt < max([0, *here]) or attempt <= ended:
        ends = [one[2:] for one in disk.reports if one[1] != STARTED]
        if (task, attempt) in ends:
            return node  # its end is told again, and the agent has it
        return refuse(config, node, task, attempt)
    for key in disk.queued:
        if key[0] == task:  # the head has given it up
            disk = journal_report(disk, NOT_STARTED, *key)
    disk = disk._replace(queued=(*disk.queued, (task, attempt)))
    if (task, attempt) in disk.early:
        early = tuple(one for one in disk.early if one != (task, attempt))
        disk = journal_report(disk._replace(early=early), NOT_STARTED, task, attempt)
    return node._replace(disk=disk)


def refuse(config: Config, node: Node, task: int, attempt: int) -> Node:
    """Refuse a start for good (starting._refuse, agent._hear_refused)."""
    key = (task, attempt)
    if config.mutant != "refusal_forgotten":
        node = node._replace(refused=tuple(sorted({*node.refused, key})))
    if (*key, True) in node.table or key in node.ended:
        return node
    told = (0, NOT_STARTED, *key)
    if any(told in batch for batch in (node.waiting, *(b for _, b in node.sent))):
        return node  # once more would be no news
    table = tuple(one for one in node.table if one[:2] != key)
    return node._replace(table=table, waiting=(*node.waiting, told))


def lacks_space(config: Config, node: Node) -> Node | None:
    """Refuse the start that is next: the disk is full (journal.has_room)."""
    if not node.handed or node.handed[0][0] != "start":
        return None
    (_, task, attempt), *rest = node.handed
    known = (*_here(node.disk, task), node.disk.seen[task])
    if attempt <= max(known):
        return None
    return refuse(config, node._replace(handed=tuple(rest)), task, attempt)


def _set(node: Node, at: int, how: str) -> Node:
    alive = list(node.disk.alive)
    task, attempt, _, stopped = alive[at]
    alive[at] = (task, attempt, how, stopped)
    return node._replace(disk=node.disk._replace(alive=tuple(alive)))


def inner_steps(config: Config, node: Node) -> Iterator[Step]:
    """Yield the steps that nobody else can see between: start and end of a process.

    While one of them is under way, only a crash of the same node can come between.
    """
    for at, (task, attempt, how, stopped) in enumerate(node.disk.alive):
        if how == INTENT:
            fact = ("exec", task, attempt)
            yield Step("spawn", _set(node, at, SPAWNED), fact=fact)
        elif how == SPAWNED:
            disk = _set(node, at, RECORDED).disk
            after = node._replace(disk=journal_report(disk, STARTED, task, attempt))
            yield Step("record", after)
        elif how in (DEAD, UNKNOWN):
            kind = KILLED if stopped else EXITED
            kind = STATUS_LOST if how == UNKNOWN else kind
            after = node._replace(disk=journal_report(node.disk, kind, task, attempt))
            yield Step("reap", after)


def supervisor_steps(config: Config, node: Node) -> Iterator[Step]:
    disk = node.disk
    if node.handed:
        order, *rest = node.handed
        after = _obey(config, node._replace(handed=tuple(rest)), order)
        kept = set(after.disk.reports)
        gone = [r[2:] for r in disk.reports if r not in kept and r[1] != STARTED]
        forgets = gone and order[0] == "ack"
        what = ("forget", tuple(gone), 0) if forgets else ()
        yield Step(f"obey {order}", after, fact=what)
    if disk.queued and not any(t == disk.queued[0][0] for t, *_ in disk.alive):
        (task, attempt), *others = disk.queued
        alive = (*disk.alive, (task, attempt, INTENT, False))
        after = node._replace(disk=disk._replace(queued=tuple(others), alive=alive))
        yield Step("intent", after)
    for at, (task, attempt, how, stopped) in enumerate(disk.alive):
        if how in (RECORDED, ORPHANED) and (stopped or not config.endless):
            fact = () if stopped else ("exit", task, attempt)
            ended = DEAD if how == RECORDED else UNKNOWN
            yield Step("end of process", _set(node, at, ended), fact=fact)
    if config.power_cuts and node.synced != disk:
        yield Step("sync", node._replace(synced=disk))
