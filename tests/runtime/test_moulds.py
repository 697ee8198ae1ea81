"""What is written of many whole lives is what each job would have written."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from hpcsched.core.job import commands as c
from hpcsched.core.job.ahead import attempt_ahead
from hpcsched.core.job.decide import decide, new_job
from hpcsched.core.job.environment import Scene
from hpcsched.core.job.lots import cut_job
from hpcsched.core.job.wholelife import Life, life_of, lived, news_of
from hpcsched.core.settings import Settings
from hpcsched.runtime.lots import Kind
from hpcsched.runtime.mail import Mail
from hpcsched.runtime.turns import new_job_delta, turns_delta
from hpcsched.runtime.whole_lives import Group
from hpcsched.store.alike import one_by_one
from hpcsched.store.history import SUMS
from tests.support.head_bench import ANN, a_job

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcsched.core.job.model import Job
    from hpcsched.store.base import Delta

BORN = 1_800_000_000.25
SENT = BORN + 3.5
CORES = (0, 1, 5, 300)
SPECS: dict[str, dict[str, Any]] = {
    "nothing said": {},
    "a name and a project": {"name": "[z\\z", "project": "p" * 40},
    "a limit and labels": {"runtime": 600.0, "custom_properties": {"a": "1"}},
    "another priority": {"priority": 3999, "fail_on_task_failure": True},
}


def sent_kind(spec: dict[str, Any], sent: float = SENT) -> Kind:
    """Return a kind of jobs that wait on node 3."""
    one, setting = a_job(**spec), Settings()
    job, made = new_job(7, "ann", one.spec, one.tasks, BORN, setting)
    order = c.SubmitJob(caller=ANN, submit_order=40, kin=c.NO_KIN)
    decided = [(one, Mail(None)) for one in (made, decide(job, order, BORN, setting))]
    delta = new_job_delta(job, decided, BORN)
    began = job.revision
    away = c.SendAhead(node_id=3, cores=CORES, shape=(512, 2))
    gone = turns_delta(job, began, [(decide(job, away, sent, setting), Mail(None))], 0)
    blob = cut_job(job)
    assert blob is not None
    demand: Any = None
    chunks = {**delta.chunks, **gone.chunks}
    return Kind(like=job, blob=blob, specs=delta.specs, chunks=chunks, demand=demand)


def a_world() -> Any:
    commits: list[Delta] = []
    return SimpleNamespace(
        settings=Settings(),
        nodes=None,
        scene=Scene(cluster="c", head="h", node_names={3: "n3"}),
        jobs=SimpleNamespace(begin_change=lambda _: None),
        store=SimpleNamespace(commit=lambda delta, _: commits.append(delta)),
        commits=commits,
    )


RECORD: Any = SimpleNamespace(node_id=3, name="n3")
used = st.one_of(st.just(0), st.integers(0, 70_000), st.integers(0, (1 << 32) - 1))
moment = st.one_of(
    st.just(0.0), st.floats(-90_000, 300_000), st.floats(-0.003, 0.003).map(float)
)
lives = st.tuples(moment, moment, st.sampled_from(CORES), used, used, used)


def one_alone(world: Any, job: Job, life: Life) -> Delta:
    """Return what a job leaves that takes its report by itself."""
    began, command = job.revision, news_of(job, life, 3, "n3")
    decision = decide(job, command, life.now, world.settings)
    return turns_delta(job, began, [(decision, Mail(None, command=command))], life.now)


def usage(deltas: Sequence[Delta]) -> dict[tuple[Any, ...], Counter[str]]:
    found: dict[tuple[Any, ...], Counter[str]] = {}
    for row in (row for delta in deltas for row in delta.usage):
        sums = found.setdefault((row.day, row.owner, row.project), Counter())
        sums.update({name: getattr(row, name) for name in SUMS})
    return found


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(sorted(SPECS)),
    st.floats(0, 200_000).map(lambda late: SENT + late),
    st.lists(lives, min_size=3, max_size=12),
)
def test_what_is_written_of_each_is_what_it_would_have_written(
    spec: str, now: float, measured: list[tuple[Any, ...]]
) -> None:
    world, kind = a_world(), sent_kind(SPECS[spec])
    group = Group(world, RECORD, kind)
    for number, (start, took, core, user, kernel, memory) in enumerate(measured):
        job_id = 100 + 3 * number
        times = (now + start, now + start + took, 0.0, now)
        life = lived(job_id + 33, times, core, (user, kernel, memory), BORN)
        report = replace(life.report(kind.like), job_id=job_id)
        attempt = attempt_ahead(kind.like)
        seen = life_of(report, kind.like, job_id + 33, now, attempt)
        assert seen is not None
        group.lives[job_id] = seen
        group.reports.append(report)
    assert group.commit(lambda _: None)

    (delta,) = world.commits
    alone = [
        one_alone(world, kind.job(job_id, life.order), life)
        for job_id, life in group.lives.items()
    ]
    for mine, real in zip(one_by_one(delta), alone, strict=True):
        assert list(mine.events) == list(real.events)
        assert mine.job == real.job
        assert mine.chunks == real.chunks
    together = ("history", "allocations")
    for name in together:
        rows = [row for one in alone for row in getattr(one, name)]
        assert list(getattr(delta, name)) == rows
    assert usage([delta]) == usage(alone)
    assert delta.sums == dict(sum((Counter(one.sums) for one in alone), Counter()))
    told = {*together, "events", "job", "chunks", "usage", "sums", "alike"}
    for field in fields(delta):
        if field.name not in told:
            assert getattr(delta, field.name) == getattr(alone[0], field.name)
