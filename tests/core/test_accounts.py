"""Who may have a job's tasks run as whom (properties.md 3.1, UserName)."""

from __future__ import annotations

import pytest

from hpcsched.core.job import commands as c
from tests.support.job_bench import ANN, ROOT, Bench, plain


@pytest.mark.parametrize(
    "command",
    [
        c.ModifyJob(caller=ANN, changes={"name": "x"}),
        c.ModifyTask(caller=ANN, task_id=1, changes={"name": "x"}),
        c.AddTasks(caller=ANN, tasks=[plain()]),
        c.SubmitJob(caller=ANN, submit_order=1),
    ],
    ids=lambda command: type(command).__name__,
)
def test_an_owner_gives_no_commands_to_another_account(command: c.Command) -> None:
    """It would be the other's rights in the owner's hands."""
    bench = Bench(plain())
    bench.modify(caller=ROOT, user_name="eve")

    refusal = bench.refused(command)

    assert refusal.reason == "PERMISSION_DENIED"
    assert "spec.user_name" in str(refusal)
    bench.modify(user_name="")
    bench.do(command)


def test_progress_of_a_task_that_runs_as_somebody_else_is_still_told() -> None:
    bench = Bench(plain())
    bench.modify(caller=ROOT, user_name="eve")

    bench.modify(progress=5)


@pytest.mark.parametrize("name", ["root", "a:b", "a/b", "-x", "+x", "a\nb", "a,b"])
def test_no_job_is_made_to_run_as_root_or_as_what_is_no_account(name: str) -> None:
    refusal = Bench(plain()).refused(
        c.ModifyJob(caller=ROOT, changes={"user_name": name})
    )

    assert (refusal.reason, refusal.facts["field"]) == (
        "INVALID_FIELD",
        "spec.user_name",
    )
