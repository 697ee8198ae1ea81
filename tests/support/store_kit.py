"""Deltas for tests of stores, and a store to put them in, whatever its backend."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hpcsched.store.base import Delta, EventRow, JobRow, RequestRow
from hpcsched.store.memory import MemoryStore
from hpcsched.store.opener import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from hpcsched.store.sql.store import SqlStore


def a_row(job_id: int = 1, **changes: Any) -> JobRow:
    """Return a queued job of ada's."""
    row = JobRow(
        job_id=job_id,
        owner="ada",
        name=f"job {job_id}",
        project="",
        state=5,
        priority=2000,
        create_time=1000.0 + job_id,
        submit_time=None,
        end_time=None,
        labels={},
        active=True,
        blob=b"blob",
    )
    return replace(row, **changes)


def an_ended_row(job_id: int, end_time: float, **changes: Any) -> JobRow:
    """Return a finished job."""
    return a_row(job_id, state=7, active=False, end_time=end_time, **changes)


def an_event(job_id: int = 1, revision: int = 1, body: bytes = b"event") -> EventRow:
    return EventRow(job_id=job_id, revision=revision, time=1.5, owner="ada", body=body)


def a_node_event(body: bytes = b"node") -> EventRow:
    return EventRow(job_id=0, revision=0, time=1.5, owner="", body=body)


def a_delta(job_id: int = 1, revision: int = 1, **parts: Any) -> Delta:
    """Return one event of a job with the row after it."""
    whole: dict[str, Any] = {
        "events": (an_event(job_id, revision),),
        "job": a_row(job_id),
    }
    return Delta(**{**whole, **parts})


def a_request(request_id: str = "r1", **changes: Any) -> RequestRow:
    row = RequestRow(
        principal="ada", request_id=request_id, digest=b"d", answer=b"a", time=10.0
    )
    return replace(row, **changes)


class StoreKit:
    """A store, opened, and the means to write to it and to open it again."""

    store: MemoryStore | SqlStore

    async def commit(self, delta: Delta) -> int:
        """Commit and wait; return the first number or raise the error."""
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.store.commit(delta, settle(answer))
        return await answer

    async def commit_together(self, *deltas: Delta) -> Sequence[int]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Sequence[int]] = loop.create_future()
        self.store.commit_together(deltas, settle(answer))
        return await answer

    async def reopen(self) -> None:
        """Close and open again, as a head that is restarted."""
        raise NotImplementedError


class MemoryKit(StoreKit):
    def __init__(self) -> None:
        self.store = MemoryStore()

    async def reopen(self) -> None:
        assert isinstance(self.store, MemoryStore)
        await self.store.close()
        self.store = self.store.crash()


class SqliteKit(StoreKit):
    def __init__(self, path: Path) -> None:
        self.path = path
        self.broken: list[BaseException] = []
        self.store: SqlStore = self._open()

    def _open(self) -> SqlStore:
        return open_store(
            self.path, loop=asyncio.get_running_loop(), on_broken=self.broken.append
        )

    async def reopen(self) -> None:
        await self.store.close()
        self.store = self._open()


def settle(answer: asyncio.Future[Any]) -> Callable[[Any, BaseException | None], None]:
    """Return a ``done`` that settles a future."""

    def done(value: Any, error: BaseException | None) -> None:
        if error is None:
            answer.set_result(value)
        else:
            answer.set_exception(error)

    return done
