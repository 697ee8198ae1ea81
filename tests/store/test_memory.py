"""What the store in memory does for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hpcsched.store.errors import StoreBrokenError, StoreFullError
from hpcsched.store.memory import MemoryStore
from tests.support.manual_clock import settle
from tests.support.store_kit import MemoryKit, a_delta

if TYPE_CHECKING:
    from collections.abc import Callable


async def test_held_commits_become_one_transaction_when_released() -> None:
    store = MemoryStore()
    told: list[int] = []
    store.hold()
    for job_id in (1, 2, 3):
        store.commit(a_delta(job_id), lambda seq, error: told.append(seq))
    await settle()

    assert told == []
    assert store.queued == 3
    store.release()
    await settle()
    assert told == [1, 2, 3]
    assert store.transactions == 1


async def test_a_crash_keeps_what_was_committed_and_answers_nobody() -> None:
    kit = MemoryKit()
    store = kit.store
    assert isinstance(store, MemoryStore)
    await kit.commit(a_delta(1))
    told: list[int] = []
    store.commit(a_delta(2), lambda seq, error: told.append(seq))
    after = store.crash()
    store.commit(a_delta(3), lambda seq, error: told.append(seq))
    await settle()

    assert told == []
    assert [e.job_id for e in await after.read_events(0, 10)] == [1]
    kit.store = after
    assert await kit.commit(a_delta(1, 2)) == 2
    assert [e.seq for e in await store.read_events(0, 10)] == [1]


async def test_an_injected_failure_fails_one_transaction() -> None:
    kit = MemoryKit()
    assert isinstance(kit.store, MemoryStore)
    kit.store.fail_next(StoreFullError("full"))

    with pytest.raises(StoreFullError):
        await kit.commit(a_delta(1))
    assert await kit.commit(a_delta(1)) == 1


async def test_a_broken_store_fails_every_later_commit_and_says_so_once() -> None:
    broken: list[BaseException] = []
    kit = MemoryKit()
    kit.store = MemoryStore(on_broken=broken.append)
    kit.store.fail_next(StoreBrokenError("EIO"))

    for _ in range(3):
        with pytest.raises(StoreBrokenError):
            await kit.commit(a_delta(1))
    assert len(broken) == 1


def test_a_simulation_decides_when_commits_are_written() -> None:
    later: list[Callable[[], None]] = []
    store = MemoryStore(schedule=later.append)
    told: list[int] = []
    store.commit(a_delta(1), lambda seq, error: told.append(seq))
    store.commit(a_delta(2), lambda seq, error: told.append(seq))

    assert told == []
    assert len(later) == 1
    later.pop()()
    assert told == [1, 2]
