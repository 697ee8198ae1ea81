"""Jobs that are set aside after a fault of ours (RELIABILITY F8).

A fault that comes while a job takes what nobody will say again, such as the report of a
node, must neither lose it nor go round and round. The job is set aside: nothing is
decided for it any more, what it holds stays its own, it can be looked at and canceled,
and what nodes report is kept in the store until an administrator lets it go on
(``hpc job release``) or the head starts again, perhaps as a newer version.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from hpcsched.common.errors import HpcError
from hpcsched.core.job.codec import pack, unpack
from hpcsched.core.job.commands import (
    CancelJob,
    EndBackfill,
    GrantCores,
    NoteAside,
    PreemptCores,
    SyncNode,
    TakeReports,
    Tick,
)
from hpcsched.core.reports import EndDetail, Ended, Started
from hpcsched.runtime.durable import refusal_of
from hpcsched.runtime.mail import Mail
from hpcsched.store.base import Delta

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from hpcsched.core.reports import Report
    from hpcsched.runtime.mail import Reply
    from hpcsched.runtime.world import World

log = logging.getLogger(__name__)
KIND: Final = "quarantine"
KEPT_LIMIT: Final = 10_000
"""Reports that are kept for one job; a node that says more is told to come again."""
AGAIN_S: Final = 10.0
"""After which a kept report that could not be written is given to its job again."""
REPEATED: Final = (Tick, GrantCores, PreemptCores, EndBackfill, TakeReports)
FAULTS: Final = 3
"""Faults in a row with what is said again by itself."""


@dataclass(slots=True)
class _Aside:
    """One job: what happened, and what waits for it, by number."""

    why: str = ""
    incident: str = ""
    unreadable: bool = False
    kept: dict[int, TakeReports] = field(default_factory=dict)


class Apart:
    """See the module."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._aside: dict[int, _Aside] = {}
        self._kept: dict[int, dict[int, TakeReports]] = {}
        self._last = 0  # of all jobs: no number is used twice

    def __len__(self) -> int:
        return len(self._aside)

    def __contains__(self, job_id: object) -> bool:
        return job_id in self._aside

    def __iter__(self) -> Iterator[int]:
        return iter(self._aside)

    def short(self, job_id: int) -> str:
        """Return after which fault, with the incident; empty: it is not set aside."""
        one = self._aside.get(job_id)
        return "" if one is None else _told(one)

    def why(self, job_id: int, *, stopping: bool = False) -> list[str]:
        """Return sentences about a job that is set aside; none about others.

        Args:
            job_id: The job.
            stopping: It was canceled or finished, and has not ended.
        """
        one = self._aside.get(job_id)
        if one is None:
            return []
        ends = ["it was told to end, and does not before it goes on"]
        waits = f"; {len(one.kept)} reports wait for it" if one.kept else ""
        if one.unreadable:
            return [
                f"what is stored of it cannot be read, so nothing is decided{waits}",
                f"the head's log has details: incident {one.incident}",
                "what runs of it runs on",
                "a version of the head that can read it lets it go on",
                f"an administrator may delete it: hpc job forget {job_id}",
            ]
        return [
            f"it is set aside after a fault of the head in {one.why}{waits}",
            f"the head's log has details: incident {one.incident}",
            *(ends if stopping else []),
            f"an administrator lets it go on: hpc job release {job_id}",
        ]

    def refusal(self, job_id: int) -> HpcError:
        """Return what is told to who wants something of such a job."""
        incident = self._aside[job_id].incident
        return HpcError("JOB_QUARANTINED", job_id=job_id, incident=incident)

    def unreadable(self) -> Iterator[int]:
        """Yield those of which nobody can read what is stored."""
        return (job_id for job_id, one in self._aside.items() if one.unreadable)

    def is_unreadable(self, job_id: int) -> bool:
        one = self._aside.get(job_id)
        return one is not None and one.unreadable

    def put_unreadable(
        self, job_id: int, fault: Exception, mail: Iterable[Mail] = ()
    ) -> None:
        """Set a job aside that cannot be read; its history cannot be told of it.

        However often that is found out, it is told once.
        """
        if not self.is_unreadable(job_id):
            incident = self._world.ids.uuid()
            text = "job %d cannot be read, and is set aside: incident %s"
            log.critical(text, job_id, incident, exc_info=fault)
            one = self._aside.setdefault(job_id, _Aside())
            one.why, one.incident = "what is stored", incident
            one.unreadable = True
        for each in mail:
            self.leave(job_id, each)

    def takes(self, mail: Mail) -> bool:
        """May it take this while it is set aside?"""
        return mail.command is None or isinstance(mail.command, CancelJob | NoteAside)

    def put(self, job_id: int, fault: Exception, why: str, mail: Mail | None) -> str:
        """Set a job aside; what it could not take is kept, and then acknowledged.

        Args:
            job_id: The job.
            fault: What went wrong.
            why: In what.
            mail: What it could not take; None: it was something else.

        Returns:
            The incident, by which the log tells the rest.
        """
        incident = self._world.ids.uuid()
        text = "job %d is set aside after a fault in %s: incident %s"
        log.critical(text, job_id, why, incident, exc_info=fault)
        is_new = job_id not in self._aside
        one = self._aside.setdefault(job_id, _Aside())
        one.why, one.incident = why, incident
        if is_new:
            # In a task of its own: the actor is in the middle of something.
            self._world.spawn(self._note(job_id, aside=True, message=_told(one)))
        if mail is not None:
            self.leave(job_id, mail)
        return incident

    def leave(self, job_id: int, mail: Mail) -> None:
        """Take what came for a job that is set aside."""
        command = mail.command
        if isinstance(command, SyncNode):
            mail.answer(([], True), None)  # it is compared when the job goes on
        elif isinstance(command, TakeReports):
            self._keep(job_id, command, mail.reply)
        else:
            mail.answer(None, self.refusal(job_id))

    def _keep(self, job_id: int, command: TakeReports, reply: Reply | None) -> None:
        one = self._aside[job_id]
        if len(one.kept) >= KEPT_LIMIT:
            what = f"{KEPT_LIMIT} reports wait for job {job_id}, which is set aside"
            Mail(reply).answer(None, HpcError("QUEUE_FULL", what=what))
            return
        self._last += 1
        number = self._last
        one.kept[number] = command

        def done(_: int, error: BaseException | None) -> None:
            if error is not None:
                one.kept.pop(number, None)
                Mail(reply).answer(None, refusal_of(error))
            else:
                Mail(reply).answer(None, None)

        entry = {(KIND, f"{job_id}/{number}"): _packed(command)}
        self._world.store.commit(Delta(entries=entry), done)

    def restore(self, entries: Mapping[tuple[str, str], bytes]) -> None:
        """Take in what was kept; ``retry_kept`` sends it on its way."""
        for (kind, name), body in entries.items():
            if kind == KIND:
                job_id, _, number = name.partition("/")
                kept = self._kept.setdefault(int(job_id), {})
                kept[int(number)] = _unpacked(body)
                self._last = max(self._last, int(number))

    def retry_kept(self) -> None:
        """Give what was kept before the head started to its jobs."""
        for job_id, kept in list(self._kept.items()):
            self._send(job_id, kept)
        self._kept.clear()

    def release(self, job_id: int) -> None:
        """Let a job go on, with what was kept for it and with what its nodes say."""
        one = self._aside.pop(job_id, None)
        if one is None:
            return
        log.warning("job %d goes on after incident %s", job_id, one.incident)
        text = f"after incident {one.incident}"
        if one.unreadable:  # it is tried once more
            self._send(job_id, one.kept)
            return
        self._world.spawn(self._note(job_id, aside=False, message=text))
        self._send(job_id, one.kept)
        world = self._world
        actor = world.jobs.actor(job_id)
        if actor.job is None:
            return
        for node_id in sorted({*actor.job.uses, *actor.job.doubts}):
            node = world.nodes.by_id(node_id)
            if node is not None:
                node.compare_again(job_id)
        world.jobs.refresh_one(job_id)

    def gone(self, job_id: int) -> None:
        """A job has been deleted: nothing waits for it any more."""
        one = self._aside.pop(job_id, None)
        if one is not None and one.kept:
            self._forget(job_id, one.kept)

    async def _note(self, job_id: int, *, aside: bool, message: str) -> None:
        """Say in the job's history that it is set aside, or goes on."""
        if (job_id in self._aside) is aside:
            command = NoteAside(aside=aside, message=message)
            self._world.jobs.tell(job_id, command, _nobody)

    def _send(self, job_id: int, kept: Mapping[int, TakeReports]) -> None:
        for number, command in sorted(kept.items()):

            def reply(
                _: Any,
                error: BaseException | None,
                number: int = number,
                command: TakeReports = command,
            ) -> None:
                gone = isinstance(error, HpcError) and error.reason == "JOB_NOT_FOUND"
                if error is None or gone:
                    self._forget(job_id, [number])
                else:
                    self._not_taken(job_id, number, command, error)

            self._world.jobs.tell(job_id, command, reply)

    def _not_taken(
        self, job_id: int, number: int, command: TakeReports, error: BaseException
    ) -> None:
        """What was kept stays in the store, and waits for the job to go on again."""
        if isinstance(error, HpcError) and error.reason == "INTERNAL":
            self.put(job_id, error, TakeReports.__name__, None)
            self._aside[job_id].kept[number] = command
            return
        log.error("a report for job %d stays in the store: %s", job_id, error)
        clock = self._world.clock
        clock.call_at(
            clock.mono() + AGAIN_S, lambda: self._send(job_id, {number: command})
        )

    def _forget(self, job_id: int, numbers: Iterable[int]) -> None:
        entries = {(KIND, f"{job_id}/{number}"): None for number in numbers}
        self._world.store.commit(Delta(entries=entries), lambda _, __: None)


