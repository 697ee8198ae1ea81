"""How far a cluster has come, and how another store is put behind that.

Terms of heads, numbers of jobs and of events are never used twice: nodes and watchers
know them. Whoever puts an older store in place of a newer one raises all three beyond
whatever was given out since. A term has its *generation* above ``GENERATION_BITS``: it
grows when that happens, so that an agent tells a restored cluster from an older head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hpcsched.core.job.packing import pack, unpack
from hpcsched.store.sql import schema
from hpcsched.store.sql.seals import sealed
from hpcsched.store.sql.sums import require_sound, with_seal

if TYPE_CHECKING:
    import sqlite3

GENERATION_BITS: Final = 20
CLUSTER: Final = "cluster"
"""Kind of the entries that say which cluster this is, and what is wrong with it."""
UNSAFE: Final = "unsafe"
"""Name of the entry that keeps a head in safe mode."""
RESTORED_JOBS: Final = "restored_jobs"
"""Counter: jobs below were in an older store when it was put back; their attempts go on
in numbers of their own (core.job.numbering)."""
JOBS_AHEAD: Final = 10_000
EVENTS_AHEAD: Final = 1_000_000
"""Numbers left out where nobody knows how many were given out since."""
_PUT: Final = (
    "INSERT INTO {} (name, value, crc) VALUES (?, ?, ?) "
    "ON CONFLICT (name) DO UPDATE SET value = excluded.value, crc = excluded.crc"
)


def generation_of(term: int) -> int:
    """Return how often the cluster went back to an older store before this term."""
    return term >> GENERATION_BITS


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The newest numbers that were given out, as far as somebody knows."""

    term: int = 0
    next_job: int = 1
    last_seq: int = 0

    def beside(self, other: Progress) -> Progress:
        """Return the higher number of each."""
        return Progress(
            term=max(self.term, other.term),
            next_job=max(self.next_job, other.next_job),
            last_seq=max(self.last_seq, other.last_seq),
        )


def encode_unsafe(problem: str, seen: Progress) -> bytes:
    """Return the entry of a head that must not go on: why, and what was seen."""
    return pack((problem, seen.term, seen.next_job, seen.last_seq))


def decode_unsafe(body: bytes) -> tuple[str, Progress]:
    """Return why a head must not go on, and how far the cluster had come."""
    problem, term, next_job, last_seq = unpack(body)
    return problem, Progress(term=term, next_job=next_job, last_seq=last_seq)


def progress_of(connection: sqlite3.Connection) -> Progress:
    """Return how far a store says that its cluster has come; also what nodes said.

    Raises:
        sqlite3.Error: it cannot be read, or not believed.
    """
    counters = _numbers(connection, "counter")
    floor = _numbers(connection, "meta").get(schema.FLOOR, 0)
    newest = connection.execute("SELECT max(seq) FROM event").fetchone()
    own = Progress(
        term=counters.get("term", 0),
        next_job=counters.get("next_job", 1),
        last_seq=max(newest[0] or 0, floor),
    )
    tables = "SELECT count(*) FROM sqlite_master WHERE name = 'entry'"
    if not connection.execute(tables).fetchone()[0]:
        return own  # of a version that had none
    row = connection.execute(
        "SELECT body FROM entry WHERE kind = ? AND name = ?", (CLUSTER, UNSAFE)
    ).fetchone()
    return own if row is None else own.beside(decode_unsafe(row[0])[1])


def _numbers(connection: sqlite3.Connection, table: str) -> dict[str, int]:
    """Return the numbers of a table by name.

    Raises:
        DamagedRowError: one is not what was written.
    """
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    crc = "crc" if "crc" in columns else "NULL"  # of a version that had none
    query = f"SELECT name, value, {crc} FROM {table}"  # noqa: S608 - constants
    found = {}
    for name, number, seal in connection.execute(query).fetchall():
        require_sound((name,), (number,), seal)
        found[name] = number
    return found


def begin_generation(
    connection: sqlite3.Connection, known: Progress, *, sure: bool
) -> Progress:
    """Let a store go on behind everything that was given out, in restore mode.

    Args:
        connection: Of the store; the transaction is the caller's.
        known: How far the cluster had come.
        sure: Nothing was given out beyond that.

    Returns:
        Where it goes on.
    """
    own = progress_of(connection).beside(known)
    jobs, events = (0, 0) if sure else (JOBS_AHEAD, EVENTS_AHEAD)
    after = Progress(
        term=(generation_of(own.term) + 1) << GENERATION_BITS,
        next_job=own.next_job + jobs,
        # One more: a watcher that has seen the newest event there was must hear that
        # what follows is another history.
        last_seq=own.last_seq + events + 1,
    )
    counters = (
        ("term", after.term),
        ("next_job", after.next_job),
        (RESTORED_JOBS, after.next_job),
    )
    rows = [with_seal((name,), (number,)) for name, number in counters]
    connection.executemany(_PUT.format("counter"), rows)
    floor = with_seal((schema.FLOOR,), (after.last_seq,))
    connection.execute(_PUT.format("meta"), floor)
    connection.execute(_PUT.format("parameter"), sealed(("RestoreMode", "True")))
    connection.execute(
        "DELETE FROM entry WHERE kind = ? AND name = ?", (CLUSTER, UNSAFE)
    )
    return after
