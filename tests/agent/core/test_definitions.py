"""What an agent keeps of definitions is bounded, whatever the head says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node_agent.core import definitions
from node_agent.core.definitions import Definitions, DefinitionsFullError
from node_agent.core.orders import DefineTask, SetGrant, StartAlike, StartTasks


def order(job: int, definition: int = 1, line: str = "x" * 100) -> DefineTask:
    return DefineTask(
        job_id=job,
        task_id=1,
        definition=definition,
        command_line=line,
        environment={},
    )


def test_no_more_definitions_are_kept_than_a_node_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(definitions, "MOST_DEFINITIONS", 3)
    known = Definitions("n1")
    for job in (1, 2, 3):
        assert known.define(order(job)) is not None
    with pytest.raises(DefinitionsFullError, match="3 definitions"):
        known.define(order(4))
    assert known.define(order(3)) is None  # it is here, and may be said again
    known.forget(2)

    assert known.define(order(4)) is not None
    assert known.find(2, 1, 1) is None


def test_no_more_text_of_definitions_is_kept_than_a_node_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(definitions, "MOST_CHARACTERS", 1000)
    known = Definitions("n1")
    known.define(order(1, line="x" * 900))
    with pytest.raises(DefinitionsFullError, match="900 characters"):
        known.define(order(2, line="x" * 101))
    known.define(order(1, line="x" * 10))  # in place of the long one

    assert known.define(order(2, line="x" * 900)) is not None


OWN = {"CCP_JOBID": "4", "CCP_TASKSYSTEMID": "4.1", "CCP_TASKCONTEXT": "4.1"}


def alike(*jobs: int, **own: str) -> StartAlike:
    define = replace(order(4), environment={"A": "b", **(own or OWN)})
    start = StartTasks(
        job_id=4,
        task_id=1,
        definition=1,
        instances=[0],
        attempts=[1],
        values=[0],
        cores=1,
        retries=[0],
    )
    grant = SetGrant(job_id=4, cores=[2])
    return StartAlike(job_ids=jobs, grant=grant, define=define, start=start)


def test_jobs_that_are_alike_are_kept_as_if_each_had_been_defined() -> None:
    together, alone = Definitions("n1", {"S": "t"}), Definitions("n1", {"S": "t"})
    order = alike(4, 5, 9)
    message = together.define_alike(order)
    for one in order.one_by_one():
        if isinstance(one, DefineTask):
            alone.define(one)
        elif isinstance(one, SetGrant):
            alone.grant(one.job_id, list(one.cores))

    assert message is not None
    name, body, names, jobs, cores = message
    assert name == "alike"
    assert [job for job, *_ in jobs] == [4, 5, 9]
    assert cores == [2]
    assert list(together.replay()) == list(alone.replay())
    five = {**body["env"], **dict(zip(names, jobs[1][1:], strict=True))}
    assert five["CCP_TASKCONTEXT"] == "5.1"
    assert five["A"] == "b"
    for job in (4, 5, 9):  # said again by itself: nothing new
        one = next(
            one
            for one in order.one_by_one()
            if isinstance(one, DefineTask) and one.job_id == job
        )
        assert together.define(one) is None


def test_jobs_of_which_one_is_known_are_told_one_by_one() -> None:
    known = Definitions("n1")
    known.define(order(5))

    assert known.define_alike(alike(4, 5)) is None
    assert known.find(4, 1, 1) is None


def test_jobs_whose_names_are_not_in_their_environment_are_told_one_by_one() -> None:
    assert Definitions("n1").define_alike(alike(4, 5, CCP_JOBID="4")) is None


def test_jobs_that_are_alike_count_as_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(definitions, "MOST_DEFINITIONS", 3)
    known = Definitions("n1")
    with pytest.raises(DefinitionsFullError, match="0 definitions"):
        known.define_alike(alike(1, 2, 3, 4))
    assert known.define_alike(alike(1, 2, 3)) is not None
    with pytest.raises(DefinitionsFullError, match="3 definitions"):
        known.define(order(7))
    known.forget(2)
    assert known.define(order(7)) is not None


def test_cores_of_no_more_jobs_are_kept_than_a_node_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(definitions, "MOST_GRANTS", 2)
    known = Definitions("n1")
    assert known.grant(1, [0]) == ["grant", 1, [0]]
    known.grant(2, [1])
    with pytest.raises(DefinitionsFullError, match="job 3: 2 jobs have cores here"):
        known.grant(3, [2])
    assert known.grant(3, []) == ["grant", 3, []]  # it takes no room
    assert known.grant(2, [1, 3]) == ["grant", 2, [1, 3]]
    assert known.define_alike(alike(4, 5)) is None
    known.forget(1)

    assert known.grant(3, [2]) == ["grant", 3, [2]]
