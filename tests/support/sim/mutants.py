"""Defects that are put in on purpose: each is one that a real scheduler has had.

A simulation that misses one of them proves nothing about the others.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from hpcsched.core.job import ending, reporting
from hpcsched.core.job.commands import LoseNode, TakeReports
from hpcsched.core.job.states import NodeLoss
from hpcsched.core.task.elements import ElementTable
from hpcsched.runtime import job_actor
from hpcsched.runtime.head import Head
from hpcsched.runtime.intake import Intake
from hpcsched.runtime.job_actor import JobActor
from hpcsched.runtime.ledger import Ledgers
from hpcsched.runtime.node_actor import NodeActor
from hpcsched.runtime.registry import JobRegistry
from hpcsched.runtime.scheduler_actor import SchedulerActor
from hpcsched.runtime.turns import turns_views
from hpcsched.store.sql.batch import Batch
from hpcsched.store.sql.session import WriterSession
from node_agent.core.spool import Spool
from node_agent.supervisor import records
from node_agent.supervisor.ending import Ender
from node_agent.supervisor.recovery import Recovery
from node_agent.supervisor.stopping import Stopper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Patches = list[Any]


def _ack_before_commit() -> Patches:
    """Calls are answered when they are decided, not when they are durable."""
    turn = JobActor._turn

    def eager(self: Any) -> None:
        turn(self)
        if self.committing:
            batch, self._batch = self._batch, []
            for mail, answer, refusal in batch:
                if mail.command is not None:
                    mail.answer(answer, refusal)

    return [patch.object(JobActor, "_turn", eager)]


def _events_before_commit() -> Patches:
    """Watchers are told what has been decided and may never become durable."""
    turn = JobActor._turn

    def eager(self: Any) -> None:
        turn(self)
        feed = self._world.feed
        if self.committing and self._decided and self.job is not None:
            views = turns_views(self.job, feed.last + 1, self._decided)
            feed.publish(views)

    return [patch.object(JobActor, "_turn", eager)]


def _attempt_not_checked() -> Patches:
    """A report of any attempt counts for the current one."""

    def lax(job: Any, task: int, instance: int, attempt: int, node: int) -> Any:
        record = job.task(task)
        if record is None or not 0 <= instance <= record.count:
            return None
        return record, record.row(instance)

    return [
        patch.object(reporting, "current_row", lax),
        patch.object(ending, "current_row", lax),
    ]


def _timer_not_rearmed() -> Patches:
    """After a restart nobody remembers run-time limits."""
    adopt = JobRegistry.adopt

    def forgetful(self: Any, job: Any) -> Any:
        actor = adopt(self, job)
        if actor.job is not None and not actor._world.jobs._ended:
            actor.forgets = True  # type: ignore[attr-defined]
        return actor

    class Forgetful(JobActor):
        """Sets no timer if it was there when the head started."""

        forgets = False

        def _arm(self) -> None:
            if not self.forgets:
                super()._arm()

    return [
        patch("hpcsched.runtime.registry.JobActor", Forgetful),
        patch.object(JobRegistry, "adopt", forgetful),
    ]


def _reports_acknowledged_early() -> Patches:
    """A node's reports are acknowledged before they are durable."""

    def eager(self: Any, frame: Any) -> None:
        self._acknowledge(frame.seq)
        by_job: dict[int, list[Any]] = {}
        for report in frame.reports:
            by_job.setdefault(report.job_id, []).append(report)
        for job_id, reports in by_job.items():
            command = TakeReports(
                node_id=self._record.node_id, node=self._record.name, reports=reports
            )
            self._world.jobs.tell(job_id, command, lambda *_: None)

    return [patch.object(Intake, "take", eager)]


def _not_compared() -> Patches:
    """A node that connects is trusted to run what the head believes."""

    def trusting(self: Any, session: Any) -> None:
        session.asked = True
        self._in_step(session)

    return [patch.object(NodeActor, "_sync", trusting)]


def _requests_not_remembered() -> Patches:
    """A repeated call is carried out again."""

    async def forgetful(
        self: Any, caller: Any, request: Any, act: Any, *_: Any, **__: Any
    ) -> Any:
        return await act(None)

    return [patch.object(Ledgers, "once", forgetful)]


def _term_not_raised() -> Patches:
    """A new head has the term of the one before, less one."""
    recover = Head.recover

    async def lower(self: Any) -> None:
        state = await self._world.store.load_cluster()
        load = self._world.store.load_cluster

        async def aged() -> Any:
            counters = dict(state.counters)
            counters["term"] = max(0, counters.get("term", 0) - 2)
            return replace(state, counters=counters)

        self._world.store.load_cluster = aged
        await recover(self)
        self._world.store.load_cluster = load

    return [patch.object(Head, "recover", lower)]


def _silence_not_told() -> Patches:
    """Jobs are not told that a node is lost."""
    return [patch.object(NodeActor, "_lose", lambda *_: None)]


def _same_attempt_again() -> Patches:
    """A task that runs again keeps the number of its attempt."""
    return [patch.object(ElementTable, "_next_attempt", lambda *_: None)]


