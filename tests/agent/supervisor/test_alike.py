"""Jobs that are told of together are what they would be, told of one by one."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest

from node_agent.supervisor import records, starting
from node_agent.supervisor.alike import Alike
from node_agent.supervisor.attempt import Attempt
from node_agent.supervisor.definition import Definition, FieldError, User
from node_agent.supervisor.environment import (
    environment_of,
    shared_and_own,
    words_of,
)
from node_agent.supervisor.records import Fold
from node_agent.supervisor.table import Table
from tests.support.polling import wait_for
from tests.support.task_supervisor import (
    JOB,
    TASK,
    AgentEnd,
    TaskSupervisor,
    containments,
    kill_spawner,
    task_supervisor,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NAMES = ["CCP_JOBID", "CCP_TASKCONTEXT"]
FIRST = {
    "job": 11,
    "task": TASK,
    "def": 3,
    "argv": [["/bin/echo"], ["a", 2]],
    "env": {"SITE": "x", "CCP_JOBID": "11", "CCP_TASKCONTEXT": "11.1", "Z": "é\udce9"},
    "cwd": "/",
    "grace_s": 5.0,
}
JOBS = [[11, "11", "11.1"], [12, "12", "12.1"], [17, "17", "\udcff"]]
STARTS = [[0, 2, 7, 1, None], [4, 1, 8, 0, {"HPC_LINE": "l"}]]
ITEMS: list[Any] = [FIRST, NAMES, JOBS, [0, 3], STARTS]


@pytest.fixture(params=containments())
def supervisor(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[TaskSupervisor]:
    with task_supervisor(tmp_path / "node", "--cgroup", request.param) as running:
        yield running.start()


def one_by_one(alike: Alike) -> Table:
    """Return the table after the messages that say the same of one job each."""
    fold = Fold(Table("boot", "instance"), User())
    ways: dict[str, Callable[..., bytes]] = {
        "grant": records.granted,
        "define": records.defined,
        "start": records.accepted,
    }
    for name, *items in alike.one_by_one():
        fold.apply(ways[name](*items))
    return fold.finish()


def content(table: Table) -> list[Any]:
    """Return all that a table holds, as the records that lead to it."""
    return [(record[:1], json.loads(record[1:])) for record in records.snapshot(table)]


def test_the_table_is_the_same_as_after_one_message_for_each_job() -> None:
    alike = Alike(copy.deepcopy(ITEMS), User())
    table = Table("boot", "instance")
    alike.take_in(table)

    assert content(table) == content(one_by_one(alike))
    assert [item.definition.job for item in table.queued.values()] == [
        *(11, 11, 12, 12, 17, 17)
    ]
    assert table.jobs[12].grant == 0b1001


def test_a_restart_finds_the_same_behind_one_record() -> None:
    alike = Alike(copy.deepcopy(ITEMS), User())
    fold = Fold(Table("boot", "instance"), User())
    fold.apply(records.alike(alike.items))

    assert content(fold.finish()) == content(one_by_one(alike))


@pytest.mark.parametrize("job", [11, 12, 17])
@pytest.mark.parametrize("instance", [0, 4])
@pytest.mark.parametrize("cores", [0, 0b101])
def test_a_process_gets_the_same_environment_either_way(
    job: int, instance: int, cores: int
) -> None:
    alike = Alike(copy.deepcopy(ITEMS), User())
    table = Table("boot", "instance")
    alike.take_in(table)
    for known in table.jobs.values():  # what they share is made for any of them
        words(known.definitions[TASK, 3], instance, cores)
    ours = table.jobs[job].definitions[TASK, 3]
    alone = Definition(one_by_one(alike).jobs[job].definitions[TASK, 3].raw, User())

    expected = words(alone, instance, cores)
    assert words(ours, instance, cores) == expected
    queued = table.queued[job, TASK, instance]
    attempt = attempt_of(ours, instance, cores)
    whole = environment_of(attempt, queued)
    if not queued.extra:
        assert sorted(words_of(whole)) == expected
    assert ours.arguments(7) == alone.arguments(7)


def attempt_of(definition: Definition, instance: int, cores: int) -> Attempt:
    return Attempt(
        definition, instance, 1, slot=0, cores=cores, contained=False, tried_at=0.0
    )


def words(definition: Definition, instance: int, cores: int) -> list[bytes]:
    shared, own = shared_and_own(attempt_of(definition, instance, cores))
    return sorted([*(word for word in shared if word is not None), *own])


WRONG: list[tuple[int, Any, str]] = [
    (0, "no object", "alike"),
    (0, {**FIRST, "argv": 3}, "argv"),
    (1, "CCP_JOBID", "names"),
    (1, ["CCP_JOBID", "OTHER"], "names: 'OTHER'"),
    (1, ["CCP_JOBID", "HOME"], "names: 'HOME'"),
    (1, ["CCP_JOBID", 3], "names: 3"),
    (2, 7, "jobs"),
    (2, [[11, "11"]], "job is"),
    (2, [["11", "11", "11.1"]], "job: must be an integer"),
    (2, [[11, "11", 11]], "11: must be a string"),
    (2, [[11, "1\0", "11.1"]], "without NUL"),
    (2, [[11, "11", "11.1"], [11, "11", "11.1"]], "named twice"),
    (2, [[n, "1", "1"] for n in range(4097)], "4096"),
    (3, [-1], "cores"),
    (4, [[0, 1, 0, 1]], "an attempt is"),
    (4, [[0, 1, 0, 1, None], [0, 2, 0, 1, None]], "named twice"),
]


@pytest.mark.parametrize(("position", "value", "problem"), WRONG)
def test_what_makes_no_sense_is_refused_by_the_name_of_its_field(
    position: int, value: object, problem: str
) -> None:
    items = copy.deepcopy(ITEMS)
    items[position] = value
    if position == 0 and isinstance(value, dict):
        items[0] = dict(value)
    with pytest.raises(FieldError) as raised:
        Alike(items, User())
    assert problem in str(raised.value)


# -- with processes


def alike(place: Path, *jobs: int, ncores: int = 1, core: int = 0) -> list[Any]:
    """Return the message for jobs that write down who they are."""
    line = f'echo "$CCP_JOBID $CCP_TASKCONTEXT $HPC_TASK $SITE" >>{place}/ran'
    names = {"CCP_JOBID": "0", "CCP_TASKCONTEXT": "0.1"}
    body = {
        "job": jobs[0], "task": TASK, "def": 1, "shell": [line],
        "env": {"SITE": "s", **names}, "grace_s": 5.0,
    }  # fmt: skip
    own = [[job, str(job), f"{job}.{TASK}"] for job in jobs]
    return ["alike", body, [*names], own, [core], [[0, 1, 0, ncores, None]]]


def ran(place: Path) -> list[str]:
    path = place / "ran"
    return path.read_text().splitlines() if path.exists() else []


def expected(*jobs: int) -> list[str]:
    return [f"{job} {job}.{TASK} {job}.{TASK}.0 s" for job in jobs]


def hold(agent: AgentEnd, place: Path) -> None:
    """Let a job take core 0 until the file is there."""
    agent.grant(0)
    agent.shell(f"until [ -e {place}/go ]; do sleep 0.01; done")
    agent.start(0, ncores=1)
    agent.started(0)


def test_each_runs_once_as_itself_and_in_order(
    supervisor: TaskSupervisor, tmp_path: Path
) -> None:
    agent = supervisor.agent()
    agent.send(alike(tmp_path, 21, 23, 22))
    for job in (21, 23, 22):
        assert agent.ended(0, job=job)["exit_code"] == 0

    assert ran(tmp_path) == expected(21, 23, 22)


def test_those_that_wait_survive_a_kill_of_the_spawner_and_run_once(
    supervisor: TaskSupervisor, tmp_path: Path
) -> None:
    agent = supervisor.agent()
    hold(agent, tmp_path)
    agent.send(alike(tmp_path, 21, 23, 22))
    agent.sync()
    agent.close()
    kill_spawner(supervisor)
    again = supervisor.agent()
    hello = again.expect("hello")[1]
    assert hello["alike"] is True
    assert [entry[0] for entry in hello["queued"]] == [21, 23, 22]
    again.send(alike(tmp_path, 21, 23, 22))  # the agent does not know what arrived
    (tmp_path / "go").touch()
    for job in (21, 23, 22):
        again.ended(0, job=job)

    assert ran(tmp_path) == expected(21, 23, 22)


def test_one_that_has_ended_here_is_not_run_again_and_the_others_are(
    supervisor: TaskSupervisor, tmp_path: Path
) -> None:
    agent = supervisor.agent()
    agent.send(alike(tmp_path, 21))
    agent.ended(0, job=21)
    agent.messages.clear()
    agent.send(alike(tmp_path, 20, 21, 22))
    for job in (20, 22):
        agent.ended(0, job=job)
    agent.ended(0, job=21)  # told again, as nobody has acknowledged it

    assert ran(tmp_path) == expected(21, 20, 22)


def test_what_finds_no_room_is_refused_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Node:
        retiring = False
        table = Table("boot", "instance")

    monkeypatch.setattr(starting, "MOST_WAITING", 5)
    starter = starting.Starter.__new__(starting.Starter)
    starter._node = Node()  # type: ignore[assignment]

    assert not starter.accept_alike(Alike(copy.deepcopy(ITEMS), User()))
    assert not Node.table.queued


def test_jobs_are_ended_together_and_what_lives_is_waited_for(
    supervisor: TaskSupervisor, tmp_path: Path
) -> None:
    agent = supervisor.agent()
    hold(agent, tmp_path)
    agent.send(alike(tmp_path, 21, 22, core=1))
    for job in (21, 22):
        agent.ended(0, job=job)
    agent.send(alike(tmp_path, 23, core=0))
    agent.send(["end_jobs", [21, 22, 23, JOB, 99]])
    over = agent.expect("job_ended", 21)
    assert over[1:] == [21, 22, 99]
    assert agent.ended(0, job=23)["reason"] == "NOT_STARTED"
    agent.expect("job_ended", JOB)
    agent.expect("job_ended", 23)
    agent.close()
    kill_spawner(supervisor)

    again = supervisor.agent()
    again.expect("hello")
    for job in (21, 22):
        again.send(["start", job, TASK, 1, [[0, 2, 0, 1, None]]])
        assert "not known" in again.expect("refused", job)[5]
    wait_for(lambda: ran(tmp_path) == expected(21, 22), what="what has run")


@pytest.mark.parametrize("jobs", [7, [7, "x"], [-1]])
def test_an_end_of_no_jobs_is_refused(supervisor: TaskSupervisor, jobs: object) -> None:
    agent = supervisor.agent()
    agent.send(["end_jobs", jobs])
    assert "end_jobs" in agent.expect("error")[1]
