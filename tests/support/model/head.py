"""The head of the model: the job's actor, and what becomes of an attempt.

``decide`` stands for core.job (reporting, nodes, settle), ``turn_of`` and ``finish``
for runtime.job_actor: a batch of mail is folded, committed, answered, acted upon.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.support.model import session
from tests.support.model.values import (
    CANCELING,
    DISPATCHING,
    EXITED,
    FAILED,
    FINISHED,
    FREE,
    KILLED,
    LEAVING,
    LIVE,
    MAIN,
    OVER,
    QUEUED,
    READY,
    RELEASE,
    RELEASING,
    RUNNING,
    STARTED,
    Config,
    Job,
    Task,
    Turn,
)

if TYPE_CHECKING:
    from tests.support.model.values import Key, Mail, Node, Order

LOST = "lost"
UNREACHABLE = "unreachable"


class Fold:
    """A job while mail is folded on it."""

    def __init__(self, config: Config, job: Job) -> None:
        self.config = config
        self.tasks = list(job.tasks)
        self.uses = list(job.uses)
        self.released = set(job.released)
        self.touched: set[int] = set()
        self.fresh: set[Key] = set()
        self.gone: set[int] = set()
        self.verdicts: list[tuple[int, int, int, str]] = []

    def job(self) -> Job:
        main, release = self.tasks
        return Job((main, release), tuple(self.uses), tuple(sorted(self.released)))

    def take(self, mail: Mail) -> None:
        """Decide on one mail, and what follows by itself (core.job.settle)."""
        word, *rest = mail
        items: list[Any] = rest
        if word == "reports":
            at, _, _, reports = items
            for _, kind, task, attempt in reports:
                self._report(at, kind, task, attempt)
        elif word == "sync":
            self._sync(*items)
        elif word == "lose":
            self._lose(*items)
        elif word == "grant":
            (at,) = items
            if self.tasks[MAIN].state == QUEUED and not any(self.uses):
                self.uses[at] = READY
        elif word == "cancel":
            self._cancel()
        elif word == "evict":
            self._evict(*items)
        self._settle()

    def _current(self, at: int, task: int, attempt: int) -> bool:
        """Does a report speak of the present attempt (core.job.locating)?"""
        one = self.tasks[task]
        if self.config.mutant == "attempt_not_checked":
            return one.state in LIVE
        return (one.node, one.attempt) == (at, attempt) and one.state in LIVE

    def _report(self, at: int, kind: str, task: int, attempt: int) -> None:
        if not self._current(at, task, attempt):
            return
        one = self.tasks[task]
        if kind == STARTED:
            state = RUNNING if one.state == DISPATCHING else one.state
            self.tasks[task] = one._replace(state=state, started=True)
            return
        self.verdicts.append((task, one.attempt, at, kind))
        if one.state == CANCELING:
            self._end(task, one.pending)
        elif kind in (EXITED, KILLED):
            self._end(task, FINISHED)
        else:
            self._system_error(task)

    def _system_error(self, task: int) -> None:
        """T7, T8, T22, T23: again as a new attempt, or failed."""
        again = task == MAIN and self.tasks[task].attempt < self.config.attempts
        if task == RELEASE and self.config.mutant == "release_again":
            again = self.tasks[task].attempt < self.config.attempts
        self._end(task, QUEUED if again else FAILED)

    def _end(self, task: int, state: str) -> None:
        one = self.tasks[task]
        self.tasks[task] = Task(state, one.attempt)
        self.touched.discard(task)

    def _sync(
        self, at: int, _: int, live: tuple[tuple[int, int, bool], ...], rebooted: bool
    ) -> None:
        """Compare with what the node says (core.job.nodes.sync_node)."""
        there = {(task, attempt): runs for task, attempt, runs in live}
        for task, one in enumerate(self.tasks):
            if one.node != at or one.state not in LIVE:
                continue
            key = (task, one.attempt)
            if key not in there:
                if one.state != DISPATCHING or rebooted:
                    self.verdicts.append((*key, at, LOST))
                    self._lost(task)
            elif there[key] and not one.started:
                state = RUNNING if one.state == DISPATCHING else one.state
                self.tasks[task] = one._replace(state=state, started=True)

    def _lost(self, task: int) -> None:
        one = self.tasks[task]
        if one.state == CANCELING:
            self._end(task, one.pending)
        else:
            self._system_error(task)

    def _lose(self, at: int) -> None:
        """The node is unreachable (core.job.nodes.lose_node)."""
        if not self.uses[at]:
            return
        rows = [
            task
            for task, one in enumerate(self.tasks)
            if one.node == at and one.state in LIVE
        ]
        if self.config.hold:
            # What is being stopped is given up all the same (_given_up).
            rows = [t for t in rows if t == RELEASE or self.tasks[t].state == CANCELING]
        for task in rows:
            self.verdicts.append((task, self.tasks[task].attempt, at, UNREACHABLE))
            self._lost(task)
        if not self._rows_on(at):
            self.uses[at] = FREE
            self.gone.add(at)

    def _cancel(self) -> None:
        one = self.tasks[MAIN]
        if one.state == QUEUED:
            self.tasks[MAIN] = one._replace(state=FAILED)
        elif one.state in LIVE:
            self.tasks[MAIN] = one._replace(state=CANCELING, pending=FAILED)
            self.touched.add(MAIN)

    def _evict(self, at: int) -> None:
        """The node is taken away (T24): what runs there runs elsewhere."""
        one = self.tasks[MAIN]
        if self.uses[at] == READY:
            self.uses[at] = LEAVING
            if one.node == at and one.state in (DISPATCHING, RUNNING):
                self.tasks[MAIN] = one._replace(state=CANCELING, pending=QUEUED)
                self.touched.add(MAIN)

    def _rows_on(self, at: int) -> bool:
        return any(one.node == at and one.state in LIVE for one in self.tasks)

    def _settle(self) -> None:
        main = self.tasks[MAIN]
        ready = [at for at, use in enumerate(self.uses) if use == READY]
        if main.state == QUEUED and ready and main.attempt < self.config.attempts:
            self._dispatch(MAIN, ready[0])
        elif main.state == QUEUED and main.attempt >= self.config.attempts:
            self.tasks[MAIN] = main._replace(state=FAILED)
        if self.tasks[MAIN].state in OVER:
            for at in ready:
                self.uses[at] = LEAVING
        for at, use in enumerate(self.uses):
            if use in (LEAVING, RELEASING) and not self._rows_on(at):
                again = self.config.mutant == "release_again"
                due = self.config.release and (at not in self.released or again)
                free = self.tasks[RELEASE].state in (QUEUED, *OVER)
                left = self.tasks[RELEASE].attempt < self.config.attempts
                if due and free and left and (use == LEAVING or again):
                    self.uses[at] = RELEASING
                    self.released.add(at)
                    self._dispatch(RELEASE, at)
                else:
                    self.uses[at] = FREE
                    self.gone.add(at)

    def _dispatch(self, task: int, at: int) -> None:
        attempt = self.tasks[task].attempt + 1
        self.tasks[task] = Task(DISPATCHING, attempt, at)
        self.touched.add(task)
        self.fresh.add((task, attempt))


def turn_of(config: Config, job: Job, mail: tuple[Mail, ...]) -> Turn:
    """Fold all mail (job_actor._turn)."""
    fold = Fold(config, job)
    for one in mail:
        fold.take(one)
    return Turn(
        job=fold.job(),
        answered=tuple(m for m in mail if m[0] in ("reports", "sync", "cancel")),
        touched=tuple(sorted(fold.touched)),
        fresh=tuple(sorted(fold.fresh)),
        gone=tuple(sorted(fold.gone)),
        verdicts=tuple(fold.verdicts),
    )


def finish(config: Config, turn: Turn, nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    """Answer, then act (job_actor._finish, core.job.effects)."""
    found = list(nodes)
    orders: dict[int, list[Order]] = {at: [] for at in range(len(found))}
    synced = set()
    for mail in turn.answered:
        items: list[Any] = list(mail)
        if items[0] == "reports" and config.mutant != "ack_before_commit":
            _, at, sid, seq, _ = items
            found[at] = session.acknowledge(found[at], sid, seq)
        elif items[0] == "sync":
            _, at, sid, live, _ = items
            if found[at].session == sid:
                found[at] = found[at]._replace(compared=True)
                orders[at] += _strangers(turn.job, at, live)
                synced.add(at)
    for task, one in enumerate(turn.job.tasks):
        if one.state in LIVE and (task in turn.touched or one.node in synced):
            resent = one.node in synced and not one.started
            orders[one.node] += _orders(config, turn, task, one, resent=resent)
    for at in turn.gone:
        if not turn.job.uses[at]:
            orders[at].append(("end", 0, 0))
    return tuple(
        session.order(config, node, tuple(orders[at])) for at, node in enumerate(found)
    )


def _strangers(
    job: Job, at: int, live: tuple[tuple[int, int, bool], ...]
) -> list[Order]:
    """Stop what should not live there (node_actor._compared)."""
    current = {
        (task, one.attempt)
        for task, one in enumerate(job.tasks)
        if one.node == at and one.state in LIVE
    }
    orders: list[Order] = [
        ("stop", task, attempt)
        for task, attempt, _ in live
        if (task, attempt) not in current
    ]
    if not job.uses[at]:
        orders.append(("end", 0, 0))
    return orders


def _orders(
    config: Config, turn: Turn, task: int, one: Task, *, resent: bool
) -> list[Order]:
    """Return what the state of a task asks for (core.job.effects._orders)."""
    start: Order = ("start", task, one.attempt)
    stop: Order = ("stop", task, one.attempt)
    if one.state == DISPATCHING:
        return [start]
    if one.state != CANCELING:
        return []
    unknown = (task, one.attempt) in turn.fresh
    unknown = unknown and config.mutant != "fresh_only_stopped"
    if unknown or (resent and config.mutant != "resent_only_stopped"):
        return [stop, start]  # it refuses, and reports an end
    return [stop]
