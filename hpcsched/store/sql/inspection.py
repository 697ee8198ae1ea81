"""A look at a store's files from outside of a head, which may be running.

Everything is read in one transaction: it is one moment of the store. Nothing is ever
written: an older schema is brought up to date in a copy.
"""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcsched.store.errors import StoreFormatError
from hpcsched.store.sql import schema, sqlite
from hpcsched.store.sql.loading import BATCH_JOBS, JobLoader, labels_of
from hpcsched.store.sql.migrate import bring_up_to_date, version_of
from hpcsched.store.sql.reads import Reads

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hpcsched.store.base import ClusterState, StoredEvent, StoredJob

_TABLES = ("job", "event", "node", "token", "request", "job_history", "allocation")


class Inspection:
    """One moment of a store, of the newest schema.

    Attributes:
        connection: For questions of its own kind; it cannot write.
        version: The schema that the file has.
    """

    def __init__(self, connection: sqlite3.Connection, version: str) -> None:
        self.connection = connection
        self.version = version
        self._loader = _loader()
        self._reads = _reads()

    def cluster(self) -> ClusterState:
        """Return what is not a job."""
        return self._reads.cluster(self.connection)

    def jobs(self) -> Iterator[StoredJob]:
        """Yield every job that is kept, by id."""
        after = 0
        while batch := self._loader.load_after(self.connection, after):
            yield from batch
            after = batch[-1].row.job_id

    def events_of(self, job_id: int) -> Iterator[StoredEvent]:
        """Yield the events of a job, or (0) of nodes, in order."""
        after = 0
        while True:
            page: Sequence[StoredEvent]
            if job_id:
                page = self._reads.events(self.connection, after, BATCH_JOBS, job_id)
            else:
                page = self._reads.node_events(self.connection, after, BATCH_JOBS)
            yield from page
            if len(page) < BATCH_JOBS:
                return
            after = page[-1].seq

    def terms_of(self, job_id: int) -> dict[str, Any] | None:
        """Return what lists choose the job by, or None where it is not kept."""
        cursor = self.connection.execute(
            "SELECT * FROM job_terms WHERE job_id = ?", (job_id,)
        )
        names = [column[0] for column in cursor.description]
        row = cursor.fetchone()
        return None if row is None else dict(zip(names, row, strict=True))

    def parents_of(self, job_id: int) -> set[int]:
        """Return the jobs that a job is kept to wait for."""
        rows = self.connection.execute(
            "SELECT parent_id FROM job_parent WHERE job_id = ?", (job_id,)
        )
        return {row[0] for row in rows}

    def labels(self, job_id: int) -> dict[str, str]:
        """Return the labels that lists choose the job by."""
        rows = self.connection.execute(
            "SELECT * FROM job_label WHERE job_id = ?", (job_id,)
        )
        return labels_of(rows).get(job_id, {})

    def answers(self) -> Iterator[tuple[str, str, bytes]]:
        """Yield (principal, request id, answer) of each answer that is kept."""
        yield from self.connection.execute(
            "SELECT principal, request_id, answer FROM request"
        )

    def counts(self) -> dict[str, int]:
        """Return how many rows there are of what people ask for."""
        found = {}
        for name in _TABLES:
            (count,) = self.connection.execute(
                f"SELECT count(*) FROM {name}"  # noqa: S608 - a constant
            ).fetchone()
            found[name] = int(count)
        return found


@cache
def _loader() -> JobLoader:
    return JobLoader(sqlite.dialect(), believing=True)


@cache
def _reads() -> Reads:
    return Reads(sqlite.dialect(), believing=True)


@contextmanager
def inspecting(path: Path) -> Iterator[Inspection]:
    """Look at one moment of a store.

    Raises:
        StoreFormatError: it is not a store, or one of a newer version.
        StoreError: a setting did not take.
        sqlite3.Error: it cannot be read.
    """
    with closing(connect_to_look(path)) as connection:
        connection.text_factory = _text
        connection.execute("BEGIN")
        version = version_of(connection)
        if version == schema.HEAD:
            yield Inspection(connection, version)
            return
        if version is None:
            raise StoreFormatError(f"{path} is empty")
        with tempfile.TemporaryDirectory(prefix="hpcsched-check-") as folder:
            copy = sqlite3.connect(Path(folder) / "copy.db", isolation_level=None)
            with closing(copy):
                connection.backup(copy)
                bring_up_to_date(copy)
                sqlite.set_pragma(copy, "query_only", 1)
                copy.text_factory = _text
                yield Inspection(copy, version)


def _text(stored: bytes) -> str:
    """Return what is kept as text, which damage may have made none of."""
    return stored.decode("utf-8", "surrogateescape")


def connect_to_look(path: Path) -> sqlite3.Connection:
    """Open for reading, where nothing at all can be written too.

    SQLite wants to make an index of the log beside the file. Where it cannot (the file
    system is read-only) and there is no log, it need not.

    Raises:
        sqlite3.Error: it cannot be read.
    """
    connection = sqlite.connect_reader(path)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        connection.close()
        if sqlite.log_size(path):
            raise
        connection = sqlite.connect_reader(path, immutable=True)
    except BaseException:
        connection.close()
        raise
    return connection
