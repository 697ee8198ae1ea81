"""Roles: who may do what to whose job (api.md section 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hpcsched.common.errors import HpcError
from hpcsched.core import caller as roles
from hpcsched.core.caller import Caller
from hpcsched.core.job import commands as c
from hpcsched.core.job.states import JobType
from tests.support.job_bench import ROOT, Bench, plain

if TYPE_CHECKING:
    from collections.abc import Callable

PEOPLE = (
    roles.USER,
    roles.JOB_OPERATOR,
    roles.JOB_ADMINISTRATOR,
    roles.ADMINISTRATOR,
)
OWNER = "owner"
"""The job's owner, with a user's token."""

OPERATE = {OWNER, roles.JOB_OPERATOR, roles.JOB_ADMINISTRATOR, roles.ADMINISTRATOR}
CHANGE = {OWNER, roles.JOB_ADMINISTRATOR, roles.ADMINISTRATOR}


def draft() -> Bench:
    return Bench(plain())


def queued() -> Bench:
    return draft().submit()


def running() -> Bench:
    return Bench(plain()).start()


def half_done() -> Bench:
    """Return a job with a task that was added and not submitted."""
    bench = Bench(plain()).start()
    bench.add(plain(), submit=False)
    return bench


def failed() -> Bench:
    return Bench(plain()).start().end_all(1)


# Operation: the job that it suits, the command, who may.
OPERATIONS: dict[
    str, tuple[Callable[[], Bench], Callable[[Caller], c.Command], set[str]]
] = {
    "submit": (draft, lambda who: c.SubmitJob(caller=who, submit_order=1), CHANGE),
    "add tasks": (draft, lambda who: c.AddTasks(caller=who, tasks=[plain()]), CHANGE),
    "submit tasks": (
        half_done,
        lambda who: c.SubmitTasks(caller=who, task_ids=[2]),
        CHANGE,
    ),
    "configure": (queued, lambda who: c.ConfigureJob(caller=who), CHANGE),
    "cancel": (running, lambda who: c.CancelJob(caller=who), OPERATE),
    "finish": (running, lambda who: c.FinishJob(caller=who), OPERATE),
    "requeue": (failed, lambda who: c.RequeueJob(caller=who, submit_order=2), OPERATE),
    "cancel tasks": (
        running,
        lambda who: c.CancelTasks(caller=who, tasks=[(1, 0)]),
        OPERATE,
    ),
    "finish tasks": (
        running,
        lambda who: c.FinishTasks(caller=who, tasks=[(1, 0)]),
        OPERATE,
    ),
    "requeue tasks": (
        failed,
        lambda who: c.RequeueTasks(caller=who, tasks=[(1, 0)], submit_order=2),
        OPERATE,
    ),
}


def caller_of(role: str) -> Caller:
    if role == OWNER:
        return Caller.of("ann", roles.USER)
    return Caller.of("somebody else", role)


@pytest.mark.parametrize("role", [OWNER, *PEOPLE])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_role_may_do_to_a_job_what_the_table_says(operation: str, role: str) -> None:
    make, command, allowed = OPERATIONS[operation]
    bench = make()

    if role in allowed:
        bench.do(command(caller_of(role)))
    else:
        assert bench.refused(command(caller_of(role))).reason == "PERMISSION_DENIED"


@pytest.mark.parametrize("role", [OWNER, *PEOPLE])
@pytest.mark.parametrize(
    "operation", ["cancel", "finish", "cancel tasks", "finish tasks"]
)
def test_commands_are_the_administrators_even_their_owners_role_counts(
    operation: str, role: str
) -> None:
    bench = Bench(plain(node="n4", is_rerunnable=False), job_type=JobType.ADMIN)
    bench.do(c.StartCommand(caller=ROOT, nodes={1: 4}))
    bench.run_all()
    command = OPERATIONS[operation][1](caller_of(role))

    if role == roles.ADMINISTRATOR:
        bench.do(command)
    else:
        assert bench.refused(command).reason == "PERMISSION_DENIED"


@pytest.mark.parametrize("role", roles.ROLES)
def test_a_caller_has_the_role_of_its_token(role: str) -> None:
    caller = Caller.of("ann", role)

    # A node's token never gets to where callers are made of it.
    assert caller.role == (roles.USER if role == roles.NODE else role)


def test_what_is_nobodys_needs_an_administrator() -> None:
    Caller.of("root", roles.ADMINISTRATOR).require_administrator("set parameters")
    for role in set(PEOPLE) - {roles.ADMINISTRATOR}:
        with pytest.raises(HpcError, match="ann may not set parameters"):
            Caller.of("ann", role).require_administrator("set parameters")
