"""Commands about a queued job that waits on a node (core/job/ahead.py)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SendAhead:
    """The scheduler lets a queued job wait on a node before a core is free there.

    Attributes:
        cores: Of which it may have any one.
        shape: Cores and sockets of the node.
    """

    node_id: int
    cores: tuple[int, ...]
    shape: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecallAhead:
    """A job that waits on a node is to come back, unless it has started there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartAhead:
    """A job that waits on a node counts as started: nobody can ask the node."""
