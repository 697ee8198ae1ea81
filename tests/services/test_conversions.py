"""Values and messages say the same."""

from __future__ import annotations

import base64
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcsched.api.v1 import cluster_service_pb2, job_pb2, node_pb2, task_pb2
from hpcsched.common.errors import HpcError
from hpcsched.core.caller import Caller
from hpcsched.core.job.spec import JobSpec
from hpcsched.core.job.states import JobState, JobType, NodeGroupOp, NodeLoss, UnitType
from hpcsched.core.task.spec import TaskSpec
from hpcsched.core.task.states import EndReason, TaskState, TaskType
from hpcsched.core.template.properties import KINDS, find
from hpcsched.core.views import ClusterView, Inventory
from hpcsched.jobfile import names
from hpcsched.services.convert_job import job_message
from hpcsched.services.convert_job_spec import (
    SIMPLE,
    job_spec,
    job_spec_message,
    new_job,
    task_spec,
    task_spec_message,
)
from hpcsched.services.convert_node import cluster_message, node_message, token_message
from hpcsched.services.convert_task import task_message
from hpcsched.services.convert_time import (
    duration,
    seconds_of,
    seconds_since_epoch,
    timestamp,
)
from hpcsched.services.cursors import decode_cursor, encode_cursor
from tests.support.fake_front import token_row
from tests.support.views import job_view, node_view, task_view

text = st.text(st.characters(codec="utf-8"), max_size=8)
texts = st.lists(text, max_size=3).map(tuple)
pairs = st.dictionaries(text, text, max_size=3)
count = st.integers(-(1 << 31), (1 << 31) - 1)
natural = st.integers(1, (1 << 31) - 1)
seconds = st.integers(0, 10**12).map(lambda micros: micros / 1_000_000)

JOB_SPECS = st.builds(
    JobSpec,
    name=text,
    project=text,
    priority=count,
    min_cores=st.none() | count,
    max_cores=st.none() | count,
    environment=pairs,
    custom_properties=pairs,
    runtime=seconds,
    run_until_canceled=st.booleans(),
    fail_on_task_failure=st.booleans(),
    fail_dependent_tasks=st.booleans(),
    can_preempt=st.booleans(),
    target_resource_count=st.integers(0, 100),
    is_exclusive=st.booleans(),
    requested_nodes=texts,
    excluded_nodes=texts,
    valid_exit_codes=text.filter(bool),
    retry_limit=count,
    node_loss=st.sampled_from(NodeLoss),
    user_name=text,
    client_source=text,
    unit_type=st.sampled_from(UnitType),
    min_sockets=st.none() | count,
    max_sockets=st.none() | count,
    min_nodes=st.none() | count,
    max_nodes=st.none() | count,
    auto_calculate_min=st.none() | st.booleans(),
    auto_calculate_max=st.none() | st.booleans(),
    single_node=st.booleans(),
    min_memory=st.none() | count,
    max_memory=st.none() | count,
    min_cores_per_node=st.none() | count,
    max_cores_per_node=st.none() | count,
    estimated_process_memory=count,
    order_by=text.filter(bool),
    node_groups=texts,
    node_group_op=st.sampled_from(NodeGroupOp),
    job_template=text.filter(bool),
    email_address=text,
    notify_on_start=st.booleans(),
    notify_on_completion=st.booleans(),
    progress=st.none() | count,
    progress_message=text,
    software_license=text,
    service_name=text,
    hold_until=st.none() | seconds,
    parent_job_ids=st.lists(count, max_size=3, unique=True).map(tuple),
)
TASK_SPECS = st.builds(
    TaskSpec,
    name=text,
    type=st.sampled_from([t for t in TaskType if t is not TaskType.PARAMETRIC_SWEEP]),
    arguments=texts,
    command_line=text,
    max_concurrent=count,
    work_directory=text,
    stdin_path=text,
    stdout_path=text,
    stderr_path=text,
    environment=pairs,
    depends_on=texts,
    is_rerunnable=st.booleans(),
    min_cores=natural,
    max_cores=count,
    required_nodes=texts,
    runtime=seconds,
    valid_exit_codes=text,
    critical=st.none() | st.booleans(),
    critical_count=count,
    grace=st.none() | seconds,
    custom_properties=pairs,
    group_id=count,
    user_blob=st.binary(max_size=4),
)
RANGES = st.builds(
    lambda spec, start, end, step: replace(
        spec, type=TaskType.PARAMETRIC_SWEEP, start=start, end=end, step=step
    ),
    TASK_SPECS,
    natural,
    natural,
    natural,
)
LINES = st.builds(
    lambda spec, lines: replace(spec, type=TaskType.PARAMETRIC_SWEEP, lines=lines),
    TASK_SPECS,
    st.lists(text, min_size=1, max_size=3).map(tuple),
)


