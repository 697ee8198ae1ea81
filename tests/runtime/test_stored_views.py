"""Lists show a job that is not in memory as they show one that is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hpcsched.core.job import codec
from hpcsched.core.job.show import job_view
from hpcsched.core.job.states import UnitType
from hpcsched.runtime.stored import stored_view
from hpcsched.store.base import JobRow
from tests.support.job_bench import Bench, plain, prep, sweep

if TYPE_CHECKING:
    from collections.abc import Callable


def named(node_id: int) -> str:
    return f"n{node_id}"


def row_of(bench: Bench) -> JobRow:
    job = bench.job
    return JobRow(
        job_id=job.job_id,
        owner=job.owner,
        name=job.spec.name,
        project=job.spec.project,
        create_time=job.create_time,
        submit_time=job.submit_time,
        end_time=job.end_time,
        active=not job.state.terminal,
        state=int(job.state),
        priority=job.spec.priority,
        labels=dict(job.spec.custom_properties),
        blob=codec.encode_job(job),
    )


def draft() -> Bench:
    return Bench(
        plain(required_nodes=("n1",)),
        sweep(3),
        min_cores=1,
        max_cores=4,
        excluded_nodes=("n8", "n9"),
        user_name="eve",
        custom_properties={"a": "b"},
        progress=7,
        progress_message="soon",
        parent_job_ids=(3,),
        runtime=60.0,
        can_preempt=True,
        unit_type=UnitType.CORE,
    )


def running() -> Bench:
    return Bench(sweep(3), excluded_nodes=("n8",)).start({1: 2})


def unprepared() -> Bench:
    bench = Bench(plain(), prep(), excluded_nodes=("n8",)).start({1: 1})
    bench.fail(2, 1)
    return bench


def held() -> Bench:
    bench = Bench(plain()).submit()
    bench.hold(500.0)
    return bench


def ended() -> Bench:
    return Bench(sweep(3)).start({1: 2}).end_all()


@pytest.mark.parametrize("make", [draft, running, unprepared, held, ended])
def test_a_stored_job_reads_as_it_does_in_memory(make: Callable[[], Bench]) -> None:
    bench = make()

    live = job_view(bench.job, named, bench.settings)
    stored = stored_view(row_of(bench), named, bench.settings)

    assert stored == live
