"""The head's end of a node's stream (runtime.node_actor, runtime.node_session)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.support.model.values import Step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.model.values import Config, Frame, Mail, Node, Order


def session_steps(config: Config, node: Node, at: int, known: int) -> Iterator[Step]:
    """Take a frame of the agent (services.agents, runtime.node_actor)."""
    first: Any = node.up[0] if node.up else None
    if first is not None and first[0] == "hello":  # node_registry.connect
        _, boot, live = first
        rebooted = known != boot and config.mutant != "boot_not_checked"
        yield Step(
            "accept",
            node._replace(
                session=node.sid,
                up=node.up[1:],
                late=(),
                down=(("welcome",),),
                taken=0,
                told=0,
                asked=False,
                compared=False,
                live=live,
                rebooted=rebooted,
                told_boot=boot,
            ),
        )
    elif first is not None and node.session == node.sid:
        yield _take(config, node._replace(up=node.up[1:]), at, first)
    elif first is not None:  # the head has closed this stream
        yield Step("drop", node._replace(up=()))
    if node.late and node.session:
        yield _take(config, node._replace(late=node.late[1:]), at, node.late[0])


def _take(config: Config, node: Node, at: int, frame: Frame) -> Step:
    """Hear a frame of the current session (node_actor.heard)."""
    _, seq, reports, beat = frame
    mail: list[Mail] = []
    assert isinstance(seq, int)
    if seq > node.taken + 1:
        return Step("gap", close_session(node))
    if seq > node.taken:
        node = node._replace(taken=seq)
        mail.append(("reports", at, node.session, seq, reports))
        if config.mutant == "ack_before_commit":
            node = _send(node, ("ack", seq))
    if beat and not node.asked:
        node = node._replace(asked=True)
        mail.append(("sync", at, node.session, node.live, node.rebooted))
    return Step(f"take {frame}", node, tuple(mail))


def close_session(node: Node) -> Node:
    """The head closes its end (node_actor._break_off, closed)."""
    return node._replace(
        session=0,
        late=(),
        taken=0,
        told=0,
        asked=False,
        compared=False,
        live=(),
        rebooted=False,
    )


def _send(node: Node, frame: Frame) -> Node:
    if node.session != node.sid or not node.stage:
        return node  # nobody is there to read it
    return node._replace(down=(*node.down, frame))


def acknowledge(node: Node, session: int, seq: int) -> Node:
    """Tell the agent that its frame is durable (node_actor._recorded)."""
    return _send(node, ("ack", seq)) if node.session == session else node


def order(config: Config, node: Node, orders: tuple[Order, ...]) -> Node:
    """Send orders; without a session that compares they are not kept
    (node_actor.send)."""
    if not orders or not node.session or not node.asked:
        return node
    if not node.compared and config.mutant != "ordered_before_compared":
        return node  # the comparison sends them again
    node = node._replace(told=node.told + 1)
    return _send(node, ("orders", node.told, orders))
