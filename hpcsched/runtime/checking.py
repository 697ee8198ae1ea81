"""Whether a store is what a head may go on from, told in sentences.

Beside the soundness of the file: that every row decodes; that each job's state is what
its events lead to, contradicts itself nowhere, and is what lists say of it; that
counters add up. ``hpcschedd --check`` and whoever puts another store in place ask.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from hpcsched.core.job import codec
from hpcsched.core.job.apply import apply
from hpcsched.core.job.invariants import differences, findings_of
from hpcsched.core.job.model import Job
from hpcsched.core.job.terms import terms_of
from hpcsched.core.settings import Settings
from hpcsched.core.task.states import TASK_TERMINAL
from hpcsched.runtime.accounting import ended_name
from hpcsched.runtime.node_event import stored_node_event
from hpcsched.runtime.node_record import NodeRecord
from hpcsched.runtime.pool_calls import pools_of
from hpcsched.runtime.registry import decode_stored
from hpcsched.runtime.template_calls import stored_templates
from hpcsched.runtime.turns import job_row
from hpcsched.store.findings import Finding
from hpcsched.store.opener import path_of
from hpcsched.store.sql.check import looking, rows_findings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hpcsched.core.job.events import Change
    from hpcsched.store.base import ClusterState, StoredJob
    from hpcsched.store.sql.inspection import Inspection

MOST_TOLD: Final = 1_000
"""Findings after which there is no point in looking further."""
STEPS: Final = 10_000
"""Of SQLite, between two questions whether it is enough."""
_LISTED: Final = (
    *("owner", "name", "project", "state", "priority", "create_time", "submit_time"),
    *("end_time", "labels", "active", "previous_state", "start_time", "change_time"),
    *("requeue_count", "counts"),
)


_GROWING: Final = frozenset({"tasks", "told", "spec", "unit", "uses"})
"""Parts of a job's state that later versions say more in."""


@dataclass(slots=True)
class Report:
    """What was looked at, and what was found.

    Attributes:
        version: The schema of the file; empty when it could not be read.
        counts: Rows by table.
        last_seq: Number of the newest event.
        term: The newest head's.
        cut: It was enough before the end: the rest was not looked at.
    """

    path: str
    version: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    last_seq: int = 0
    term: int = 0
    cut: bool = False
    findings: list[Finding] = field(default_factory=list)

    @property
    def full(self) -> bool:
        """Is enough told?"""
        return len(self.findings) >= MOST_TOLD


def check_store(
    address: str | Path, enough: Callable[[], bool] | None = None
) -> Report:
    """Look at all of a store; nothing is changed, a head may be running.

    Args:
        address: As of ``open_store``.
        enough: Asked again and again; True: the rest is left.

    Raises:
        ValueError: as of ``open_store``.
    """
    path = path_of(address)
    report = Report(str(path))
    with looking(path) as (inspection, problems):
        report.findings = problems
        if inspection is not None:
            report.version = inspection.version
            try:
                _look_at(inspection, report, enough)
            except sqlite3.OperationalError as error:
                code = getattr(error, "sqlite_errorcode", None)
                if code != sqlite3.SQLITE_INTERRUPT:
                    raise
                report.cut = True
    return report


def _look_at(
    inspection: Inspection, report: Report, enough: Callable[[], bool] | None
) -> None:
    if enough is not None:
        inspection.connection.set_progress_handler(enough, STEPS)
    rows = rows_findings(inspection.connection)
    report.findings += _safely(rows, "the rows")
    inside = _look_inside(inspection, report, enough)
    report.findings += _safely(inside, "the store")


def _safely(findings: Iterator[Finding], what: str) -> Iterator[Finding]:
    """Yield findings; looking at damage may raise anything, which is one more."""
    try:
        yield from findings
    except sqlite3.Error:
        raise
    except Exception as error:  # noqa: BLE001 - see above
        text = f"{what} cannot be looked at: {type(error).__name__}: {error}"
        yield Finding("decode", text)


def _look_inside(
    inspection: Inspection, report: Report, enough: Callable[[], bool] | None
) -> Iterator[Finding]:
    report.counts = inspection.counts()
    try:
        state = inspection.cluster()
    except (ValueError, TypeError) as error:
        yield Finding("decode", f"the cluster: {error!r}")
        return
    report.last_seq = state.last_seq
    report.term = state.counters.get("term", 0)
    yield from _cluster_findings(state)
    for event in inspection.events_of(0):
        if (problem := _broken(stored_node_event, event)) is not None:
            text = f"event {event.seq}, of a node, does not decode: {problem}"
            yield Finding("decode", text)
    for principal, request_id, answer in inspection.answers():
        if _broken(_answer, answer) is not None:
            text = f"the answer to request {request_id} of {principal} does not decode"
            yield Finding("requests", text)
    ended: Counter[str] = Counter()
    highest = 0
    for stored in inspection.jobs():
        if enough is not None and enough():
            report.cut = True
        if report.full or report.cut:
            break
        highest = stored.row.job_id
        found = _job_findings(inspection, stored, ended)
        yield from _safely(found, f"job {highest}")
    else:
        yield from _counter_findings(state, ended, highest)


