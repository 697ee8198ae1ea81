"""Mail of an actor: a command, or something that only looks."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpcsched.common.errors import HpcError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpcsched.common.rng import Ids
    from hpcsched.core.job.commands import Command
    from hpcsched.core.job.model import Job

    Reply = Callable[[Any, BaseException | None], None]

log = logging.getLogger(__name__)


def looked(job: Job, mail: Mail, ids: Ids) -> tuple[Any, BaseException | None]:
    """Return what mail that looks makes of a job, or why it could not."""
    assert mail.look is not None  # noqa: S101  mail is one of three
    try:
        return mail.look(job), None
    except HpcError as refusal:
        return None, refusal
    except Exception:
        incident = ids.uuid()
        log.exception("job %d: fault %s in a look", job.job_id, incident)
        return None, HpcError("INTERNAL", incident=incident)


@dataclass(slots=True)
class Ledger:
    """What makes a call's answer repeatable: written with its own commit."""

    principal: str
    request_id: str
    digest: bytes


@dataclass(slots=True)
class Mail:
    """One piece of mail.

    Attributes:
        reply: Called with the answer once what led to it is durable; None: nobody asks.
        command: What is to be done.
        look: Called with the job; its result is the answer.
        purge: Called with the job, refuses by raising; then the job is deleted, and the
            answer is the nodes that it was on.
        ledger: Written with the command's own commit.
        due: The time that it is at least, seconds since 1970: a timer's own, so that
            a wall clock that was set back does not make it early.
    """

    reply: Reply | None
    command: Command | None = None
    look: Callable[[Job], Any] | None = None
    purge: Callable[[Job], None] | None = None
    ledger: Ledger | None = None
    due: float = 0.0

    @property
    def kind(self) -> str:
        """What it is, for the log."""
        return "a look" if self.command is None else type(self.command).__name__

    def answer(self, answer: Any, error: BaseException | None) -> None:
        """Tell whoever asked; a fault of theirs is theirs alone."""
        if self.reply is None:
            return
        try:
            self.reply(answer, error)
        except Exception:
            log.exception("the answer to %s could not be taken", self.kind)
