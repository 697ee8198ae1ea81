"""The history checker bites: one true history, and bad ones for each invariant."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.history.checker import check
from tests.support.history.log_rules import nothing_starts_after_its_cancel
from tests.support.history.model import (
    ACKED,
    PREP,
    REFUSED,
    RELEASE,
    UNKNOWN,
    Call,
    FinalJob,
    FinalNode,
    FinalTask,
    Heard,
    History,
    Run,
    Step,
    load,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

IN = ("SUBMITTED", "VALIDATING", "QUEUED")
PREPARE, TIDY, WORK = 1, 2, 3


def passing(task: int, *states: str, elements: Any = ()) -> tuple[Step, ...]:
    """Return the steps from each state to the next."""
    return tuple(
        Step(task=task, elements=elements, state=new, previous=old)
        for old, new in pairwise(states)
    )


def event(revision: int, name: str, *steps: Step, job: int = 7) -> Heard:
    cursor = f"c{job}-{revision}"
    return Heard(job_id=job, revision=revision, name=name, cursor=cursor, steps=steps)


def honest() -> History:
    """A job with preparation, two elements and release; one was rerun after a loss."""
    one, two = ((1, 1),), ((2, 2),)
    log = [
        event(1, "JobCreated"),
        event(
            2,
            "JobSubmitted",
            *passing(WORK, "CONFIGURING", *IN, elements=((1, 2),)),
            *passing(0, "CONFIGURING", *IN),
        ),
        event(3, "JobStarted", *passing(0, "QUEUED", "RUNNING")),
        event(4, "Tidy", *passing(PREPARE, "QUEUED", "DISPATCHING", elements=one)),
        event(
            5,
            "TasksEnded",
            *passing(PREPARE, "DISPATCHING", "RUNNING", "FINISHED", elements=one),
        ),
        event(
            6, "TasksDispatched", *passing(WORK, "QUEUED", "DISPATCHING", elements=one)
        ),
        event(7, "TasksLost", *passing(WORK, "DISPATCHING", "QUEUED", elements=one)),
        event(
            8,
            "TasksDispatched",
            *passing(WORK, "QUEUED", "DISPATCHING", elements=((1, 2),)),
        ),
        event(
            9,
            "TasksStarted",
            *passing(WORK, "DISPATCHING", "RUNNING", elements=((1, 2),)),
        ),
        event(
            10,
            "TasksEnded",
            *passing(WORK, "RUNNING", "FINISHED", elements=one),
            *passing(WORK, "RUNNING", "FAILED", elements=two),
        ),
        event(11, "Tidy", *passing(TIDY, "QUEUED", "DISPATCHING", elements=one)),
        event(
            12,
            "TasksEnded",
            *passing(TIDY, "DISPATCHING", "RUNNING", "FINISHED", elements=one),
        ),
        event(13, "JobEnded", *passing(0, "RUNNING", "FAILED")),
    ]

    def run(task: int, element: int, began: int, **more: Any) -> Run:
        known = {"attempt": 1, "ended": began + 1, "code": 0, "pid": 100 + began}
        return Run(key=(7, task, element), began=began, **{**known, **more})

    def final(task: int, element: int, **more: Any) -> FinalTask:
        known = {"state": "FINISHED", "exit_code": 0, "end_reason": "EXITED"}
        return FinalTask(key=(7, task, element), **{**known, **more})

    return History(
        calls=[
            Call(
                request_id="a",
                verb="submit",
                job_id=7,
                name="x",
                facts={"sizes": [0, 0, 2]},
            ),
            Call(request_id="b", verb="modify", job_id=7, facts={"priority": 5}),
            Call(
                request_id="c",
                verb="submit",
                name="y",
                outcome=REFUSED,
                reason="SPEC_TOO_LARGE",
            ),
            Call(request_id="d", verb="submit", name="z", outcome=UNKNOWN),
            Call(request_id="e", verb="set", name="P", facts={"value": "3"}),
        ],
        runs=[
            run(PREPARE, 1, 1),
            run(WORK, 1, 3, attempt=2, cores=(0,)),
            run(WORK, 2, 5, code=2, cores=(0,)),
            run(TIDY, 1, 7),
        ],
        watchers={"whole": list(log), "late": log[4:]},
        jobs={
            7: FinalJob(
                job_id=7,
                name="x",
                state="FAILED",
                priority=5,
                revision=13,
                counts={"FINISHED": 1, "FAILED": 1, "CANCELED": 0},
                tasks=(
                    final(PREPARE, 1, kind=PREP),
                    final(TIDY, 1, kind=RELEASE),
                    final(WORK, 1, kind="sweep", attempt=2, reruns=1),
                    final(WORK, 2, kind="sweep", state="FAILED", exit_code=2),
                ),
            )
        },
        nodes=[FinalNode(name="n1", cores=2)],
        parameters={"P": "3"},
    )


def change_job(history: History, **more: Any) -> None:
    history.jobs[7] = replace(history.jobs[7], **more)


def change_task(history: History, number: int, **more: Any) -> None:
    tasks = list(history.jobs[7].tasks)
    tasks[number] = replace(tasks[number], **more)
    change_job(history, tasks=tuple(tasks))


def tell(history: History, number: int, told: Heard | None) -> None:
    """Replace an event in what every watcher was told, or leave it out."""
    for name, log in history.watchers.items():
        history.watchers[name] = [
            new
            for old in log
            for new in [told if old.revision == number else old]
            if new is not None
        ]


def forget_job(history: History) -> None:
    history.jobs.clear()
    history.runs.clear()
    history.watchers.clear()


def refused_appears(history: History) -> None:
    history.jobs[8] = FinalJob(job_id=8, name="y", state="CANCELED")
    history.watchers.clear()


def cancel_is_lost(history: History) -> None:
    history.calls.append(Call(request_id="f", verb="cancel", job_id=7))


def two_jobs_of_a_request(history: History) -> None:
    history.jobs[8] = replace(history.jobs[7], job_id=8, tasks=())
    history.watchers.clear()


def another_job_for_a_retry(history: History) -> None:
    call = replace(history.calls[0], job_id=9)
    history.jobs[9] = FinalJob(job_id=9, name="x", state="FAILED")
    history.calls.append(call)


def half_of_a_call(history: History) -> None:
    half = replace(history.calls[0], request_id="other", job_id=0, outcome="unknown")
    history.calls.append(half)


def twice(history: History) -> None:
    again = replace(history.runs[1], pid=99, began=9, ended=10)
    history.runs.append(again)


def overlapping(history: History) -> None:
    history.runs[1].overlapped = True


def crossing(history: History) -> None:
    history.runs.append(replace(history.runs[2], attempt=2, began=5, ended=6, cores=()))
    history.runs[2].began, history.runs[2].ended = 4, 7


def older_attempt_later(history: History) -> None:
    history.runs.append(replace(history.runs[1], attempt=1, began=9, ended=10))


def begins_again(history: History) -> None:
    again = event(
        14, "TasksStarted", *passing(WORK, "FAILED", "RUNNING", elements=((2, 2),))
    )
    history.watchers["whole"].append(again)


def finished_requeued(history: History) -> None:
    again = event(
        14, "JobRequeued", *passing(WORK, "FINISHED", "QUEUED", elements=((1, 1),))
    )
    history.watchers["whole"].append(again)


def shared_core(history: History) -> None:
    history.runs[1].ended, history.runs[2].began = 6, 5
    history.runs[2].ended = 8
    history.runs[3].began, history.runs[3].ended = 9, 10


def gap_of_one(history: History) -> None:
    del history.watchers["whole"][8]


def told_otherwise(history: History) -> None:
    history.watchers["late"][-1] = event(
        13, "JobEnded", *passing(0, "RUNNING", "FINISHED")
    )


def told_twice(history: History) -> None:
    history.watchers["whole"].append(history.watchers["whole"][-1])


def sent_after_cancel(history: History) -> None:
    stopped = passing(
        WORK, "DISPATCHING", "CANCELING", "DISPATCHING", elements=((1, 1),)
    )
    tell(history, 7, event(7, "TasksCancelRequested", *stopped))


def never_sent(history: History) -> None:
    tell(history, 6, event(6, "Nothing"))


def released_twice(history: History) -> None:
    history.runs.append(replace(history.runs[3], pid=98, attempt=2, began=9, ended=10))
    change_task(history, 1, attempt=2)
    tell(
        history,
        13,
        event(
            13,
            "JobEnded",
            *passing(TIDY, "FINISHED", "DISPATCHING", elements=((1, 1),)),
        ),
    )


def released_too_early(history: History) -> None:
    history.runs[3].began, history.runs[3].ended = 4, 8


BAD: list[tuple[str, str, Callable[[History], object]]] = [
    ("I1", "an acknowledged job is gone", forget_job),
    ("I1", "an element is gone", lambda h: change_job(h, tasks=h.jobs[7].tasks[:3])),
    ("I1", "a refused job is there", refused_appears),
    ("I1", "an acknowledged cancel is lost", cancel_is_lost),
    ("I1", "an acknowledged change is lost", lambda h: change_job(h, priority=2000)),
    ("I1", "a parameter has its old value", lambda h: h.parameters.update(P="1")),
    ("I1", "a requeue nobody asked for", lambda h: change_job(h, requeues=2)),
    ("I2", "an attempt ran twice", twice),
    ("I3", "an attempt began beside another", overlapping),
    ("I3", "attempts crossed in the journal", crossing),
    ("I4", "what has ended runs again", begins_again),
    ("I4", "what was finished is queued again", finished_requeued),
    (
        "I4",
        "an ended job has a task that runs",
        lambda h: change_task(h, 3, state="RUNNING"),
    ),
    ("I5", "another exit code is recorded", lambda h: change_task(h, 3, exit_code=4)),
    (
        "I5",
        "a failure is recorded as success",
        lambda h: change_task(h, 3, state="FINISHED"),
    ),
    (
        "I5",
        "a success is recorded as failure",
        lambda h: change_task(h, 2, state="FAILED"),
    ),
    ("I5", "success of what never ended", lambda h: setattr(h.runs[1], "code", None)),
    ("I5", "success of what never ran", lambda h: h.runs.pop(1)),
    (
        "I5",
        "lost, though nothing was lost",
        lambda h: change_task(h, 3, end_reason="STATUS_LOST", exit_code=None),
    ),
    ("I5", "canceled by nobody", lambda h: change_task(h, 3, end_reason="CANCELED")),
    ("I5", "a later attempt ran", lambda h: change_task(h, 2, attempt=1)),
    (
        "I6",
        "a core is held at rest",
        lambda h: h.nodes.append(FinalNode(name="n2", cores=1, cores_in_use=1)),
    ),
    ("I6", "two have one core", shared_core),
    ("I6", "a core that is not there", lambda h: setattr(h.runs[1], "cores", (2,))),
    ("I7", "a watcher missed an event", gap_of_one),
    ("I7", "a watcher was told otherwise", told_otherwise),
    ("I7", "a watcher was told twice", told_twice),
    ("I7", "the fold is not the state", lambda h: change_task(h, 2, state="CANCELED")),
    ("I7", "a state was left out", lambda h: tell(h, 9, event(9, "TasksStarted"))),
    ("I7", "the newest event was not told", lambda h: change_job(h, revision=14)),
    ("I7", "counts are wrong", lambda h: change_job(h, counts={"FINISHED": 2})),
    ("I8", "a job is stuck", lambda h: change_job(h, state="RUNNING")),
    ("I9", "sent after its cancel", sent_after_cancel),
    ("I9", "it ran, but was never sent", never_sent),
    ("I9", "a node is released twice", released_twice),
    ("I9", "a node is released under a task", released_too_early),
    ("I11", "two jobs of one request", two_jobs_of_a_request),
    ("I11", "a retry was given another job", another_job_for_a_retry),
    ("I11", "half of the jobs of a call", half_of_a_call),
    ("I14", "an older attempt was started later", older_attempt_later),
    ("I14", "a revision that nobody was told", lambda h: tell(h, 6, None)),
    ("I14", "the job fell behind its events", lambda h: change_job(h, revision=9)),
    ("I15", "rerun without end", lambda h: change_task(h, 2, reruns=4)),
    ("I16", "a process is left", lambda h: h.leftovers.append("99 sleep 60")),
]


def test_a_true_history_is_not_complained_about(tmp_path: Path) -> None:
    history = honest()
    assert check(history) == []

    history.save(tmp_path / "history.json")
    assert check(load(tmp_path / "history.json")) == []


@pytest.mark.parametrize(
    ("rule", "what", "spoil"), BAD, ids=[f"{r} {w}" for r, w, _ in BAD]
)
def test_a_bad_history_is_found_by_its_rule(
    rule: str, what: str, spoil: Callable[[History], object]
) -> None:
    history = honest()
    spoil(history)
    assert rule in {violation.rule for violation in check(history)}, what


def test_a_lost_status_is_honest_where_its_cause_was_injected() -> None:
    history = honest()
    change_task(history, 3, end_reason="STATUS_LOST", exit_code=None)
    history.losses.add("reaper and spawner of n1")
    assert check(history) == []


def test_a_cancel_counts_no_more_once_the_job_was_queued_again() -> None:
    history = honest()
    for verb in ("cancel", "requeue"):
        history.calls.append(Call(request_id=verb, verb=verb, job_id=7, outcome=ACKED))
    change_job(history, requeues=1)
    assert check(history) == []


def test_an_attempt_that_a_node_gave_back_was_sent() -> None:
    passed = passing(1, "QUEUED", "DISPATCHING", elements=((0, 0),))
    names = ("JobSentAhead", "JobReturned", "JobStarted")
    log = [event(at + 1, each) for at, each in enumerate(names)]
    sent = History(watchers={"whole": [*log, event(4, "TasksDispatched", *passed)]})
    sent.runs = [Run(key=(7, 1, 0), attempt=2)]
    assert not list(nothing_starts_after_its_cancel(sent))

    sent.runs = [Run(key=(7, 1, 0), attempt=3)]
    assert list(nothing_starts_after_its_cancel(sent))