def _broken(decode: Any, value: Any) -> str | None:
    """Return what decoding raises; None where it works."""
    try:
        decode(value)
    except sqlite3.Error:
        raise
    except Exception as error:  # noqa: BLE001 - damage may raise anything
        return f"{type(error).__name__}: {error}"
    return None


def _answer(body: bytes) -> None:
    _, _ = codec.unpack(body)


def _cluster_findings(state: ClusterState) -> Iterator[Finding]:
    for row in state.nodes:
        if (problem := _broken(NodeRecord.from_row, row)) is not None:
            yield Finding("decode", f"node {row.name} does not decode: {problem}")
    for what, decode in (
        ("the job templates", stored_templates),
        ("the pools", pools_of),
        ("the definitions", lambda found: [codec.unpack(b) for b in found.values()]),
    ):
        if (problem := _broken(decode, state.entries)) is not None:
            yield Finding("decode", f"{what} do not decode: {problem}")
    if (problem := _broken(Settings.from_texts, state.parameters)) is not None:
        yield Finding("decode", f"the cluster parameters make no sense: {problem}")
    names = Counter(row.name for row in state.nodes)
    for name, count in names.items():
        if count > 1 and sum(_lives(r) for r in state.nodes if r.name == name) > 1:
            yield Finding("nodes", f"{count} nodes are called {name}")


def _lives(row: Any) -> bool:
    return _broken(NodeRecord.from_row, row) is None and not (
        NodeRecord.from_row(row).removed
    )


def _counter_findings(
    state: ClusterState, ended: Counter[str], highest: int
) -> Iterator[Finding]:
    following = state.counters.get("next_job", 1)
    if following <= highest:
        told = f"job {highest} exists, and the next one would be job {following}"
        yield Finding("counters", told)
    for name in map(ended_name, TASK_TERMINAL):
        kept = state.counters.get(name, 0)
        if kept != ended[name]:
            told = f"the counter of {name} is {kept}, ended jobs have {ended[name]}"
            yield Finding("counters", told)


def _job_findings(
    inspection: Inspection, stored: StoredJob, ended: Counter[str]
) -> Iterator[Finding]:
    job_id = stored.row.job_id

    def found(rule: str, text: str) -> Finding:
        return Finding(rule, f"job {job_id}: {text}", job_id)

    try:
        job = decode_stored(stored)
    except Exception as error:  # noqa: BLE001 - damage may raise anything
        yield found("decode", f"does not decode: {type(error).__name__}: {error}")
        return
    if job.state.terminal:
        for state in TASK_TERMINAL:
            ended[ended_name(state)] += job.counts[state]
    for text in findings_of(job):
        yield found("state", text)
    for text in _shown(job, stored):
        yield found("state", text)
    for text in _listed(inspection, job, stored):
        yield found("lists", text)
    if job.revision != stored.revision:
        told = f"its state is of revision {job.revision}, its row {stored.revision}"
        yield found("revisions", told)
    for rule, text in _folded(inspection, job):
        yield found(rule, text)


def _listed(inspection: Inspection, job: Job, stored: StoredJob) -> Iterator[str]:
    """Say where lists would tell something else than the job itself."""
    wanted = job_row(job)
    for name in _LISTED:
        listed, real = getattr(stored.row, name), getattr(wanted, name)
        if listed != real:
            yield f"lists say {name} {listed!r}, the job {real!r}"
    terms = inspection.terms_of(job.job_id)
    if terms is None:
        yield "lists cannot choose it by its specification"
    else:
        wanted_terms = {"job_id": job.job_id, **terms_of(job)}
        for name, listed in terms.items():
            real = wanted_terms.get(name)
            if listed != real:
                yield f"lists say {name} {listed!r}, the job {real!r}"
    parents = inspection.parents_of(job.job_id)
    if parents != set(job.spec.parent_job_ids):
        real = sorted(job.spec.parent_job_ids)
        yield f"lists say parents {sorted(parents)}, the job {real}"


def _step(change: Change) -> tuple[Any, ...]:
    """Return what watchers are told of a change, without its words."""
    return (change.task_id, tuple(change.ranges), change.state, change.previous)


def _shown(job: Job, stored: StoredJob) -> Iterator[str]:
    """Say where a job's state says something else of itself than it is."""
    kept, real = codec.unpack(stored.row.blob), codec.unpack(codec.encode_job(job))
    for name in kept.keys() & real.keys():
        if kept[name] != real[name] and name not in _GROWING:
            yield f"{name} is kept as {kept[name]!r}, and is {real[name]!r}"


def _folded(inspection: Inspection, job: Job) -> Iterator[tuple[str, str]]:
    """Say where the job's events lead elsewhere than to the state that is kept."""
    folded = Job(job.job_id, job.owner, job.spec, job.create_time)
    for event in inspection.events_of(job.job_id):
        try:
            decoded, heard = codec.decode_event(event.time, event.body)
            changes = apply(folded, decoded)
        except Exception as error:  # noqa: BLE001 - damage may raise anything
            what = f"event {event.seq} (revision {event.revision})"
            told = f"{what} does not follow: {type(error).__name__}: {error}"
            yield "events", told
            return
        if list(map(_step, heard)) != list(map(_step, changes)):
            yield "events", f"event {event.seq} tells watchers something else"
        if event.owner != job.owner:
            yield "events", f"event {event.seq} is of owner {event.owner!r}"
    for text in differences(job, folded):
        yield "events", text
