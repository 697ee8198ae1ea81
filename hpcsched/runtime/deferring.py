"""What a job that waits on a node lets wait in turn (core/job/ahead.py).

Whether such a job has started only its node knows. So a command that would be decided
by that waits for the node's word: given back, and the job is Queued as it was; or
started, and it runs. A node that is not there to be asked may be silent for long: a job
that is to be stopped is then taken as started, so that whoever wants it stopped is told
so at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

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
from hpcsched.runtime.mail import Mail

if TYPE_CHECKING:
    from hpcsched.core.job.decide import Decision
    from hpcsched.core.job.model import Job
    from hpcsched.runtime.turns import Decided
    from hpcsched.runtime.world import World

_TAKEN: Final = (
    *(TakeReports, SyncNode, LoseNode, SendAhead, RecallAhead, StartAhead),
    *(NoteAside, Tick),
)
"""What does not depend on whether the job has started, or tells it."""
_STOPS: Final = (CancelJob, CancelTasks, FinishJob)


def has_to_wait(
    world: World, job: Job, mail: Mail, now: float, decided: Decided
) -> bool:
    """Does mail wait for the word of the node on which a job waits?

    Args:
        world: The head's actors.
        job: It waits on a node.
        mail: Has a command.
        now: Seconds since 1970.
        decided: Is given the decision that the job has started, if nobody can be asked.
    """
    if isinstance(mail.command, _TAKEN):
        return False
    node = world.nodes.by_id(job.ahead[0]) if job.ahead else None
    asked = node is not None and node.session is not None
    if asked or not isinstance(mail.command, _STOPS):
        return True
    start = StartAhead()
    decision = decide(job, start, now, world.settings, world.nodes)
    decided.append((decision, Mail(None, command=start)))
    return False


def ask_for_it(world: World, job: Job, now: float) -> Decision | None:
    """Return the decision to ask the node for the job; None: it has been asked."""
    decision = decide(job, RecallAhead(), now, world.settings, world.nodes)
    return decision if decision.turn.events else None
