"""One turn of a job: a command decided against the state that its last event left.

Rules call ``emit``; the event is applied at once, so that the next rule of the same
turn sees its result. Every refusal is raised before the first event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hpcsched.core.job.accounting import end_of, given_back
from hpcsched.core.job.apply import apply
from hpcsched.core.job.events import Change, Event, EventName, TaskMove
from hpcsched.core.job.holding import nodes_held
from hpcsched.core.job.numbering import renumbered

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hpcsched.core.job.accounting import Held, JobEnd
    from hpcsched.core.job.events import Ranges
    from hpcsched.core.job.model import Job, TaskRecord
    from hpcsched.core.job.spec import JobSpec
    from hpcsched.core.job.states import JobState
    from hpcsched.core.scheduling.inventory import Inventory
    from hpcsched.core.settings import Settings
    from hpcsched.core.task.spec import TaskSpec
    from hpcsched.core.task.states import TaskState

NOTE_LIMIT: Final = 10_000
"""Different error texts kept per job; nodes write most of them, and may err."""
NOTE_LENGTH: Final = 2048


class Turn:
    """The context of one command.

    Attributes:
        events: What was decided so far, with the changes that each event meant.
        moves: Every move of the turn, for its effects.
        inventory: What the cluster consists of; None: not told, nothing is checked.
        gone: Nodes that the job gave back in this turn.
        regrant: Nodes whose cores for the job changed in this turn.
        held: Allocations that ended in this turn.
        ends: Terminal states that the job reached in this turn.
        ended_counts: Elements per state when the turn began, if the job had ended.
    """

    __slots__ = (
        "_notes",
        "actor",
        "ended_counts",
        "ends",
        "events",
        "gone",
        "held",
        "inventory",
        "job",
        "moves",
        "now",
        "regrant",
        "settings",
    )

    def __init__(
        self,
        job: Job,
        now: float,
        actor: str,
        settings: Settings,
        inventory: Inventory | None = None,
    ) -> None:
        self.job = job
        self.now = now
        self.actor = actor
        self.settings = settings
        self.inventory = inventory
        self.events: list[tuple[Event, list[Change]]] = []
        self.moves: list[TaskMove] = []
        self.gone: list[int] = []
        self.regrant: list[int] = []
        self.held: list[Held] = []
        self.ends: list[JobEnd] = []
        self.ended_counts = tuple(job.counts) if job.state.terminal else None
        self._notes: list[tuple[int, int, str]] = []

    def emit(
        self,
        name: EventName,
        *,
        path: tuple[JobState, ...] = (),
        patch: Mapping[str, Any] | None = None,
        moves: Sequence[TaskMove] = (),
        tasks: Mapping[int, Mapping[str, Any]] | None = None,
        added: Iterable[TaskSpec] = (),
        respecs: Mapping[int, JobSpec | TaskSpec] | None = None,
        tables: tuple[int, ...] = (),
        uses: Mapping[int, tuple[Any, ...] | None] | None = None,
        message: str = "",
        time: float | None = None,
    ) -> None:
        """Decide an event: it is applied, and durable before anyone hears of it.

        It happened ``now`` unless another time is given, not before the last one.
        """
        old_jobs, least = self.settings.restored
        if moves and self.job.job_id < old_jobs:
            moves = renumbered(self.job, moves, least)
        event = Event(
            name=name,
            time=self.now if time is None else time,
            actor=self.actor,
            message=message,
            path=path,
            patch=patch or {},
            moves=moves,
            tasks=tasks or {},
            added=tuple(added),
            respecs=respecs or {},
            tables=tables,
            notes=tuple(self._notes),
            uses=uses or {},
        )
        self._notes = []
        job = self.job
        books = job.books
        if event.uses and job.uses:
            self.held += given_back(job, event)
        beside = nodes_held(job, moves) if job.holds else set()
        changes = apply(job, event)
        if job.holds:
            beside |= nodes_held(job, moves)
        if path and job.state.terminal:
            end = end_of(job, event, books)
            if end is not None:
                self.ends.append(end)
        self.events.append((event, changes))
        self.moves.extend(moves)
        if beside:
            self.regrant.extend(sorted(beside))
        for node_id, encoded in event.uses.items():
            if encoded is None:
                self.gone.append(node_id)
            else:
                self.regrant.append(node_id)

    def note(self, code: int, text: str) -> int:
        """Return the number of an error text, for a move's ``note`` column."""
        text = text[:NOTE_LENGTH]
        if len(self.job.notes) + len(self._notes) >= NOTE_LIMIT:
            text = "the job has too many different error texts to keep this one"
        known = self.job.note_ids.get((code, text))
        if known is not None:
            return known
        for number, note_code, note_text in self._notes:
            if (note_code, note_text) == (code, text):
                return number
        number = len(self.job.notes) + len(self._notes)
        self._notes.append((number, code, text))
        return number


def move(
    record: TaskRecord,
    ranges: Ranges,
    was: int,
    *path: TaskState,
    **columns: Any,
) -> TaskMove:
    """Return a move that sets columns on its way."""
    return TaskMove(
        task_id=record.task_id, ranges=ranges, was=was, path=path, columns=columns
    )


def runs_of(
    job: Job, record: TaskRecord, ranges: Ranges | None = None
) -> list[tuple[int, Ranges]]:
    """Return (state, ranges) for each state that occurs among elements of a task."""
    table = job.table_of(record)
    found: dict[int, list[tuple[int, int]]] = {}
    for first, last in record.all_ranges() if ranges is None else ranges:
        for state, a, b in table.runs(record.row(first), record.row(last)):
            found.setdefault(state, []).append((record.instance(a), record.instance(b)))
    return [(state, tuple(spans)) for state, spans in found.items()]
