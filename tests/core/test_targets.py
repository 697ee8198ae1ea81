"""TargetResourceCount: the dynamic cap of a job that grows (J11, properties.md 3.2)."""

from __future__ import annotations

import pytest

from hpcsched.core.job import commands as c
from hpcsched.core.job.states import UnitType
from hpcsched.runtime.demand import demand_of
from tests.support.job_bench import ANN, Bench, service, sweep


def running(task: object, cores: int, **spec: object) -> Bench:
    return Bench(task, **spec).start({1: cores})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("target", "fits"), [(0, True), (2, True), (1, False), (9, False)]
)
def test_a_target_outside_of_the_jobs_limits_is_refused_and_changes_nothing(
    target: int, fits: bool
) -> None:
    bench = running(sweep(8), 4, min_cores=2, max_cores=8)
    command = c.ModifyJob(caller=ANN, changes={"target_resource_count": target})

    if fits:
        bench.do(command)
        assert bench.job.spec.target_resource_count == target
        return
    error = bench.refused(command)
    assert error.reason == "OUT_OF_RANGE"
    assert error.facts["field"] == "spec.target_resource_count"
    assert bench.job.spec.target_resource_count == 0


def test_a_grant_that_would_exceed_a_target_lowered_meanwhile_is_not_taken() -> None:
    bench = running(sweep(8), 2, min_cores=1, max_cores=8)
    change = {"target_resource_count": 3}
    bench.do(c.ModifyJob(caller=ANN, changes=change))

    bench.do(c.GrantCores(cores={1: (0, 1, 2, 3)}))
    assert bench.job.held_units() == 2
    bench.do(c.GrantCores(cores={2: (0,)}))
    assert bench.job.held_units() == 3


@pytest.mark.parametrize(
    "task", [sweep(100), service()], ids=lambda one: one.type.label
)
def test_a_job_wants_no_more_than_its_target(task: object) -> None:
    bench = running(task, 2, min_cores=1, target_resource_count=5)
    demand = demand_of(bench.job, bench.settings, {UnitType.CORE: 64})

    assert demand is not None
    assert demand.most == 5