@given(JOB_SPECS)
def test_the_specification_of_a_job_survives_the_wire(spec: JobSpec) -> None:
    message = job_pb2.JobSpec.FromString(job_spec_message(spec).SerializeToString())

    assert job_spec(message, "spec") == spec


@given(TASK_SPECS | RANGES | LINES)
def test_the_specification_of_a_task_survives_the_wire(spec: TaskSpec) -> None:
    message = task_pb2.TaskSpec.FromString(task_spec_message(spec).SerializeToString())

    assert task_spec(message, "task") == spec


@pytest.mark.parametrize("name", sorted(SIMPLE))
def test_a_field_that_is_taken_as_it_is_reads_as_among_others(name: str) -> None:
    message = task_spec_message(TaskSpec())
    given = {"arguments": ["a", "b"], "command_line": "c", "name": "d"}
    pairs_of: dict[str, Any] = {"environment": {"e": "f"}}
    values = {**given, **pairs_of, "custom_properties": {"g": "h"}}
    simple = task_pb2.TaskSpec(**{name: values.get(name, f"text of {name}")})
    whole = task_pb2.TaskSpec()
    whole.CopyFrom(simple)
    whole.min_cores = 1  # the default, so that it says the same

    assert {one.name for one, _ in whole.ListFields()} == {name, "min_cores"}
    assert task_spec(simple, "task") == task_spec(whole, "task")
    assert task_spec(simple, "task") != task_spec(message, "task")


def test_jobs_that_differ_in_their_tasks_share_one_specification() -> None:
    known: dict[bytes, JobSpec] = {}
    tasks = [task_pb2.TaskSpec(command_line=str(number)) for number in range(3)]
    bare = [new_job(job_pb2.JobSpec(tasks=[one]), "spec", known) for one in tasks]
    named = [
        new_job(job_pb2.JobSpec(name=name, tasks=[tasks[0]]), "spec", known)
        for name in ("a", "b", "a")
    ]

    assert bare[0].spec is bare[1].spec is bare[2].spec
    assert bare[0].tasks != bare[1].tasks
    assert named[0].spec is named[2].spec
    assert [one.spec.name for one in named] == ["a", "b", "a"]
    assert bare[0].spec == new_job(job_pb2.JobSpec(), "spec").spec


def test_the_round_trips_cover_every_field_that_a_client_can_give() -> None:
    full = JobSpec(
        name="n",
        min_cores=1,
        max_cores=2,
        runtime=1.0,
        environment={"A": "b"},
    )
    inner = {"job_type", "pool", "templated"}
    ours = {one.name for one in fields(full)} - inner
    theirs = set(job_pb2.JobSpec.DESCRIPTOR.fields_by_name) - {"tasks"}
    renamed = {"retry_limit": "task_execution_failure_retry_limit"}

    assert {renamed.get(name, name) for name in ours} >= theirs
    assert full.job_type is JobType.BATCH


def test_an_absent_specification_gets_the_documented_defaults() -> None:
    assert job_spec(job_pb2.JobSpec(), "spec") == JobSpec()
    assert task_spec(task_pb2.TaskSpec(), "task") == TaskSpec()


@pytest.mark.parametrize(
    "message",
    [task_pb2.TaskSpec(end_value=3), task_pb2.TaskSpec(lines=["a"])],
    ids=["range", "lines"],
)
def test_a_task_with_a_range_or_lines_is_a_sweep(message: task_pb2.TaskSpec) -> None:
    assert task_spec(message, "task").type is TaskType.PARAMETRIC_SWEEP


@pytest.mark.parametrize(
    ("enum", "ours"),
    [
        (job_pb2.Job.State, JobState),
        (task_pb2.Task.State, TaskState),
        (task_pb2.TaskType, TaskType),
        (task_pb2.EndReason, EndReason),
        (job_pb2.NodeLoss, NodeLoss),
    ],
)
def test_numbers_of_states_are_those_of_the_protos(
    enum: type, ours: type[JobState]
) -> None:
    wire = dict(enum.items())  # type: ignore[attr-defined]
    numbers = {number for name, number in wire.items() if "UNSPECIFIED" not in name}

    assert {int(one) for one in ours} - {0} == numbers
    for one in ours:
        if int(one):
            (name,) = (name for name, number in wire.items() if number == int(one))
            assert name.endswith(one.name)


@given(st.none() | seconds)
def test_a_time_survives_the_wire_to_the_microsecond(moment: float | None) -> None:
    message = timestamp(moment)

    if message is None:
        assert moment is None
    else:
        assert seconds_since_epoch(message, "t") == moment


@given(seconds)
def test_a_duration_survives_the_wire(length: float) -> None:
    assert seconds_of(duration(length), "d") == length


