"""What a job that waits on a node lets wait in turn (core/job/ahead.py).

Whether such a job has started only its node knows. So a command that would be decided
by that waits for the node's word: given back, and the job is Queued as it was; or
started, and it runs. A node that is not there to be asked, or does not answer, may be
silent for long: a job that is to be stopped is then taken as started, so that whoever
wants it stopped is told so at once. Any other wish is refused after a while.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, cast

from hpcsched.common.errors import HpcError
from hpcsched.core.job.commands import (
    CancelJob,
    CancelTasks,
    FinishJob,
    LoseNode,
    NoteAside,
    RecallAhead,
    SendAhead,
    StartAhead,
    SyncNode,
    TakeReports,
    Tick,
)
from hpcsched.core.job.decide import decide
from hpcsched.core.job.edits import ModifyJob, ModifyTask
from hpcsched.core.job.states import JobState
from hpcsched.runtime.mail import Mail

if TYPE_CHECKING:
    from hpcsched.common.clock import Timer
    from hpcsched.core.job.model import Job
    from hpcsched.runtime.turns import Decided
    from hpcsched.runtime.world import World

_TAKEN: Final = (
    *(TakeReports, SyncNode, LoseNode, SendAhead, RecallAhead, StartAhead),
    *(NoteAside, Tick),
)
"""What does not depend on whether the job has started, or tells it."""
_STOPS: Final = (CancelJob, CancelTasks, FinishJob)
WORD_S: Final = 2.0
"""A node that is asked for a job answers at once; after so long it is taken as mute."""
PATIENCE_S: Final = 10.0
"""Who wants something else of the job than its end waits for so long at most."""


class Deferred:
    """Mail that waits for the word of a node, in the order in which it came.

    Args:
        world: The head's actors.
        job: It waits on a node.
    """

    __slots__ = ("_job_id", "_node_id", "_seen", "_since", "_timer", "_world", "mail")

    def __init__(self, world: World, job: Job) -> None:
        self.mail: list[Mail] = []
        self._seen: set[int] = set()
        self._world = world
        self._job_id = job.job_id
        self._node_id = job.ahead[0] if job.ahead else 0
        self._since = 0.0
        self._timer: Timer | None = None

    def __bool__(self) -> bool:
        return bool(self.mail)

    def takes(self, job: Job, mail: Mail, now: float, decided: Decided) -> bool:
        """Let mail wait, if it has to.

        Args:
            job: It waits on a node, or has just been told what became of it.
            mail: Depends on that.
            now: Seconds since 1970.
            decided: Is given the decision to ask the node, or that the job has started,
                if nobody can be asked.
        """
        waits = bool(self.mail)  # behind those that came before
        revision = job.revision
        if job.ahead and isinstance(mail.command, _STOPS) and not self._is_heard():
            self._decide(job, StartAhead(), now, decided)
        elif job.ahead:
            waits = True
            self._decide(job, RecallAhead(), now, decided)
        if waits:
            self.mail.append(mail)
            if _expected(mail) == revision:
                self._seen.add(id(mail))
            if self._timer is None:
                self._since = self._world.clock.mono()
                self._look_after(WORD_S)
        return waits

    def _is_heard(self) -> bool:
        """Is the node there to be asked, and does it answer?"""
        node = self._world.nodes.by_id(self._node_id)
        session = None if node is None else node.session
        return session is not None and not session.mute

    def _decide(
        self, job: Job, command: RecallAhead | StartAhead, now: float, decided: Decided
    ) -> None:
        world = self._world
        decision = decide(job, command, now, world.settings, world.nodes)
        if decision.turn.events:
            decided.append((decision, Mail(None, command=command)))

    def taken(self, job: Job | None) -> list[Mail]:
        """Return what has waited; it does no longer.

        Who asked for a change of what the job was then has seen what it is now if its
        node has only given it back.

        Args:
            job: What became of it; None: nobody knows.
        """
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        mail, self.mail = self.mail, []
        if job is not None and job.state is JobState.QUEUED and not job.ahead:
            for one in [one for one in mail if id(one) in self._seen]:
                edit = cast("ModifyJob | ModifyTask", one.command)
                one.command = replace(edit, expected_revision=job.revision)
        self._seen.clear()
        return mail

    def _look_after(self, seconds: float) -> None:
        clock = self._world.clock
        self._timer = clock.call_at(clock.mono() + seconds, self._no_word)

    def _no_word(self) -> None:
        """The node has not said what became of the job."""
        self._timer = None
        node = self._world.nodes.by_id(self._node_id)
        if node is not None and node.session is not None:
            node.session.mute = True
        if any(isinstance(mail.command, _STOPS) for mail in self.mail):
            self._world.jobs.post(self._job_id, StartAhead())
        elif self._world.clock.mono() < self._since + PATIENCE_S:
            self._look_after(WORD_S)
        else:
            self._refuse("" if node is None else node.record.name)

    def _refuse(self, name: str) -> None:
        """Tell users that nobody knows; what the head itself wants goes on waiting."""
        mail, self.mail = self.mail, []
        for one in mail:
            if one.reply is None or getattr(one.command, "caller", None) is None:
                self.mail.append(one)
            else:
                refusal = HpcError("NODE_SILENT", node=name, job_id=self._job_id)
                one.answer(None, refusal)


def _expected(mail: Mail) -> int:
    """Return the revision that a change is meant for; 0: any."""
    command = mail.command
    if isinstance(command, ModifyJob | ModifyTask):
        return command.expected_revision
    return 0


def depends(mail: Mail) -> bool:
    """Does what becomes of mail depend on whether the job has started?"""
    return not isinstance(mail.command, _TAKEN)
