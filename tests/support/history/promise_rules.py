"""What clients were promised: an answer is durable, a refusal has no effect."""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from typing import TYPE_CHECKING

from tests.support.history.model import ACKED, ORDINARY, REFUSED, UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.support.history.model import Call, FinalJob, History

#: What begins an ended job anew, so that an earlier cancel is no longer its end.
AGAIN = ("requeue", "requeue_tasks", "modify", "submit_again")

#: What may raise the number of requeues by one.
COUNTED = ("requeue", "requeue_tasks", "modify")


def acked_is_there(history: History) -> Iterator[str]:
    """I1: what was acknowledged is there at the end."""
    for call in history.calls:
        if call.verb == "submit" and call.outcome == ACKED:
            yield from _submitted(history, call)
    for job_id, calls in calls_by_job(history).items():
        job = history.jobs.get(job_id)
        if job is not None:
            yield from _canceled(job, calls)
            yield from _modified(job, calls)
            yield from _requeued(job, calls)
            yield from _added(job, calls)
        if job is not None and any(_acked(c, "forget") for c in calls):
            yield f"job {job_id} was forgotten, and is there again"
    yield from _parameters(history)


def refused_is_not(history: History) -> Iterator[str]:
    """I1: what was refused has left nothing."""
    names = Counter(job.name for job in history.jobs.values())
    for call in history.calls:
        if call.verb == "submit" and call.outcome == REFUSED and names[call.name]:
            yield f"{call.name} was refused ({call.reason}), and is there"


def one_job_per_request(history: History) -> Iterator[str]:
    """I11: a request has made one job, however often it was sent."""
    names = Counter(job.name for job in history.jobs.values())
    submits = {(c.name, c.request_id) for c in history.calls if c.verb == "submit"}
    asked = Counter(name for name, _ in submits)
    for name, count in names.items():
        most = max(asked[name], 1)
        times = "once" if most == 1 else f"{most} times"
        if count > most:
            yield f"{name} was asked for {times}, and there are {count} jobs of it"
        elif count < most:  # in one call: all or nothing
            yield f"{name} was asked for {times} at once, and there are {count} of it"
    told: dict[str, set[int]] = {}
    for call in history.calls:
        if call.verb == "submit" and call.job_id:
            told.setdefault(call.request_id, set()).add(call.job_id)
    for request_id, ids in told.items():
        if len(ids) > 1:
            yield f"request {request_id} was answered with jobs {sorted(ids)}"


def calls_by_job(history: History) -> dict[int, list[Call]]:
    """Return the calls about jobs that exist, in order."""
    found: dict[int, list[Call]] = {}
    for call in history.calls:
        if call.job_id and call.verb != "submit":
            found.setdefault(call.job_id, []).append(call)
    return found


def _acked(call: Call, *verbs: str) -> bool:
    return call.verb in verbs and call.outcome == ACKED


def _submitted(history: History, call: Call) -> Iterator[str]:
    job = history.jobs.get(call.job_id)
    forgotten = any(
        c.verb == "forget" and c.job_id == call.job_id and c.outcome != REFUSED
        for c in history.calls
    )
    if job is None:
        if not forgotten:
            yield f"job {call.job_id} ({call.name}) was acknowledged, and is gone"
    elif job.name != call.name:
        yield f"job {call.job_id} is {job.name}, it was {call.name} when acknowledged"
    else:
        for number, size in enumerate(call.facts.get("sizes", ()), 1):
            yield from _sized(job, number, size)


def _sized(job: FinalJob, number: int, size: int) -> Iterator[str]:
    tasks = [t for t in job.tasks if t.key[1] == number and t.kind in ORDINARY]
    if size and len(tasks) != size:
        text = f"task {job.job_id}.{number} has {len(tasks)} elements, not {size}"
        yield text


def _added(job: FinalJob, calls: Sequence[Call]) -> Iterator[str]:
    for call in calls:
        if _acked(call, "add"):
            sizes = call.facts.get("sizes", ())
            for number, size in zip(call.facts["task_ids"], sizes, strict=True):
                yield from _sized(job, number, size)


def _canceled(job: FinalJob, calls: Sequence[Call]) -> Iterator[str]:
    """An acknowledged cancel stands, unless the job was queued again after it."""
    # One that forces a cancel under way leaves the message that is there.
    messages: set[str] = set()
    for call in calls:
        if _acked(call, "cancel"):
            messages.add(call.facts.get("message", job.message))
        elif (call.verb in AGAIN and call.outcome != REFUSED) or (
            call.verb in ("cancel", "finish") and call.outcome == UNKNOWN
        ):
            messages.clear()
    if not messages:
        return
    if job.state != "CANCELED":
        yield f"job {job.job_id} was canceled, and is {job.state}"
    elif job.message not in messages:
        what = " or ".join(sorted(messages))
        yield f"job {job.job_id} was canceled with {what}, and says {job.message!r}"


def _modified(job: FinalJob, calls: Sequence[Call]) -> Iterator[str]:
    """The last acknowledged value, or one of a change whose answer never came."""
    possible: set[int] = set()
    for call in calls:
        if call.verb == "modify" and call.outcome == ACKED:
            possible = {call.facts["priority"]}
        elif call.verb == "modify" and call.outcome == UNKNOWN and possible:
            possible.add(call.facts["priority"])
    if possible and job.priority not in possible:
        wanted = " or ".join(map(str, sorted(possible)))
        yield f"job {job.job_id} has priority {job.priority}, not {wanted}"


def _requeued(job: FinalJob, calls: Sequence[Call]) -> Iterator[str]:
    most = sum(c.verb in COUNTED and c.outcome != REFUSED for c in calls)
    if job.requeues > most:
        yield f"job {job.job_id} was queued again {job.requeues} times, not {most}"


def _parameters(history: History) -> Iterator[str]:
    calls = [c for c in history.calls if c.verb == "set"]
    for name, found in groupby(sorted(calls, key=lambda c: c.name), lambda c: c.name):
        possible: set[str] = set()
        for call in sorted(found, key=lambda c: c.sent):
            if call.outcome == ACKED:
                possible = {call.facts["value"]}
            elif call.outcome == UNKNOWN:
                possible.add(call.facts["value"])
        value = history.parameters.get(name)
        if possible and value not in possible:
            yield f"parameter {name} is {value}, not {' or '.join(sorted(possible))}"