@pytest.mark.parametrize(("whole", "nanos"), [(0, -1), (0, 10**9), (1 << 60, 0)])
def test_a_time_that_is_none_is_refused(whole: int, nanos: int) -> None:
    message = duration(0)
    message.seconds, message.nanos = whole, nanos
    moment = timestamp(0.0)
    assert moment is not None
    moment.seconds, moment.nanos = whole, nanos

    with pytest.raises(HpcError) as caught:
        seconds_of(message, "f")
    assert caught.value.facts["field"] == "f"
    with pytest.raises(HpcError) as caught:
        seconds_since_epoch(moment, "f")
    assert caught.value.facts["field"] == "f"


@given(st.integers(0, (1 << 63) - 1))
def test_a_cursor_leads_back_to_its_position(seq: int) -> None:
    assert decode_cursor(encode_cursor(seq)) == seq
    plain = base64.b32encode(f"e-{seq}".encode()).decode()
    assert encode_cursor(seq) == plain.lower().rstrip("=")


@given(st.text(max_size=70))
def test_any_text_is_a_cursor_of_ours_or_refused(cursor: str) -> None:
    try:
        seq = decode_cursor(cursor)
    except HpcError as error:
        reason = error.reason
    else:
        reason = ""

    if reason:
        assert reason == "CURSOR_UNKNOWN"
    else:
        assert cursor == "0" or encode_cursor(seq) == cursor


@pytest.mark.parametrize("state", JobState)
def test_a_job_in_any_state_can_be_shown(state: JobState) -> None:
    view = job_view(
        state=state,
        counts={int(one): 2 for one in TaskState},
        allocated_nodes=("a", "b"),
        spec=JobSpec(name="inner"),
        start_time=0.0,
    )

    message = job_message(view)

    assert message.state == int(state)
    assert message.v1_status
    assert message.task_counts.total == 2 * len(TaskState)
    assert message.spec.name == "inner"
    assert list(message.allocated_nodes) == ["a", "b"]
    assert message.HasField("start_time")
    assert not message.HasField("end_time")


@pytest.mark.parametrize("state", TaskState)
def test_a_task_in_any_state_can_be_shown(state: TaskState) -> None:
    message = task_message(
        task_view(state=state, exit_code=0, counts={6: 4}, max_rss_kib=2)
    )

    assert message.state == int(state)
    assert message.HasField("exit_code")
    assert message.element_counts.total == 4
    assert message.max_memory_bytes == 2048


def test_a_task_without_an_exit_code_has_none() -> None:
    assert not task_message(task_view()).HasField("exit_code")


def test_a_task_that_its_user_canceled_reads_cancelled_in_v1() -> None:
    view = task_view(state=TaskState.FAILED, v1_canceled=True)

    assert task_message(view).v1_status == "Cancelled"


def test_a_node_the_cluster_and_a_token_can_be_shown() -> None:
    node = node_message(node_view(groups=("g",), job_ids=(1, 2)))
    assert node.state == node_pb2.Node.STATE_ONLINE
    assert list(node.job_ids) == [1, 2]
    view = ClusterView(
        name="c",
        version="1",
        start_time=1.0,
        term=2,
        nodes={"total": 3, "ready": 2},
        job_counts={int(JobState.RUNNING): 4},
        last_seq=9,
    )
    told = cluster_message(view, Caller(user="ann"))
    assert (told.nodes_total, told.nodes_ready, told.nodes_offline) == (3, 2, 0)
    assert dict(told.job_counts) == {"running": 4}
    assert told.role == cluster_service_pb2.ROLE_USER
    assert decode_cursor(told.cursor) == 9
    token = token_message(token_row("ann", "node"))
    assert (token.user, token.role) == ("ann", cluster_service_pb2.ROLE_NODE)
    assert not token.HasField("expire_time")


def test_what_job_files_give_explicitly_are_properties_of_templates() -> None:
    fields = {*names.JOB.values(), "priority"} - names.NOT_OF_TEMPLATES

    assert {find(name) for name in fields} <= KINDS.keys()


def test_what_is_said_of_a_node_can_be_shown() -> None:
    inventory = Inventory(os="Linux", gpus=1, gpu_info=("A100",), cpu_mhz=3000)
    node = node_message(
        node_view(
            state=2,
            labels={"rack": "7"},
            job_types=3,
            affinity=3,
            forced_offline=True,
            inventory=inventory,
        )
    )

    assert node.move_to_offline
    assert node.forced_offline
    assert dict(node.labels) == {"rack": "7"}
    assert list(node.job_types) == [1, 2]
    assert (node.os, node.gpus, node.cpu_mhz) == ("Linux", 1, 3000)
    assert node.affinity == node_pb2.Node.AFFINITY_NO_JOBS
    assert node.availability == node_pb2.Node.AVAILABILITY_ALWAYS_ON
