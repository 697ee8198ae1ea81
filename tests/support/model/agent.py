"""The agent of the model: between its supervisor and the head.

Each function names the code that it stands for (node_agent).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.support.model.values import INTENT, NOT_STARTED, STARTED, Step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.model.values import Config, Node


def agent_steps(config: Config, node: Node) -> Iterator[Step]:
    if not node.linked:  # agent._hear_hello, after the settling pings
        disk = node.disk
        table = [(t, a, how != INTENT) for t, a, how, _ in disk.alive]
        table += [(t, a, False) for t, a in disk.queued]
        ended = {one[2:] for one in disk.reports if one[1] != STARTED}
        yield Step(
            "link",
            node._replace(
                linked=True,
                table=tuple(sorted(table)),
                ended=tuple(sorted({*node.ended, *ended})),
                waiting=disk.reports,
                sent=(),
            ),
        )
        return
    known = [one[0] for one in node.waiting]
    known += [one[0] for _, batch in node.sent for one in batch]
    fresh = [one for one in node.disk.reports if one[0] > max([0, *known])]
    fresh = [one for one in fresh if not _is_acknowledged(node, one[0])]
    if fresh:
        yield Step(f"read {fresh[0]}", _read(node, fresh[0]))
    if not node.stage:
        yield Step("hello", _say_hello(config, node))
    elif node.stage == 1 and node.down and node.down[0][0] == "welcome":
        waiting = tuple(one for _, batch in node.sent for one in batch) + node.waiting
        after = node._replace(
            down=node.down[1:], stage=2, due=True, waiting=waiting, sent=()
        )
        yield Step("welcomed", after)
    elif node.down:
        yield Step(f"hear {node.down[0]}", _hear(config, node))
    elif node.session != node.sid and not any(f[0] == "hello" for f in node.up):
        yield Step("stream is over", hang_up(node))
    if node.stage == 2:
        yield from _say(config, node)


def _is_acknowledged(node: Node, position: int) -> bool:
    """Has the agent said so, and the supervisor not read it yet?"""
    return any(one[0] == "ack" and one[1] >= position for one in node.handed)


def _read(node: Node, report: tuple[int, str, int, int]) -> Node:
    """Take a report of the supervisor (agent._hear_started, _hear_ended)."""
    _, kind, task, attempt = report
    table = {one[:2]: one for one in node.table}
    ended = node.ended
    if kind == STARTED:
        table[task, attempt] = (task, attempt, True)
    else:
        table.pop((task, attempt), None)
        ended = tuple(sorted({*ended, (task, attempt)}))
    return node._replace(
        table=tuple(sorted(table.values())),
        ended=ended,
        waiting=(*node.waiting, report),
    )


def _say_hello(config: Config, node: Node) -> Node:
    """Begin a stream (link.stream._write, core.attempts.inventory)."""
    live = {one[:2]: one for one in node.table}
    if config.mutant != "ends_unknown_when_compared":
        reports = [one for _, batch in node.sent for one in batch] + [*node.waiting]
        for _, kind, task, attempt in reports:
            if kind != STARTED:
                live.setdefault((task, attempt), (task, attempt, kind != NOT_STARTED))
    hello = ("hello", node.boot, tuple(sorted(live.values())))
    return node._replace(
        stage=1,
        sid=node.sid + 1,
        up=(hello,),
        down=(),
        said=0,
        heard=0,
        due=False,
    )


def hang_up(node: Node) -> Node:
    """End the agent's stream; what it has sent may still reach the head."""
    late = node.up if node.session == node.sid else node.late
    return node._replace(stage=0, up=(), late=late, down=(), due=False)


def _hear(config: Config, node: Node) -> Node:
    """Take a frame of the head (link.stream._hear, core.session)."""
    frame: Any = node.down[0]
    node = node._replace(down=node.down[1:])
    if frame[0] == "ack":
        released = [b for seq, b in node.sent if seq <= frame[1]]
        if not released:
            return node
        node = node._replace(sent=tuple(o for o in node.sent if o[0] > frame[1]))
        positions = [one[0] for batch in released for one in batch if one[0]]
        if positions and config.mutant != "spool_dropped_early":
            node = node._replace(handed=(*node.handed, ("ack", max(positions), 0)))
        return node
    if frame[0] != "orders":
        return node
    _, seq, orders = frame
    if seq <= node.heard:
        return node  # it came twice
    if seq != node.heard + 1:
        return hang_up(node)  # one is missing
    table = {one[:2]: one for one in node.table}
    for word, task, attempt in orders:
        key = (task, attempt)
        if word == "start" and key not in node.ended:
            table.setdefault(key, (task, attempt, False))
    return node._replace(
        heard=seq,
        handed=(*node.handed, *orders),
        table=tuple(sorted(table.values())),
    )


def _say(config: Config, node: Node) -> Iterator[Step]:
    """Send what has gathered, or only the first of it (link.outbox.next_frame)."""
    batches = {node.waiting, node.waiting[:1]} - {()}
    for batch in sorted(batches):
        rest = node.waiting[len(batch) :]
        beat = node.due and not rest
        beat = beat and config.mutant != "ends_unknown_when_compared"
        frame = ("frame", node.said + 1, batch, beat)
        after = node._replace(
            said=node.said + 1,
            waiting=rest,
            sent=(*node.sent, (node.said + 1, batch)),
            due=node.due and not beat,
            up=(*node.up, frame),
        )
        if config.mutant == "spool_dropped_early":
            positions = [one[0] for one in batch if one[0]]
            if positions:
                order = ("ack", max(positions), 0)
                after = after._replace(handed=(*after.handed, order), sent=())
        yield Step(f"say {frame}", after)
    hasty = config.mutant == "ends_unknown_when_compared"
    if node.due and (hasty or not node.waiting):
        up = (*node.up, ("frame", 0, (), True))
        yield Step("beat", node._replace(due=False, up=up))
