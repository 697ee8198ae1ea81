"""Notifications that jobs ask for: what is told to whom (properties.md 3.1)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import TYPE_CHECKING, Final

from hpcsched.core.job.states import JobState
from hpcsched.core.task.states import TaskState

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hpcsched.core.job.model import Job
    from hpcsched.core.job.turn import Turn

_ADDRESS: Final = re.compile(r"[^\s@<>,;:\"()\[\]\\]+@[^\s@<>,;:\"()\[\]\\]+")
_SUBJECT_LIMIT: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What happened to a job, for somebody who wanted to know.

    Attributes:
        address: As the job gives it; empty: the owner's.
    """

    job_id: int
    owner: str
    address: str
    subject: str
    text: str


def notices_of(cluster: str, job: Job, turns: Sequence[Turn]) -> Iterator[Notice]:
    """Yield a notice for each state that turns led a job to and that it tells of."""
    for turn in turns:
        for event, _ in turn.events:
            for state in event.path:
                started = state is JobState.RUNNING and job.spec.notify_on_start
                ended = state.terminal and job.spec.notify_on_completion
                if started or ended:
                    yield _notice(cluster, job, state, event.time)


def _notice(cluster: str, job: Job, state: JobState, time: float) -> Notice:
    name = f" ({job.spec.name})" if job.spec.name else ""
    what = "has started" if state is JobState.RUNNING else f"is {state.label}"
    lines = [
        f"Job {job.job_id}{name} of {job.owner} {what}.",
        "",
        f"Cluster:   {cluster}",
        f"Submitted: {_moment(job.submit_time)}",
        f"Started:   {_moment(job.start_time)}",
    ]
    if state.terminal:
        lines.append(f"Ended:     {_moment(time)}")
        told = (TaskState.FINISHED, TaskState.FAILED, TaskState.CANCELED)
        counts = [f"{job.counts[one]} {one.label}" for one in told if job.counts[one]]
        lines.append(f"Tasks:     {', '.join(counts) or 'none'}")
        if job.error_message:
            lines += ["", job.error_message]
    return Notice(
        job_id=job.job_id,
        owner=job.owner,
        address=job.spec.email_address,
        subject=f"[{cluster}] job {job.job_id}{name} {what}",
        text="\n".join(lines) + "\n",
    )


def _moment(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    found = datetime.fromtimestamp(seconds, UTC)
    return found.isoformat(sep=" ", timespec="seconds").replace("+00:00", " UTC")


def message_of(notice: Notice, sender: str) -> EmailMessage:
    """Return a notice as it is sent.

    An owner without an address is taken to have one of its name in the sender's domain.

    Raises:
        ValueError: it cannot be sent to anybody, or by this sender.
    """
    address = notice.address or notice.owner
    if "@" not in address:
        address = f"{address}@{sender.rpartition('@')[2]}"
    for one in (address, sender):
        if not _ADDRESS.fullmatch(one):
            raise ValueError(f"{one!r} is no address of electronic mail")
    message = EmailMessage()
    message["From"] = sender
    message["To"] = address
    message["Subject"] = _one_line(notice.subject)
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(notice.text)
    return message


def _one_line(text: str) -> str:
    """Keep what a user wrote out of the other headers."""
    clean = "".join(c if c.isprintable() else " " for c in text)
    return clean[:_SUBJECT_LIMIT]
