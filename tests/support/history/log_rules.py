"""What watchers were told: one log, without a gap, that leads to what is there."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tests.support.history.model import ORDINARY, TERMINAL, UNKNOWN
from tests.support.history.node_rules import name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.support.history.model import FinalJob, Heard, History, Key, Step

#: Events that begin what has ended anew, because a user wants it.
AGAIN = (
    *("JobRequeued", "TasksRequeued", "JobConfigured", "JobRejected", "JobModified"),
    *("JobRequeueRequested", "TasksCancelRequested"),
)

STOPPED = ("CANCELING", "CANCELED")


def log_of(history: History) -> dict[int, dict[int, Heard]]:
    """Return the events of each job by revision, whoever was told them."""
    log: dict[int, dict[int, Heard]] = {}
    for told in history.watchers.values():
        for event in told:
            log.setdefault(event.job_id, {}).setdefault(event.revision, event)
    return log


def watchers_agree(history: History) -> Iterator[str]:
    """I7: each watcher was told a contiguous slice of the same log."""
    log = log_of(history)
    for watcher, told in history.watchers.items():
        last: dict[int, int] = {}
        for event in told:
            what = f"{watcher}: job {event.job_id}, revision {event.revision}"
            before = last.get(event.job_id)
            if before is not None and event.revision != before + 1:
                yield f"{what} follows {before}"
            last[event.job_id] = event.revision
            if event != log[event.job_id][event.revision]:
                yield f"{what} is another event than another watcher was told"
        again = [c for c, n in Counter(e.cursor for e in told).items() if c and n > 1]
        for cursor in again:
            yield f"{watcher}: cursor {cursor} names two events"


def revisions_have_no_gap(history: History) -> Iterator[str]:
    """I14: revisions of a job grow by one, and end where the job is."""
    for job_id, events in log_of(history).items():
        job = history.jobs.get(job_id)
        newest = max(events)
        if job is not None and job.revision and job.revision < newest:
            yield f"job {job_id} is at revision {job.revision}; {newest} was told"
        missing = set(range(min(events), newest + 1)) - set(events)
        if missing:
            yield f"job {job_id}: revisions {sorted(missing)} were told to nobody"


def folds_are_the_state(history: History) -> Iterator[str]:
    """I7: folding what was told gives what the head shows."""
    log = log_of(history)
    for job_id, job in history.jobs.items():
        events = log.get(job_id, {})
        if not events:
            if history.watchers:
                yield f"job {job_id}: no watcher was told of it"
            continue
        if min(events) != 1 or len(events) != max(events):
            continue  # a gap, which is told elsewhere
        if job.revision and max(events) != job.revision:
            newest = max(events)
            yield f"job {job_id} is at revision {job.revision}, told up to {newest}"
        yield from _fold(job, [events[n] for n in sorted(events)])


def _fold(job: FinalJob, events: Iterable[Heard]) -> Iterator[str]:
    told: dict[tuple[int, int], str] = {}
    for event in events:
        for step in event.steps:
            for key in _keys(step):
                known = told.get(key)
                if known is not None and step.previous != known:
                    what = f"{name((job.job_id, *key))} in revision {event.revision}"
                    yield f"{what}: from {step.previous}, but it was {known}"
                told[key] = step.state
    if told.get((0, 0), job.state) != job.state:
        yield f"job {job.job_id} is {job.state}; the fold gives {told[0, 0]}"
    for task in job.tasks:
        seen = told.get(task.key[1:])
        if seen != task.state:
            yield f"{name(task.key)} is {task.state}; the fold gives {seen}"
    if job.counts:
        yield from _counts(job)


def _counts(job: FinalJob) -> Iterator[str]:
    for state in TERMINAL:
        count = sum(t.state == state and t.kind in ORDINARY for t in job.tasks)
        if count != job.counts.get(state, 0):
            what = f"job {job.job_id} has {count} elements {state}"
            yield f"{what}, and counts {job.counts.get(state, 0)}"


def one_final_state(history: History) -> Iterator[str]:
    """I4: a final state is final, unless a user has it begin anew."""
    for job in history.jobs.values():
        live = [t for t in job.tasks if t.state not in TERMINAL]
        for task in live if job.state in TERMINAL else ():
            yield f"{name(task.key)} is {task.state} in an ended job"
    for job_id, events in log_of(history).items():
        masters = _masters(events.values())
        for number in sorted(events):
            event = events[number]
            for step in event.steps:
                if step.task in masters and not step.elements:
                    continue  # follows from its elements
                again = event.name in AGAIN and step.previous != "FINISHED"
                if step.previous in TERMINAL and not again:
                    what = f"{name((job_id, step.task, 0))} in revision {number}"
                    yield f"{what} ({event.name}): {step.previous} to {step.state}"


def nothing_starts_after_its_cancel(history: History) -> Iterator[str]:
    """I9: nothing is sent that was canceled, and nothing runs that was not sent."""
    sent: Counter[Key] = Counter()
    complete = set()
    for job_id, events in log_of(history).items():
        if min(events) == 1 and len(events) == max(events):
            complete.add(job_id)
        # What waited on a node and came back was an attempt of the job's one task.
        names = Counter(event.name for event in events.values())
        sent[(job_id, 1, 0)] += names["JobReturned"]
        state: dict[tuple[int, int], str] = {}
        for number in sorted(events):
            for step in events[number].steps:
                for key in _keys(step):
                    if step.state == "DISPATCHING":
                        sent[(job_id, *key)] += 1
                        if state.get(key) in STOPPED:
                            what = f"{name((job_id, *key))} in revision {number}"
                            yield f"{what} was sent after it was canceled"
                    state[key] = step.state
    for run in history.runs:
        if run.key[0] in complete and run.attempt > sent[run.key]:
            what = f"attempt {run.attempt} of {name(run.key)} ran"
            yield f"{what}; the log knows of {sent[run.key]}"


def unanswered(history: History) -> int:
    """Return how many calls never got an answer."""
    return sum(call.outcome == UNKNOWN for call in history.calls)


def _masters(events: Iterable[Heard]) -> set[int]:
    """Return the tasks that have elements: their own state follows from those."""
    return {s.task for event in events for s in event.steps if s.elements}


def _keys(step: Step) -> Iterator[tuple[int, int]]:
    for first, last in step.elements or ((0, 0),):
        for element in range(first, last + 1):
            yield step.task, element
