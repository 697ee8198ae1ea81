"""What agent and spawner do for a job that is alone, counted.

Most of what such a job takes are wake-ups of processes, one after the other: so each
frame, turn and write that it does without is seen by who waits for it. The budgets are
what was counted when they were set, with a small margin; see test_work_of_the_head.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hpcsched.agent.v1 import order_pb2 as pb
from tests.support.agents import agent_config, running_agent
from tests.support.counted_spawner import counted_spawner
from tests.support.fake_head import FakeHead
from tests.support.fake_supervisor import FakeSupervisor
from tests.support.polling import wait_for_async
from tests.support.work_count import Calls

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.support.counted_spawner import CountedSpawner, Work
    from tests.support.fake_head import FakeStream

JOBS = 20
MARGIN = 1.05
VARIABLES = {f"CCP_VARIABLE_{number}": f"value {number}" for number in range(30)}


def tells_of(job: int) -> Callable[[list[Any]], bool]:
    return lambda message: message[2] == job


async def ends(stream: FakeStream, count: int) -> None:
    await wait_for_async(lambda: stream.finished, until=lambda f: len(f) == count)


def run_jobs(spawner: CountedSpawner, *argv: str, cancel: bool = False) -> Work:
    """Run jobs one after the other, each ordered as the agent does; count."""
    agent = spawner.agent
    reported = 0
    for job in range(1, JOBS + 1):
        attempt = [0, 1, 0, 1, None]
        definition = {
            "job": job, "task": 1, "def": 1, "argv": [[word] for word in argv],
            "env": VARIABLES, "cwd": "/", "pin": True,
        }  # fmt: skip
        agent.send(
            *([["end_job", job - 1], ["ack", reported]] if job > 1 else []),
            ["define", definition],
            ["grant", job, [0]],
            ["start", job, 1, 1, [attempt]],
            ["ping", job],
        )
        if cancel:
            # Nothing else tells that it runs: the word of its start waits for its end.
            agent.send(["usage"])
            agent.expect("started", where=tells_of(job))
            agent.send(["stop", job, 1, [[0, 1]], 60.0, "CANCELED"], ["ping", -job])
        reported = agent.expect("ended", where=tells_of(job))[1]
        agent.messages.clear()
    return spawner.stop()


def each(work: Work) -> dict[str, float]:
    """Return what one job was; what ends while it is waited for takes a turn less."""
    done = {"calls": work.calls, "turns": work.turns, "writes": work.writes}
    return {name: count / JOBS for name, count in done.items()}


def within(counted: dict[str, float], budget: dict[str, float]) -> None:
    over = {n: c for n, c in counted.items() if c > budget[n] * MARGIN}
    assert not over, f"more than {budget}"


def test_a_job_alone_is_one_frame_two_turns_and_four_writes_of_the_spawner(
    tmp_path: Path,
) -> None:
    with counted_spawner(tmp_path / "node") as spawner:
        work = run_jobs(spawner, "/bin/true")
    assert work.frames == JOBS, "the start is told with the end"
    within(
        each(work),
        {"calls": 265, "turns": 2.2, "writes": 4},
    )


def test_a_cancel_of_a_running_job_is_one_more_frame_and_three_more_writes(
    tmp_path: Path,
) -> None:
    with counted_spawner(tmp_path / "node") as spawner:
        work = run_jobs(spawner, "/bin/sleep", "600", cancel=True)
    assert work.frames == 2 * JOBS, "that it is stopped is told with the end"
    within(
        each(work),
        {"calls": 400, "turns": 4.2, "writes": 6},
    )


async def test_a_job_alone_is_one_frame_of_the_agent(
    tmp_path: Path, between: tuple[FakeHead, FakeSupervisor]
) -> None:
    head, supervisor = between
    supervisor.runs_starts = True
    head.acks_reports = False
    calls = Calls("/node_agent/")
    async with running_agent(agent_config(tmp_path, head.port)):
        stream = await head.stream()
        await wait_for_async(lambda: stream.frames, what="the first heartbeat")
        with calls.counted():
            for job in range(1, JOBS + 1):
                stream.seq += 1
                stream.send(seq=stream.seq, ack=job - 1, orders=orders_for(job))
                await ends(stream, job)
    frames = [frame for frame in stream.frames if frame.reports]
    assert len(frames) == JOBS
    assert frames[-1].ack == JOBS, "the orders are acknowledged with the end"
    within({"calls": calls.count / JOBS}, {"calls": 205})


@pytest.fixture
async def between(tmp_path: Path) -> AsyncIterator[tuple[FakeHead, FakeSupervisor]]:
    """What an agent is between."""
    head, supervisor = FakeHead(), FakeSupervisor(tmp_path / "supervisor.sock")
    await head.start()
    await supervisor.start()
    yield head, supervisor
    await head.close()
    await supervisor.close()


def orders_for(job: int) -> list[pb.Order]:
    """What a head sends for a job that is alone, after the one before it."""
    variables = {name: value.encode() for name, value in VARIABLES.items()}
    named: Any = {"job_id": job, "task_id": 1, "definition": 1}
    define = pb.DefineTask(**named, arguments=[b"/bin/true"], environment=variables)
    start = pb.StartTasks(**named, instances=[0], attempts=[1], cores=1)
    return [
        pb.Order(end_job=pb.EndJob(job_id=job - 1)),
        pb.Order(define=define),
        pb.Order(grant=pb.SetGrant(job_id=job, cores=[0])),
        pb.Order(start=start),
    ]
