"""ModifyJob: which properties in which state (properties.md 2, J28 to J30)."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from hpcsched.common.errors import HpcError
from hpcsched.core.job import commands as c
from hpcsched.core.job.spec import JobSpec
from hpcsched.core.job.states import JobState, JobType
from hpcsched.core.settings import Settings
from hpcsched.core.task.states import TaskState
from tests.support.job_bench import ANN, BOB, ROOT, Bench, plain, release, sweep

J, S = JobState, TaskState

#: A value of each property that differs from its default.
VALUES: dict[str, Any] = {
    "name": "other",
    "project": "p",
    "priority": 3000,
    "min_cores": 2,
    "max_cores": 3,
    "environment": {"A": "b"},
    "custom_properties": {"k": "v"},
    "runtime": 500.0,
    "fail_on_task_failure": True,
    "fail_dependent_tasks": True,
    "can_preempt": True,
    "is_exclusive": True,
    "requested_nodes": ("n1",),
    "excluded_nodes": ("n9",),
    "valid_exit_codes": "0,3",
    "retry_limit": 2,
    "client_source": "test",
    "email_address": "ann@example.org",
    "notify_on_start": True,
    "notify_on_completion": True,
    "software_license": "abaqus:3,ansys:1",
    "service_name": "s",
    "parent_job_ids": (3,),
    "target_resource_count": 3,
    "progress": 40,
    "progress_message": "half",
}
ALWAYS = {"progress", "progress_message"}
QUEUED = ALWAYS | {"custom_properties"}
RUNNING = ALWAYS | {
    *("project", "runtime", "custom_properties", "target_resource_count"),
}
EVERYTHING = set(VALUES)

#: properties.md 2: state, what its owner may change there, the number of the refusal.
BY_STATE = [
    (J.CONFIGURING, EVERYTHING, 0),
    (J.SUBMITTED, ALWAYS, -2147220961),
    (J.VALIDATING, ALWAYS, -2147220961),
    (J.EXTERNAL_VALIDATION, ALWAYS, -2147220961),
    (J.QUEUED, QUEUED, -2147220962),
    (J.RUNNING, RUNNING, -2147220962),
    (J.FINISHING, ALWAYS, -2147220961),
    (J.CANCELING, ALWAYS, -2147220961),
    (J.FINISHED, ALWAYS, -2147220961),
    (J.FAILED, EVERYTHING, 0),
    (J.CANCELED, EVERYTHING, 0),
]


def job_in(state: JobState) -> Bench:
    bench = Bench(plain(), plain(), release(), runtime=60.0)
    if state is J.CONFIGURING:
        return bench
    bench.submit()
    if state in {J.SUBMITTED, J.VALIDATING, J.EXTERNAL_VALIDATION}:
        bench.job.state = bench.watcher.shadow.state = state
        bench.watcher.told[0, 0] = state
        for job in (bench.job, bench.watcher.shadow):
            job.tasks[2].state = S.SUBMITTED if state is J.SUBMITTED else S.VALIDATING
            job.tasks[2].previous = S.CONFIGURING
        bench.watcher.told[3, 0] = bench.job.tasks[2].state
        return bench
    if state is J.QUEUED:
        return bench
    bench.grant({1: 2}).run_all()
    if state in {J.FINISHING, J.FINISHED}:
        bench.end(1).end(2)
    elif state is J.FAILED:
        bench.fail(1).fail(2)
    elif state in {J.CANCELING, J.CANCELED}:
        bench.cancel("enough")
    if state.terminal:
        bench.end_all()
    assert bench.stands(state)
    return bench


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize(
    ("state", "possible", "number"), BY_STATE, ids=lambda v: getattr(v, "label", "")
)
def test_every_property_in_every_state(
    state: JobState, possible: set[str], number: int, name: str
) -> None:
    bench = job_in(state)
    old = getattr(bench.job.spec, name)

    if name in possible:
        bench.modify(**{name: VALUES[name]})
        assert getattr(bench.job.spec, name) == VALUES[name] != old
    else:
        refusal = bench.refused(c.ModifyJob(caller=ANN, changes={name: VALUES[name]}))
        if name == "priority" and number == -2147220962:
            number = -2147220981  # an administrator may
        else:
            assert refusal.facts["field"] == f"spec.{name}"
        assert refusal.hresult == number


def test_every_property_of_a_job_is_tried() -> None:
    elsewhere = {"user_name", "node_loss", "hold_until", "job_template"}
    elsewhere |= {"run_until_canceled", "job_type", "explicit", "templated"}
    assert set(VALUES) | elsewhere >= {
        *(f.name for f in fields(JobSpec)),
    } - set(NOT_TRIED)


NOT_TRIED = {
    *("unit_type", "min_sockets", "max_sockets", "min_nodes", "max_nodes"),
    *("auto_min", "auto_max", "target_resource_count", "node_groups"),
    *("node_group_op", "single_node", "min_memory", "max_memory", "order_by"),
    *("min_cores_per_node", "max_cores_per_node", "estimated_process_memory"),
    *("auto_calculate_min", "auto_calculate_max", "pool"),
}
"""Those whose rules are tested with what they mean; none has a rule of its own here."""


def test_j28_a_queued_job_goes_out_and_in_again_and_keeps_its_place() -> None:
    bench = Bench(plain(), sweep(3)).submit()
    order, time = bench.job.order, bench.job.submit_time
    before = len(bench.path)

    bench.modify(custom_properties={"k": "v"})

    assert bench.path[before:] == ["Configuring", "Submitted", "Validating", "Queued"]
    assert (bench.job.order, bench.job.submit_time) == (order, time)
    assert bench.job.requeue_count == 0
    assert bench.job.spec.custom_properties == {"k": "v"}
    assert bench.states(2) == ["Queued"] * 3
    bench.grant({1: 4}).run_all().end_all()
    assert bench.stands(J.FINISHED)


def test_j28_a_job_that_is_no_longer_valid_fails_when_it_comes_in_again() -> None:
    bench = Bench(plain(), release()).submit()
    bench.settings = type(bench.settings)(release_s=0)

    decision = bench.modify(custom_properties={"k": "v"})

    assert decision.refusal is not None
    assert decision.refusal.hresult == -2147219893
    assert bench.path[-4:] == ["Configuring", "Submitted", "Validating", "Failed"]
    assert bench.state(1) is S.FAILED
    assert bench.job.spec.custom_properties == {"k": "v"}


@pytest.mark.parametrize("state", [J.FAILED, J.CANCELED])
def test_j29_an_ended_job_is_configuring_first(state: JobState) -> None:
    bench = job_in(state)

    bench.modify(name="again")

    assert bench.path[-1] == "Configuring"
    assert bench.job.requeue_count == 1
    assert bench.job.spec.name == "again"
    assert bench.state(1) is S.CONFIGURING
    assert bench.job.end_time is None


@pytest.mark.parametrize("state", [J.FAILED, J.CANCELED, J.FINISHED, J.QUEUED])
def test_progress_alone_changes_no_state(state: JobState) -> None:
    bench = job_in(state)
    before = len(bench.path)

    bench.modify(progress=99, progress_message="nearly")

    assert len(bench.path) == before
    assert bench.job.requeue_count == 0


def test_j30_a_limit_that_is_over_already_ends_the_job_as_canceled() -> None:
    bench = Bench(plain()).start()
    bench.now += 100

    bench.modify(runtime=50.0)

    assert bench.stands(J.CANCELING)
    assert bench.job.error_code == -2147218987
    bench.end_all()
    assert bench.stands(J.CANCELED)
    assert bench.state(1) is S.FAILED


def test_j30_a_limit_that_is_to_come_ends_it_then() -> None:
    bench = Bench(plain()).start()

    bench.modify(runtime=50.0)

    bench.tick(49.0)
    assert bench.stands(J.RUNNING)
    bench.tick(1.0)
    assert bench.stands(J.CANCELING)


def test_j30_a_running_job_may_get_a_limit_below_those_of_its_tasks() -> None:
    bench = Bench(plain(runtime=50.0)).start()

    bench.modify(runtime=20.0)

    assert bench.job.spec.runtime == 20.0


def test_j30_the_limit_of_a_backfill_job_is_fixed() -> None:
    bench = Bench(plain()).submit()
    bench.do(c.GrantCores(cores={1: (0,)}, backfill=True))

    refusal = bench.refused(c.ModifyJob(caller=ANN, changes={"runtime": 5.0}))

    assert refusal.hresult == -2147220963


def test_j30_a_job_that_need_not_be_kept_any_more_ends_at_once() -> None:
    bench = Bench(run_until_canceled=True, min_cores=1, max_cores=1).start({1: 1})
    assert bench.stands(J.RUNNING)

    bench.modify(run_until_canceled=False)

    assert bench.stands(J.FINISHED)


def test_j15_a_running_job_can_be_told_to_keep_its_cores() -> None:
    bench = Bench(plain(), plain(), min_cores=1, max_cores=2).start({1: 2})
    bench.modify(run_until_canceled=True)

    bench.end(1).end(2)

    assert bench.stands(J.RUNNING)
    assert bench.job.uses[1].cores == (0, 1)


def test_run_until_canceled_needs_a_size_here_too() -> None:
    bench = Bench(plain()).start()

    changes = {"run_until_canceled": True}
    refusal = bench.refused(c.ModifyJob(caller=ANN, changes=changes))

    assert refusal.hresult == -2147219963


@pytest.mark.parametrize("state", [J.QUEUED, J.RUNNING])
def test_the_priority_of_a_submitted_job_is_an_administrators(state: JobState) -> None:
    bench = job_in(state)
    before = len(bench.path)

    refusal = bench.refused(c.ModifyJob(caller=ANN, changes={"priority": 3000}))
    assert refusal.reason == "PERMISSION_DENIED"
    bench.modify(caller=ROOT, priority=3000)

    assert bench.job.order[0] == -3000
    assert len(bench.path) == before


def test_nothing_is_changed_when_one_property_cannot_be() -> None:
    bench = Bench(plain()).start()

    changes = {"project": "p", "name": "other"}
    refusal = bench.refused(c.ModifyJob(caller=ANN, changes=changes))

    assert refusal.facts["field"] == "spec.name"
    assert bench.job.spec.project == ""


def test_two_editors_do_not_overwrite_each_other() -> None:
    bench = Bench(plain())
    read = bench.job.revision
    bench.do(c.ModifyJob(caller=ANN, changes={"name": "a"}, expected_revision=read))

    late = c.ModifyJob(caller=ANN, changes={"name": "b"}, expected_revision=read)

    assert bench.refused(late).reason == "REVISION_CONFLICT"
    assert bench.job.spec.name == "a"


def test_entries_of_maps_change_one_by_one() -> None:
    bench = Bench(plain(), environment={"A": "1", "B": "2"})

    entries = {"environment": {"A": None, "C": "3"}}
    bench.do(c.ModifyJob(caller=ANN, changes={}, entries=entries))

    assert bench.job.spec.environment == {"B": "2", "C": "3"}


def test_a_change_to_what_it_is_already_is_no_event() -> None:
    bench = job_in(J.CANCELED)
    revision = bench.job.revision

    bench.modify(name="")

    assert bench.job.revision == revision


@pytest.mark.parametrize(
    ("changes", "number"),
    [
        ({"progress": 101}, -2147220917),
        ({"progress": -1}, -2147220917),
        ({"progress_message": "x" * 81}, -2147220987),
        ({"name": "x" * 81}, -2147220987),
        ({"email_address": "x" * 257}, -2147220987),
        ({"email_address": "ann at home"}, -2147220987),
        ({"software_license": "abaqus"}, -2147220987),
        ({"software_license": "abaqus:3,"}, -2147220987),
        ({"software_license": "a:1," * 40 + "b:1"}, -2147220987),
        ({"priority": 4001}, -2147220775),
        ({"min_cores": 3, "max_cores": 2}, -2147219958),
        ({"job_template": "Other"}, -2147220965),
        ({"hold_until": 50.0}, -2147220789),
        ({"hold_until": 100.0 + 367 * 86400}, -2147220783),
        ({"parent_job_ids": (7,)}, -2147220567),
        ({"parent_job_ids": (0,)}, -2147220567),
        ({"runtime": 10.0}, -2147219941),
        ({"custom_properties": {"x" * 81: ""}}, -2147220772),
    ],
)
def test_a_value_out_of_its_range(changes: dict[str, Any], number: int) -> None:
    bench = Bench(plain(runtime=20.0))

    assert bench.refused(c.ModifyJob(caller=ANN, changes=changes)).hresult == number


def test_another_users_job_is_not_to_be_changed() -> None:
    bench = Bench(plain())

    refusal = bench.refused(c.ModifyJob(caller=BOB, changes={"name": "x"}))

    assert refusal.reason == "PERMISSION_DENIED"


def test_another_account_needs_a_job_administrator() -> None:
    bench = Bench(plain()).submit()

    refusal = bench.refused(c.ModifyJob(caller=ANN, changes={"user_name": "eve"}))
    assert refusal.reason == "PERMISSION_DENIED"
    bench.modify(caller=ROOT, user_name="eve")

    assert bench.job.spec.user_name == "eve"
    bench.modify(user_name="ann")
    assert bench.job.spec.user_name == "ann"


def test_a_command_is_not_to_be_changed() -> None:
    bench = Bench(plain(node="n1", is_rerunnable=False), job_type=JobType.ADMIN)

    with pytest.raises(HpcError, match="modify a command"):
        bench.modify(caller=ROOT, name="x")


def test_a_task_that_was_never_submitted_goes_with_a_job_that_became_invalid() -> None:
    bench = Bench(plain(), release()).submit()
    bench.add(plain(), submit=False)
    bench.settings = Settings(release_s=0)

    bench.modify(custom_properties={"k": "v"})

    assert bench.job.state is J.FAILED
    assert [bench.state(task) for task in (1, 3)] == [S.FAILED, S.CANCELED]
