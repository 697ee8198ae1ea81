"""Random lives of jobs as a head would have stored them."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from hpcsched.core.job import codec
from hpcsched.core.job.terms import terms_of
from hpcsched.core.task.states import TASK_TERMINAL
from hpcsched.runtime.accounting import ended_name
from hpcsched.runtime.turns import job_row
from hpcsched.store.base import Delta, EventRow
from tests.support.job_walks import Walk

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.support.job_bench import Bench


def life(seed: int, steps: int = 60) -> Bench:
    """Return a job that has lived."""
    walk = Walk(random.Random(seed))
    walk.go(steps)
    return walk.bench


def delta_of(bench: Bench, job_id: int) -> Delta:
    """Return all of a job as one delta, under another number."""
    job, watcher = bench.job, bench.watcher
    job.job_id = job_id
    events = [
        EventRow(
            job_id=job_id, revision=revision, time=time, owner=job.owner, body=body
        )
        for revision, (time, body) in enumerate(watcher.bodies, 1)
    ]
    return Delta(
        events=events,
        job=job_row(job),
        specs={**watcher.specs, 0: codec.encode_spec(job.spec)},
        terms=terms_of(job),
        parents=job.spec.parent_job_ids or None,
        chunks=watcher.chunks,
        notes=watcher.notes,
        counters={"next_job": job_id + 1, "term": 1},
        sums={
            ended_name(state): job.counts[state]
            for state in TASK_TERMINAL
            if job.state.terminal and job.counts[state]
        },
    )


def deltas(seeds: Iterable[int]) -> Iterable[Delta]:
    """Yield a life for each seed; its job is numbered from 1."""
    for job_id, seed in enumerate(seeds, 1):
        yield delta_of(life(seed), job_id)
