"""What happened on the nodes: once each, never beside another, with its exact end."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tests.support.history.model import (
    EXITED,
    ORDINARY,
    PREP,
    REFUSED,
    RELEASE,
    TERMINAL,
    History,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.history.model import FinalTask, Key, Run

#: Ends that follow a request of a user or of the job itself.
STOPPED = ("CANCELED", "KILLED", "PREEMPTED", "SIGNALED", "NOT_STARTED", "TIME_LIMIT")

#: Ends that are the system's; one has to be injected.
LOST = (
    *("STATUS_LOST", "NODE_LOST", "NODE_REBOOTED", "NODE_SHUTDOWN"),
    *("NOT_STARTED", "START_FAILED"),
)

STOPPING = ("cancel", "finish", "requeue", "requeue_tasks", "forget")


def one_process_per_attempt(history: History) -> Iterator[str]:
    """I2: an attempt is started once."""
    for (key, attempt), count in Counter(
        (r.key, r.attempt) for r in history.runs
    ).items():
        if count > 1:
            yield f"attempt {attempt} of {name(key)} ran {count} times"


def attempts_do_not_overlap(history: History) -> Iterator[str]:
    """I3: an attempt begins when the one before has ended."""
    if "overlap" in history.losses:
        return
    for run in history.runs:
        if run.overlapped:
            what = f"attempt {run.attempt} of {name(run.key)} on {run.node}"
            yield f"{what} began while another one lived"
    last: dict[Key, Run] = {}
    for run in sorted(history.runs, key=lambda r: r.began):
        before = last.get(run.key)
        if before is not None and before.ended and run.began < before.ended:
            yield f"attempts {before.attempt}, {run.attempt} of {name(run.key)} overlap"
        last[run.key] = run


def attempts_never_go_back(history: History) -> Iterator[str]:
    """I14: attempts of an element are started in the order of their numbers."""
    last: dict[Key, int] = {}
    for run in sorted(history.runs, key=lambda r: r.began):
        if run.attempt < last.get(run.key, 0):
            what = f"attempt {run.attempt} of {name(run.key)}"
            yield f"{what} was started after attempt {last[run.key]}"
        last[run.key] = run.attempt


def ends_are_the_truth(history: History) -> Iterator[str]:
    """I5: what is recorded of an end is what happened."""
    runs = {(run.key, run.attempt): run for run in history.runs}
    newest: dict[Key, int] = {}
    for run in history.runs:
        newest[run.key] = max(run.attempt, newest.get(run.key, 0))
    touched = {
        c.job_id
        for c in history.calls
        if c.verb in STOPPING and c.outcome != REFUSED and c.job_id
    }
    for task in history.tasks():
        if newest.get(task.key, 0) > task.attempt:
            what = f"{name(task.key)} is at attempt {task.attempt}"
            yield f"{what}; attempt {newest[task.key]} ran"
        last = runs.get((task.key, task.attempt))
        may_stop = task.key[0] in touched or task.kind not in ORDINARY
        yield from _end(task, last, may_stop=may_stop, losses=history.losses)


def _end(
    task: FinalTask, run: Run | None, *, may_stop: bool, losses: set[str]
) -> Iterator[str]:
    what = f"{name(task.key)} ({task.state}, {task.end_reason}, {task.exit_code})"
    if task.state not in TERMINAL or task.state == "CANCELED":
        return
    if task.end_reason == EXITED:
        if run is None or run.code is None:
            yield f"{what}: its attempt {task.attempt} wrote no end"
        elif task.exit_code != run.code:
            yield f"{what}: it ended with {run.code}"
    elif not _is_excused(task, may_stop=may_stop, losses=losses):
        yield f"{what}: nobody stopped it, and nothing was lost"
    if may_stop:
        return
    succeeded = task.end_reason == EXITED and task.exit_code in task.valid
    if task.state == "FINISHED" and not succeeded:
        yield f"{what}: it is no success"
    if task.state == "FAILED" and succeeded:
        yield f"{what}: it is a success"


def _is_excused(task: FinalTask, *, may_stop: bool, losses: set[str]) -> bool:
    if may_stop and (not task.end_reason or task.end_reason in STOPPED):
        return True
    return bool(losses) and task.end_reason in LOST


def cores_are_given_once(history: History) -> Iterator[str]:
    """I6: two processes never share a core, and at rest nothing is booked."""
    for node in history.nodes:
        if node.cores_in_use:
            yield f"{node.name}: {node.cores_in_use} cores are in use at rest"
    capacity = {node.name: node.cores for node in history.nodes}
    busy: dict[tuple[str, int], Run] = {}
    for run in sorted(history.runs, key=lambda r: r.began):
        for core in run.cores:
            if core >= capacity.get(run.node, core + 1):
                yield f"{name(run.key)} has core {core} of {run.node}, which it has not"
            before = busy.get((run.node, core))
            if before is not None and before.ended and run.began < before.ended:
                who = f"{name(before.key)} and {name(run.key)}"
                yield f"{who} had core {core} of {run.node} at once"
            busy[run.node, core] = run


def nodes_are_tidied_once(history: History) -> Iterator[str]:
    """I9: preparation first, release last, each once per node and activation."""
    for job_id, job in history.jobs.items():
        kinds = {task.key[1]: task.kind for task in job.tasks}
        runs = [r for r in history.runs if r.key[0] == job_id and r.key[1] in kinds]
        for kind in (PREP, RELEASE):
            numbers = {r.key for r in runs if kinds[r.key[1]] == kind}
            again = [k for k in numbers if sum(r.key == k for r in runs) > 1]
            if not history.losses:
                for key in again:
                    yield f"{name(key)}, a {kind} task, ran more than once"
        for node in {r.node for r in runs}:
            yield from _order(node, [r for r in runs if r.node == node], kinds)


def _order(node: str, runs: list[Run], kinds: dict[int, str]) -> Iterator[str]:
    tidying = [r for r in runs if kinds[r.key[1]] not in ORDINARY and r.ended]
    work = [r for r in runs if kinds[r.key[1]] in ORDINARY]
    for tidy in tidying:
        for run in work:
            if tidy.ended is None or (run.ended is None and run.began < tidy.began):
                continue  # it was killed: nobody wrote down when
            ended = tidy.ended if run.ended is None else run.ended
            if run.began < tidy.ended and tidy.began < ended:
                kind = kinds[tidy.key[1]]
                who = f"{name(run.key)} and {name(tidy.key)}, a {kind} task,"
                yield f"{who} ran at once on {node}"


def reruns_are_bounded(history: History) -> Iterator[str]:
    """I15: automatic reruns stay within their limit."""
    for task in history.tasks():
        if task.reruns > history.rerun_limit:
            yield f"{name(task.key)} was rerun {task.reruns} times by itself"


def no_process_is_left(history: History) -> Iterator[str]:
    """I16: when everything has ended, no process of a task lives."""
    for line in history.leftovers:
        yield f"left over: {line}"


def name(key: Key) -> str:
    """Return how users name an element."""
    job, task, element = key
    return f"{job}.{task}.{element}" if element else f"{job}.{task}"