def sets_aside(mail: Mail, faults: int) -> bool:
    """Is a job set aside when it cannot take this?

    Not where somebody is told that it failed, and may say it again; nor, until it has
    failed a few times, for what is said again by itself: by the scheduler, a timer,
    and the intake of a node's reports.
    """
    command = mail.command
    if command is None or hasattr(command, "caller"):
        return False
    return not isinstance(command, REPEATED) or faults >= FAULTS


def _told(one: _Aside) -> str:
    return f"after a fault of the head in {one.why}: incident {one.incident}"


def _nobody(_: Any, __: BaseException | None) -> None:
    """Who does not wait for an answer: what failed is in the log already."""


def _packed(command: TakeReports) -> bytes:
    reports = [(type(one).__name__, _plain(one)) for one in command.reports]
    return pack((command.node_id, command.node, reports))


def _plain(report: Report) -> dict[str, Any]:
    values = asdict(report)
    return {
        name: list(value) if not isinstance(value, dict | int) else value
        for name, value in values.items()
    }


def _unpacked(body: bytes) -> TakeReports:
    node_id, node, reports = unpack(body)
    return TakeReports(
        node_id=node_id, node=node, reports=[_report(*one) for one in reports]
    )


def _report(kind: str, values: dict[str, Any]) -> Report:
    columns: dict[str, Any] = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in values.items()
    }
    if kind == Started.__name__:
        return Started(**columns)
    details = columns.pop("details")
    return Ended(
        **columns, details={at: EndDetail(**one) for at, one in details.items()}
    )
