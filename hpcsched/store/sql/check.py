"""Looking for damage, from outside a head that may be running."""

from __future__ import annotations

import sqlite3
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final

from hpcsched.store.errors import StoreError, StoreFormatError
from hpcsched.store.findings import Finding
from hpcsched.store.opener import path_of
from hpcsched.store.sql import schema
from hpcsched.store.sql.inspection import inspecting
from hpcsched.store.sql.seals import seal_findings
from hpcsched.store.sql.sums import sum_findings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hpcsched.store.sql.inspection import Inspection

#: Findings of one rule that are told one by one.
MOST_TOLD: Final = 20


#: SQLite's own words about a damaged file may be damaged too.
UNREADABLE: Final = (sqlite3.Error, UnicodeDecodeError)

_GAPS_IN_SEQUENCE: Final = """
SELECT seq, before FROM (
    SELECT seq, lag(seq, 1, :floor) OVER (ORDER BY seq) AS before
    FROM event WHERE seq > :floor)
WHERE seq <> before + 1 LIMIT :most"""

_GAPS_IN_REVISIONS: Final = """
SELECT job_id, revision, before FROM (
    SELECT job_id, revision,
           lag(revision, 1, 0) OVER (PARTITION BY job_id ORDER BY seq) AS before
    FROM event
    WHERE job_id > 0 AND job_id NOT IN (SELECT job_id FROM purge))
WHERE revision <> before + 1 LIMIT :most"""

_JOBS_BESIDE_THEIR_EVENTS: Final = """
SELECT id, revision, newest FROM (
    SELECT id, revision, coalesce((
        SELECT revision FROM event WHERE job_id = job.id ORDER BY seq DESC LIMIT 1
    ), 0) AS newest FROM job)
WHERE revision <> newest LIMIT :most"""

_ORPHANS: Final = """
SELECT DISTINCT job_id FROM {table}
WHERE job_id > 0 AND job_id NOT IN (SELECT id FROM job)
    AND job_id NOT IN (SELECT job_id FROM purge) LIMIT :most"""

_NEITHER_ACTIVE_NOR_ENDED: Final = """
SELECT id, active FROM job WHERE active NOT IN (0, 1) LIMIT :most"""

_TABLES_OF_JOBS: Final = (
    schema.event,
    schema.job_label,
    schema.job_terms,
    schema.job_parent,
    schema.job_spec,
    schema.chunk,
    schema.note,
    schema.output,
)


def check(address: str | Path) -> list[Finding]:
    """Return what is wrong with a store; nothing is changed, a head may be running.

    Args:
        address: As of ``open_store``.

    Raises:
        ValueError: as of ``open_store``.
    """
    path = path_of(address)
    with looking(path) as (inspection, problems):
        if inspection is not None:
            problems.extend(rows_findings(inspection.connection))
    return problems


@contextmanager
def looking(path: Path) -> Iterator[tuple[Inspection | None, list[Finding]]]:
    """Look at a store; what keeps it from being read is a finding."""
    problems: list[Finding] = []
    if not path.exists():
        yield None, [Finding("readable", f"there is no {path}")]
        return
    with ExitStack() as stack:
        inspection: Inspection | None = None
        try:
            inspection = stack.enter_context(inspecting(path))
        except StoreFormatError as error:
            problems.append(Finding("schema", f"{path}: {error}"))
        except (*UNREADABLE, StoreError) as error:
            problems.append(Finding("readable", f"{path}: {error}"))
        try:
            yield inspection, problems
        except UNREADABLE as error:
            problems.append(Finding("readable", f"{path}: {error}"))


def rows_findings(connection: sqlite3.Connection) -> Iterator[Finding]:
    """Look at the pages of the file, and at how its rows go together."""
    for row in connection.execute(f"PRAGMA integrity_check({MOST_TOLD})").fetchall():
        if row[0] != "ok":
            yield Finding("sound", str(row[0]))
    yield from _gaps(connection)
    yield from seal_findings(connection, MOST_TOLD)
    yield from sum_findings(connection, MOST_TOLD)
    values = {"most": MOST_TOLD}
    for job_id, active in connection.execute(_NEITHER_ACTIVE_NOR_ENDED, values):
        text = f"job {job_id} is neither active nor ended, but {active!r}"
        yield Finding("lists", text, job_id)
    for table in _TABLES_OF_JOBS:
        query = _ORPHANS.format(table=table.name)
        for (job_id,) in connection.execute(query, {"most": MOST_TOLD}):
            text = f"{table.name} has rows of job {job_id}, which there is not"
            yield Finding("orphans", text)


def _gaps(connection: sqlite3.Connection) -> Iterator[Finding]:
    query = "SELECT value FROM meta WHERE name = ?"
    row = connection.execute(query, (schema.FLOOR,)).fetchone()
    floor = row[0] if row else 0
    values = {"floor": floor, "most": MOST_TOLD}
    for seq, before in connection.execute(_GAPS_IN_SEQUENCE, values):
        yield Finding("sequence", f"event {seq} follows event {before}")
    for job_id, revision, before in connection.execute(_GAPS_IN_REVISIONS, values):
        text = f"job {job_id}: revision {revision} follows {before}"
        yield Finding("revisions", text)
    for job_id, revision, newest in connection.execute(
        _JOBS_BESIDE_THEIR_EVENTS, values
    ):
        text = f"job {job_id} is at revision {revision}, its newest event at {newest}"
        yield Finding("revisions", text)
