"""Variables of the scheduler that a user sets are ignored, and logged (D19)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcsched.core.orders import DefineTask
from hpcsched.runtime.front import Edit
from tests.support.head_bench import ANN, NO_ID, Bench, a_job, a_task

if TYPE_CHECKING:
    import pytest

OWN = {"CCP_JOBID": "7", "ccp_x": "1", "MINE": "2", "CCP_MPI_SOURCE": "s"}


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [r.getMessage() for r in caplog.records if "only the scheduler" in r.msg]
    caplog.clear()
    return found


async def test_who_sets_one_for_a_job_or_a_task_is_logged_and_not_heard(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    agent = await bench.node()
    await bench.submit(a_task(environment={"CCP_TASKID": "9"}), environment=OWN)
    (line,) = logged(caplog)
    assert line == (
        "a new job: ann sets CCP_JOBID, CCP_TASKID, ccp_x, "
        "which only the scheduler sets: ignored"
    )
    await bench.clock.advance(1)
    (sent,) = [one for one in agent.orders if isinstance(one, DefineTask)]
    assert sent.environment["CCP_JOBID"] == "1"
    assert sent.environment["MINE"] == "2"

    draft = await bench.head.create_job(ANN, a_job(), NO_ID, validate_only=False)
    assert logged(caplog) == []
    number = draft.job_id
    task = a_task(environment={"CCP_COREIDS": ""})
    await bench.head.add_tasks(ANN, number, [task], NO_ID, submit=False)
    edit = Edit(changes={}, entries={"environment": {"CCP_NODES": "1", "A": "b"}})
    await bench.head.modify_job(ANN, number, edit, NO_ID)
    edit = Edit(changes={"environment": {"CCP_NODES": "2"}}, entries={})
    await bench.head.modify_task(ANN, number, 1, edit, NO_ID)
    names = [line.split(" sets ")[0] for line in logged(caplog)]
    assert names == [
        f"job {number}: ann",
        f"job {number}: ann",
        f"task {number}.1: ann",
    ]


async def test_ordinary_variables_are_not_worth_a_word(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    await bench.submit(environment={"MINE": "2", "CCP_MPI_SOURCE": "s"})

    assert logged(caplog) == []
