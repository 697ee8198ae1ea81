"""Making what lists know of jobs anew, after an upgrade.

A new column of lists, or a new table beside them, speaks of every job, also of those
that ended before there was one and are never written again. Migrations only make the
place; what goes there is in each job's own state.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from hpcsched.core.job.terms import terms_of
from hpcsched.store.rows import decode_stored, job_row
from hpcsched.store.sql import sqlite
from hpcsched.store.sql.loading import JobLoader
from hpcsched.store.sql.rows import columns_of, terms_row
from hpcsched.store.sql.statements import Statements

if TYPE_CHECKING:
    import sqlite3

log = logging.getLogger(__name__)


def relist(connection: sqlite3.Connection) -> None:
    """Write what lists know of each job; the transaction is the caller's.

    A job that does not decode is left as it is: the head says so when it loads it.
    """
    dialect = sqlite.dialect()
    loader, statements = JobLoader(dialect), Statements(dialect)
    after = 0
    while batch := loader.load_after(connection, after):
        after = batch[-1].row.job_id
        rows, terms, parents = [], [], []
        for stored in batch:
            try:
                job = decode_stored(stored)
                row = replace(job_row(job), blob=stored.row.blob)
            except Exception:
                log.exception("job %d does not decode", stored.row.job_id)
                continue
            rows.append(columns_of(row, stored.revision))
            terms.append(terms_row(job.job_id, terms_of(job)))
            parents += [(job.job_id, one) for one in set(job.spec.parent_job_ids)]
        statements.replace_jobs.run(connection, rows)
        statements.put_terms.run(connection, terms)
        statements.delete_parents.run(connection, [row[:1] for row in terms])
        statements.add_parents.run(connection, parents)
