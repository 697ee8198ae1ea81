"""Events as watchers see them: values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

_new: Final = object.__new__
_NOWHERE: Final = (0, 0)


@dataclass(slots=True, kw_only=True, unsafe_hash=True)  # made too often to be frozen
class ChangeView:
    """One change of state. A value: nobody changes it.

    Attributes:
        task_id: 0: the job itself.
        elements: Ranges of instance ids, each (first, last); empty for the job, a plain
            task, a master.
        state, previous_state: Numbers of JobState or TaskState; 0: none before.
        reason_code, reason: Why, where there is something to say.
    """

    task_id: int
    elements: tuple[tuple[int, int], ...]
    state: int
    previous_state: int
    reason_code: int = 0
    reason: str = ""


@dataclass(slots=True, kw_only=True, unsafe_hash=True)  # made too often to be frozen
class EventView:
    """One event as watchers see it; ``seq`` is its global number. A value.

    Attributes:
        job_part: The same without changes of tasks, once somebody has asked for it.
        job_changes: Its changes without those of tasks, if that is known.
        node: Name of the node for an event of a node, else empty.
        node_state: (new, previous) NodeState numbers.
        joined_groups, left_groups: Groups that the node is in now, or no longer.
        group: Name of the group for an event of a node group, else empty.
    """

    seq: int
    job_id: int
    revision: int
    time: float
    owner: str
    name: str
    actor: str
    changes: tuple[ChangeView, ...] = ()
    message: str = ""
    node: str = ""
    node_state: tuple[int, int] = (0, 0)
    node_reachable: bool = True
    joined_groups: tuple[str, ...] = ()
    left_groups: tuple[str, ...] = ()
    group: str = ""
    job_part: EventView | None = field(default=None, compare=False, repr=False)
    job_changes: tuple[ChangeView, ...] | None = field(
        default=None, compare=False, repr=False
    )

    def of_job(self) -> EventView | None:
        """Return it for those who watch jobs only; None: it is nothing to them.

        All of them are given the same one.
        """
        if self.job_part is None:
            changes = self.job_changes
            if changes is None:
                changes = tuple([one for one in self.changes if not one.task_id])
            if not changes:
                return None
            if len(changes) == len(self.changes):
                return self
            self.job_part = self.again(self.seq, self.job_id, self.time, changes)
        return self.job_part

    def again(
        self,
        seq: int,
        job_id: int,
        time: float,
        changes: tuple[ChangeView, ...] | None = None,
    ) -> EventView:
        """Return an event of a job as it is at another place, or with other changes."""
        view = _new(EventView)  # half of what it takes with names: there are many
        view.seq = seq
        view.job_id = job_id
        view.revision = self.revision
        view.time = time
        view.owner = self.owner
        view.name = self.name
        view.actor = self.actor
        view.changes = self.changes if changes is None else changes
        view.message = self.message
        view.node = view.group = ""
        view.node_state = _NOWHERE
        view.node_reachable = True
        view.joined_groups = view.left_groups = ()
        view.job_part = None
        view.job_changes = self.job_changes
        return view

    def is_like(self, other: EventView) -> bool:
        """Is another one made of the same, but for place, time and job?"""
        return (
            self.changes is other.changes
            and self.revision == other.revision
            and self.name == other.name
            and self.actor == other.actor
            and self.message == other.message
        )

    def is_pattern(self) -> None:
        """Others follow that are alike: look once at what is shown of all of them."""
        changes = tuple([one for one in self.changes if not one.task_id])
        same = len(changes) == len(self.changes)
        self.job_changes = self.changes if same else changes