def _cores_given_back_early() -> Patches:
    """The scheduler believes that jobs hold nothing."""
    update = SchedulerActor.update

    def generous(self: Any, job_id: int, demand: Any, held: Any, **more: Any) -> Any:
        fewer = {node: cores[1:] for node, cores in held.items()}
        return update(self, job_id, demand, fewer, **more)

    return [patch.object(SchedulerActor, "update", generous)]


def _reboot_not_noticed() -> Patches:
    """A node that was started again is taken for one that was only away."""
    connect = NodeActor.connect

    def blind(
        self: Any, link: Any, hello: Any, *, rebooted: bool, beat_s: float
    ) -> Any:
        return connect(self, link, hello, rebooted=False, beat_s=beat_s)

    return [patch.object(NodeActor, "connect", blind)]


def _node_loss_ignored() -> Patches:
    """Every job's tasks run again when their node is silent."""

    def rerun(self: Any, job_id: int) -> None:
        actor = self._world.jobs.get(job_id)
        if actor is not None and actor.job is not None:
            actor.job.spec = replace(actor.job.spec, node_loss=NodeLoss.RERUN)
        command = LoseNode(node_id=self.record.node_id, node=self.record.name)
        self._world.jobs.post(job_id, command)

    return [patch.object(NodeActor, "_lose", rerun)]


def _spool_not_rewound() -> Patches:
    """A new stream does not carry what the last one did not get rid of."""
    return [patch.object(Spool, "rewind", lambda self: self._sent.clear())]


def _orders_acknowledged_early() -> Patches:
    """The journal is released when a report is sent, not when it is stored."""
    take = Spool.take

    def eager(self: Any, seq: int) -> Any:
        found = take(self, seq)
        self._sent.clear()
        return found

    return [patch.object(Spool, "take", eager)]


def _intent_not_journalled() -> Patches:
    """A start leaves no trace before the process is there."""
    empty = b"T{}"
    return [patch.object(records, "intent", lambda _: empty)]


def _stop_forgotten() -> Patches:
    """A spawner that begins anew does not go on with stops and limits."""
    return [patch.object(Stopper, "resume", lambda *_: None)]


def _leftovers_live() -> Patches:
    """What a task leaves behind is not killed."""
    return [patch.object(Ender, "_is_clear", lambda *_, **__: True)]


def _ends_not_recovered() -> Patches:
    """Exit statuses that the reaper has collected are not asked for."""
    run = Recovery.run

    def deaf(self: Any, present: Any, exits: Any) -> None:
        run(self, present, [])

    return [patch.object(Recovery, "run", deaf)]


def _reruns_without_end() -> Patches:
    """A task whose nodes fail runs again for ever."""
    return [patch.object(ending, "may_rerun", lambda *_: True)]


def _statements_on_their_own() -> Patches:
    """What belongs together is not one transaction in the database."""

    def end(self: Any) -> None:
        self._connection.execute("SELECT 1")

    return [
        patch.object(WriterSession, "begin", lambda _: None),
        patch.object(WriterSession, "commit", end),
    ]


def _old_heads_not_fenced() -> Patches:
    """A head goes on writing although another one has opened its store."""

    def begin(self: Any) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    return [patch.object(WriterSession, "begin", begin)]


def _notes_not_written() -> Patches:
    """A kind of row is left out of the statements."""
    write = Batch.write

    def lossy(self: Any, *args: Any) -> None:
        self._notes.clear()
        write(self, *args)

    return [patch.object(Batch, "write", lossy)]


def _calls_not_forgotten() -> Patches:
    """What has been carried out goes on to be remembered as under way."""

    class Hoard(dict[Any, Any]):
        def __delitem__(self, key: Any) -> None:
            super().__setitem__((*key, len(self)), super().pop(key))

    init = Ledgers.__init__

    def hoarding(self: Any, world: Any) -> None:
        init(self, world)
        self._running = Hoard()

    return [patch.object(Ledgers, "__init__", hoarding)]


def _waiting_there_not_asked() -> Patches:
    """What is wanted of a job that waits on a node does not wait for its word."""
    return [patch.object(job_actor, "depends", lambda *_: False)]


MUTANTS: dict[str, Callable[[], Patches]] = {
    function.__name__.strip("_").replace("_", "-"): function
    for function in (
        _ack_before_commit,
        _events_before_commit,
        _attempt_not_checked,
        _timer_not_rearmed,
        _reports_acknowledged_early,
        _not_compared,
        _requests_not_remembered,
        _term_not_raised,
        _silence_not_told,
        _same_attempt_again,
        _cores_given_back_early,
        _reboot_not_noticed,
        _node_loss_ignored,
        _spool_not_rewound,
        _orders_acknowledged_early,
        _intent_not_journalled,
        _stop_forgotten,
        _leftovers_live,
        _ends_not_recovered,
        _reruns_without_end,
        _statements_on_their_own,
        _old_heads_not_fenced,
        _notes_not_written,
        _calls_not_forgotten,
        _waiting_there_not_asked,
    )
}


@contextmanager
def planted(name: str) -> Iterator[None]:
    """Have a defect for a while."""
    with ExitStack() as stack:
        for one in MUTANTS[name]():
            stack.enter_context(one)
        yield
