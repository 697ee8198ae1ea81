"""Orders reach the supervisor once, and are acknowledged when it has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcsched.agent.v1 import order_pb2 as pb
from node_agent.config import site_variables
from tests.support.agents import agent_config, running_agent
from tests.support.polling import wait_for_async

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.fake_head import FakeHead
    from tests.support.fake_supervisor import FakeSupervisor


def start(instance: int = 1, **fields: object) -> pb.Order:
    columns = {"instances": [instance], "attempts": [1], "cores": 1, **fields}
    order = pb.StartTasks(job_id=7, task_id=2, definition=1, **columns)  # type: ignore[arg-type]
    return pb.Order(start=order)


def define(**fields: object) -> pb.Order:
    order = pb.DefineTask(job_id=7, task_id=2, definition=1, **fields)  # type: ignore[arg-type]
    return pb.Order(define=order)


async def test_orders_are_handed_down_in_order(
    tmp_path: Path, head: FakeHead, supervisor: FakeSupervisor
) -> None:
    async with running_agent(agent_config(tmp_path, head.port)):
        stream = await head.stream()
        stop = pb.StopTasks(
            job_id=7, task_id=2, instances=[1], attempts=[1], grace_ms=1500,
            reason="CancelByUser",
        )  # fmt: skip
        stream.order(
            define(
                arguments=[b"sim", b"-n", b"***", b"caf\xe9"],
                environment={"A": b"\xff", "CCP_STDOUT": b"out.*"},
                stdout_path=b"out.*", work_directory=b"/w", runtime_ms=2500,
                grace_ms=15000, signal=10, pin=True, output_limit=4096, substitute=True,
                user="bob", owner="ann",
            ),
            pb.Order(grant=pb.SetGrant(job_id=7, cores=[0, 3])),
            start(
                instances=[], first_instance=2, count=2, start_value=10,
                increment_value=5, attempts=[4], retries=[0, 2],
            ),
            pb.Order(stop=stop),
            pb.Order(recall=pb.RecallTasks(
                job_id=7, task_id=2, instances=[2, 3], attempts=[4],
            )),
            pb.Order(end_job=pb.EndJob(job_id=7)),
            pb.Order(purge=pb.PurgeJob(job_id=7)),
        )  # fmt: skip
        await supervisor.hears("purge")

    orders = [m for m in supervisor.heard if m[0] not in {"hello", "settings"}]
    site = site_variables(agent_config(tmp_path, head.port))
    assert orders == [
        ["define", {
            "job": 7, "task": 2, "def": 1,
            "env": {
                **site,
                "A": "\udcff",
                "CCP_STDOUT": "out.*",
                "CCP_NODES": "1 cn007 1",
                "CCP_NODES_CORES": "1 cn007 1",
            },
            "argv": [["sim"], ["-n"], [3], ["caf\udce9"]], "cwd": "/w", "stdin": None,
            "stdout": ["out.", 1], "stderr": None, "limit_s": 2.5, "grace_s": 15.0,
            "signal": 10, "pin": True, "output_limit": 4096, "cgroup": True,
            "user": "bob", "owner": "ann",
        }],
        ["grant", 7, [0, 3]],
        ["start", 7, 2, 1, [
            [2, 4, 15, 1, {"CCP_STDOUT": "out.15"}],
            [3, 4, 20, 1, {"CCP_RETRY_COUNT": "2", "CCP_STDOUT": "out.20"}],
        ]],
        ["stop", 7, 2, [[1, 1]], 1.5, "CancelByUser"],
        ["recall", 7, 2, [[2, 4], [3, 4]]],
        ["end_job", 7],
        ["purge", 7],
    ]  # fmt: skip


async def test_a_basic_task_keeps_its_asterisks(
    tmp_path: Path, head: FakeHead, supervisor: FakeSupervisor
) -> None:
    async with running_agent(agent_config(tmp_path, head.port)):
        stream = await head.stream()
        stream.order(define(command_line=b"ls * ^*"))
        ((_, body),) = await supervisor.hears("define")

    assert body["shell"] == ["ls * ^*"]
    assert "argv" not in body
    assert body["limit_s"] is None


async def test_a_line_of_a_sweep_is_also_a_variable(
    tmp_path: Path, head: FakeHead, supervisor: FakeSupervisor
) -> None:
    async with running_agent(agent_config(tmp_path, head.port)):
        stream = await head.stream()
        stream.order(start(lines=[b"caf\xe9 au lait"]))
        ((*_, entries),) = await supervisor.hears("start")

    line = "caf\udce9 au lait"
    assert entries == [[1, 1, line, 1, {"HPC_LINE": line}]]


async def test_a_task_that_spans_nodes_is_told_of_all_of_them(
    tmp_path: Path, head: FakeHead, supervisor: FakeSupervisor
) -> None:
    nodes = [pb.NodeCores(node="cn007", cores=4), pb.NodeCores(node="cn009", cores=2)]
    async with running_agent(agent_config(tmp_path, head.port)):
        stream = await head.stream()
        stream.order(define(arguments=[b"mpirun"]), start(cores=4, allocation=nodes))
        ((*_, entries),) = await supervisor.hears("start")

    told = {
        "CCP_NUMCPUS": "6",
        "CCP_NODES": "2 cn007 4 cn009 2",
        "CCP_NODES_CORES": "2 cn007 4 cn009 2",
    }
    assert entries == [[1, 1, 0, 4, told]]


async def test_a_frame_that_comes_twice_is_carried_out_once(
    tmp_path: Path, head: FakeHead, supervisor: FakeSupervisor
) -> None:
    async with running_agent(agent_config(tmp_path, head.port)):
        stream = await head.stream()
        stream.order(start(1))
        stream.order(start(1), seq=1)
        stream.order(start(2))
        await supervisor.hears("start", 2)

    instances = [entries[0][0] for *_, entries in supervisor.of_kind("start")]
    assert instances == [1, 2]


async def test_a_gap_between_frames_ends_the_stream(
    tmp_path: Path, head: FakeHead, supervisor: FakeSupervisor
) -> None:
    async with running_agent(agent_config(tmp_path, head.port)):
        stream = await head.stream()
        stream.order(start(1))
        stream.order(start(3), seq=3)
        second = await head.stream(2)
        second.order(start(4))
        await supervisor.hears("start", 2)

    instances = [entries[0][0] for *_, entries in supervisor.of_kind("start")]
    assert instances == [1, 4]


async def test_an_acknowledgement_waits_until_the_supervisor_has_the_orders(
    tmp_path: Path, head: FakeHead, supervisor: FakeSupervisor
) -> None:
    async with running_agent(agent_config(tmp_path, head.port)):
        stream = await head.stream()
        supervisor.answers_pings = False
        stream.order(start(1))
        await supervisor.hears("start")
        supervisor.ran((7, 2, 9, 1))
        await wait_for_async(lambda: stream.finished)
        assert stream.acks[-1] == 0
        supervisor.answers_pings = True
        stream.order(start(2))
        await wait_for_async(lambda: stream.acks, until=lambda acks: acks[-1:] == [2])


async def test_an_order_that_makes_no_sense_is_left_out_and_the_others_are_not(
    tmp_path: Path, head: FakeHead, supervisor: FakeSupervisor
) -> None:
    async with running_agent(agent_config(tmp_path, head.port)):
        stream = await head.stream()
        stream.order(
            pb.Order(),
            start(instances=[1, 2], values=[1]),
            start(instances=[1, 2, 3], attempts=[1, 2]),
            start(instances=[4, 4], attempts=[1, 2]),
            start(instances=[], count=2_000_000),
            start(cores=-1),
            start(5),
        )
        await supervisor.hears("start")
        await wait_for_async(lambda: stream.acks, until=lambda acks: acks[-1:] == [1])

    assert [m[4][0][0] for m in supervisor.of_kind("start")] == [5]
    assert len(head.streams) == 1


async def test_a_start_that_the_supervisor_refuses_is_reported_as_not_started(
    tmp_path: Path, head: FakeHead, supervisor: FakeSupervisor
) -> None:
    async with running_agent(agent_config(tmp_path, head.port)):
        stream = await head.stream()
        stream.order(start(1))
        await supervisor.hears("start")
        supervisor.say(["refused", 7, 2, 1, 1, "definition 1 not known"])
        await wait_for_async(lambda: stream.finished)

    ended = stream.frames[-1].reports[0].ended
    assert (list(ended.reasons), list(ended.exit_codes)) == ([8], [-1])
    assert ended.details[0].message == "definition 1 not known"


async def test_a_refused_repetition_of_a_start_changes_nothing(
    tmp_path: Path, head: FakeHead, supervisor: FakeSupervisor
) -> None:
    async with running_agent(agent_config(tmp_path, head.port)):
        stream = await head.stream()
        supervisor.started((7, 2, 1, 1))
        supervisor.say(["refused", 7, 2, 1, 1, "known"])
        supervisor.ended((7, 2, 1, 1))
        supervisor.say(["refused", 7, 2, 1, 1, "acknowledged"])
        supervisor.ran((7, 2, 2, 1))
        await wait_for_async(lambda: stream.finished, until=lambda f: len(f) == 2)

    assert stream.finished == [(7, 2, 1, 1), (7, 2, 2, 1)]


async def test_a_restarted_supervisor_is_told_definitions_and_grants_again(
    tmp_path: Path, head: FakeHead, supervisor: FakeSupervisor
) -> None:
    async with running_agent(agent_config(tmp_path, head.port)):
        stream = await head.stream()
        other = pb.DefineTask(job_id=8, task_id=1, definition=1, command_line=b"true")
        stream.order(
            define(command_line=b"sleep 1"),
            pb.Order(define=other),
            pb.Order(grant=pb.SetGrant(job_id=7, cores=[1])),
            pb.Order(end_job=pb.EndJob(job_id=8)),
        )
        await supervisor.hears("end_job")
        await supervisor.close()
        supervisor.heard.clear()
        supervisor.queued = [[7, 2, 1, 1]]
        await supervisor.start()
        second = await head.stream(2)
        second.order(define(command_line=b"sleep 1"), start(2))
        await supervisor.hears("start")

    known = [m for m in supervisor.heard if m[0] != "hello"]
    assert [m[0] for m in known] == ["define", "grant", "start"]
    assert known[0][1]["job"] == 7
    assert [(a.job_id, a.instance_id, a.running) for a in second.live] == [
        (7, 1, False)
    ]


async def test_the_output_quota_of_the_head_is_passed_on(
    tmp_path: Path, head: FakeHead, supervisor: FakeSupervisor
) -> None:
    assert head.welcome is not None
    head.welcome["output_quota_bytes"] = 1 << 20
    async with running_agent(agent_config(tmp_path, head.port)):
        found = await supervisor.hears("settings")

    assert found[0] == ["settings", {"output_quota": 1 << 20}]
