"""Orders and reports on the stream of an agent."""

from __future__ import annotations

from dataclasses import fields

from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from hpcsched.agent.v1 import agent_service_pb2, order_pb2, report_pb2
from hpcsched.core import orders
from hpcsched.runtime.frames import HeadFrame, Welcome
from hpcsched.services.convert_order import head_message
from hpcsched.services.convert_report import (
    LONGEST_FACT,
    MOST_FACTS,
    agent_value,
    hello_value,
)

count = st.integers(-(1 << 31), (1 << 31) - 1)


def test_every_order_can_be_sent() -> None:
    every: tuple[orders.Order, ...] = (
        orders.DefineTask(
            job_id=1,
            task_id=1,
            definition=2,
            arguments=("a", "\udcff"),
            environment={"A": "\udcfe"},
            user="bob",
            owner="ann",
        ),
        orders.SetGrant(job_id=1, cores=(0, 1)),
        orders.StartTasks(
            job_id=1, task_id=1, definition=2, instances=[3], attempts=[1], values=[9]
        ),
        orders.StartTasks(
            job_id=1,
            task_id=1,
            definition=2,
            instances=[3],
            attempts=[1],
            values=[3],
            lines=["\udcff"],
            retries=[2],
        ),
        orders.StopTasks(
            job_id=1, task_id=1, instances=[3], attempts=[1], grace_ms=15_000
        ),
        orders.RecallTasks(job_id=1, task_id=1, instances=[3, 4], attempts=[1, 2]),
        orders.EndJob(job_id=1),
        orders.EndJobs(job_ids=(1, 2)),
        orders.StartAlike(
            job_ids=(1, 2),
            grant=orders.SetGrant(job_id=1, cores=(0,)),
            define=orders.DefineTask(job_id=1, task_id=1, definition=1),
            start=orders.StartTasks(
                job_id=1,
                task_id=1,
                definition=1,
                instances=[0],
                attempts=[1],
                values=[0],
            ),
        ),
        orders.PurgeJob(job_id=1),
        orders.ReadOutput(read_id=1, job_id=1, task_id=1, instance_id=0, attempt=1),
        orders.StopReading(read_id=1),
    )
    welcome = Welcome(
        session=1,
        term=2,
        heartbeat_ms=3,
        lease_ms=4,
        protocol=1,
        cluster_name="c",
        node_id=5,
        output_quota_bytes=1 << 30,
    )

    message = head_message(HeadFrame(seq=1, orders=every, welcome=welcome))

    kinds = {one.WhichOneof("order") for one in message.orders}
    assert kinds == {one.name for one in order_pb2.Order.DESCRIPTOR.fields}
    assert message.orders[0].define.arguments[1] == b"\xff"
    assert message.orders[0].define.environment["A"] == b"\xfe"
    assert message.orders[0].define.user == "bob"
    assert message.orders[0].define.owner == "ann"
    assert message.orders[3].start.lines[0] == b"\xff"
    assert not message.orders[3].start.values
    assert not message.orders[2].start.retries
    assert message.welcome.output_quota_bytes == 1 << 30


ENDED = st.builds(
    report_pb2.TasksEnded,
    job_id=count,
    task_id=count,
    instances=st.lists(count, max_size=4),
    attempts=st.lists(count, max_size=4),
    reasons=st.lists(count, max_size=4),
    exit_codes=st.lists(count, max_size=4),
    start_times=st.lists(st.floats(), max_size=4),
    end_times=st.lists(st.floats(), max_size=4),
    user_ms=st.lists(count, max_size=4),
    cores=st.lists(count, max_size=4),
    core_counts=st.lists(count, max_size=4),
    core_sets=st.lists(
        st.builds(report_pb2.CoreSet, index=count, cores=st.lists(count, max_size=4)),
        max_size=4,
    ),
    details=st.lists(
        st.builds(report_pb2.EndDetail, index=count, output=st.binary(max_size=9)),
        max_size=4,
    ),
)
STARTED = st.builds(
    report_pb2.TasksStarted,
    instances=st.lists(count, max_size=4),
    attempts=st.lists(count, max_size=4),
    start_times=st.lists(st.floats(), max_size=4),
    cores=st.lists(count, max_size=4),
)


@given(STARTED, ENDED)
def test_columns_of_any_report_have_one_length(
    started: report_pb2.TasksStarted, ended: report_pb2.TasksEnded
) -> None:
    reports = [report_pb2.Report(started=started), report_pb2.Report(ended=ended)]

    frame = agent_value(agent_service_pb2.ConnectRequest(reports=reports))

    for value in frame.reports:
        columns = [
            getattr(value, one.name)
            for one in fields(value)
            if isinstance(getattr(value, one.name), list)
        ]
        assert len({len(column) for column in columns}) == 1
        size = len(columns[0])
        assert all(0 <= at < size for at in getattr(value, "details", ()))
        assert all(0 <= at < size for at in getattr(value, "sets", ()))


def test_use_is_taken_with_no_more_process_ids_than_are_kept() -> None:
    one = agent_service_pb2.ConnectRequest()
    one.usages.add(
        job_id=1, task_id=2, instance_id=3, attempt=4, user_ms=5, kernel_ms=6
    )
    one.usages[0].MergeFrom(
        report_pb2.TaskUsage(resident_kib=7, processes=100, pids=range(100))
    )

    (used,) = agent_value(one).usages

    assert (used.job_id, used.task_id, used.instance_id, used.attempt) == (1, 2, 3, 4)
    assert (used.user_ms, used.kernel_ms, used.resident_kib) == (5, 6, 7)
    assert used.processes == 100
    assert used.pids == tuple(range(64))


@given(st.binary(max_size=200))
def test_whatever_can_be_parsed_can_be_read(data: bytes) -> None:
    try:
        message = agent_service_pb2.ConnectRequest.FromString(data)
    except DecodeError:
        return

    agent_value(message)


def test_what_a_node_says_about_itself_is_cut_to_what_is_bearable() -> None:
    resources = report_pb2.Resources(
        cores=4,
        os="x" * 1000,
        cpu_mhz=-5,
        gpus=2,
        gpu_info=["A100"] * 100,
        addresses=["eth0 " + "1" * 500],
        dns_suffix="example.org",
    )

    found = hello_value([report_pb2.Hello(node="n1", resources=resources)]).resources

    assert found.cores == 4
    assert found.inventory.os == "x" * LONGEST_FACT
    assert (found.inventory.cpu_mhz, found.inventory.gpus) == (0, 2)
    assert found.inventory.gpu_info == ("A100",) * MOST_FACTS
    assert [len(text) for text in found.inventory.addresses] == [LONGEST_FACT]
    assert found.inventory.dns_suffix == "example.org"
