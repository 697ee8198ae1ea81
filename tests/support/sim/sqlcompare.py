"""Whether the files of SQLite hold what was committed, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcsched.store.base import ClusterState
from hpcsched.store.history import HistoryQuery
from hpcsched.store.sql import sqlite
from hpcsched.store.sql.loading import JobLoader

if TYPE_CHECKING:
    import sqlite3

    from hpcsched.store.base import StoredJob
    from hpcsched.store.memory_state import MemoryState
    from hpcsched.store.sql.reads import Reads

MANY = 1 << 30
_LOADER = JobLoader(sqlite.dialect())


def differences(reader: sqlite3.Connection, reads: Reads, state: MemoryState) -> str:
    """Return the first thing that the two do not have in common; empty: none."""
    for name, found, known in _parts(reader, reads, state):
        if found != known:
            return f"{name}: SQLite has {_first(found, known)}"
    return ""


def _parts(reader: sqlite3.Connection, reads: Reads, state: MemoryState) -> Any:
    yield "cluster", reads.cluster(reader), _cluster(state)
    yield "floor", reads.floor(reader), state.floor_seq
    yield "events", list(reads.events(reader, 0, MANY, 0)), state.events
    found: dict[int, StoredJob] = {}
    while batch := _LOADER.load_after(reader, max(found, default=0)):
        found.update((job.row.job_id, job) for job in batch)
    known = {job_id: job.stored() for job_id, job in state.jobs.items()}
    yield "jobs", found, known
    for job_id, job in state.jobs.items():
        for key, output in job.outputs.items():
            yield "output", reads.output(reader, job_id, *key), output
    for (principal, request_id), row in state.requests.items():
        yield "request", reads.request(reader, principal, request_id), row
    count = reader.execute("SELECT count(*) FROM request").fetchone()[0]
    yield "requests", count, len(state.requests)
    query = HistoryQuery(limit=MANY)
    yield (
        "history",
        _rows(reads.books.job_history(reader, query)),
        _rows(state.books.job_history(query)),
    )
    yield (
        "allocations",
        _rows(reads.books.allocations(reader, query)),
        _rows(state.books.allocations(query)),
    )


def _cluster(state: MemoryState) -> ClusterState:
    return ClusterState(
        counters=dict(state.counters),
        parameters=dict(state.parameters),
        nodes=[state.nodes[key] for key in sorted(state.nodes)],
        tokens=[state.tokens[key] for key in sorted(state.tokens)],
        last_seq=state.last_seq,
        floor_seq=state.floor_seq,
        entries=dict(state.entries),
    )


def _rows(rows: Any) -> list[Any]:
    """Return rows without the number that each backend gives them."""
    return sorted((_bare(row) for row in rows), key=repr)


def _bare(row: Any) -> Any:
    names = [name for name in row.__slots__ if name != "history_id"]
    return tuple(getattr(row, name) for name in names)


def _first(found: Any, known: Any) -> str:
    if isinstance(found, list) and isinstance(known, list):
        for number, (one, other) in enumerate(zip(found, known, strict=False)):
            if one != other:
                return f"{number}: {one}, and memory {other}"
        return f"{len(found)} of {len(known)}: {(found or known)[-1]}"
    if isinstance(found, dict) and isinstance(known, dict):
        keys = [k for k in {**known, **found} if found.get(k) != known.get(k)]
        return f"{keys[0]}: {found.get(keys[0])}, and memory {known.get(keys[0])}"
    return f"{found}, and memory {known}"
