"""What is shown of the past: who held cores, and what happened to nodes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocationView:
    """Cores of a node that a job holds or held.

    Attributes:
        cores: Ids as ranges.
        end_time: None: it still holds them.
        history_id: 0 while it does.
    """

    job_id: int
    requeue_id: int
    node: str
    cores: str
    start_time: float
    end_time: float | None = None
    history_id: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeHistoryView:
    """Something that happened to a node; ``name`` as of its event."""

    seq: int
    node: str
    name: str
    time: float
    message: str
