"""A process that writes to a store and prints what it is told.

``python -m tests.support.store_writer PATH FIRST COUNT [--in-flight N] [--eager]``
commits jobs FIRST, FIRST + 1, … (COUNT 0: for ever), and prints ``open``,
``ack JOB SEQ``, ``fail JOB ERROR``, ``broken ERROR`` and ``closed``, one a line, as it
happens. With ``--eager`` the log is copied into the database after each transaction;
with ``--normal`` commits are acknowledged that were not synced.

``python -m tests.support.store_writer PATH --only-open`` opens it, and closes it.

``python -m tests.support.store_writer PATH --fill FILLER`` commits until the disk is
full, then goes on: see ``fill``.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from hpcsched.store.errors import StoreError, StoreFullError
from hpcsched.store.opener import open_store
from hpcsched.store.sql import sqlite, transactions
from hpcsched.store.sql.check import check
from tests.support.store_kit import a_delta, an_event, settle

if TYPE_CHECKING:
    import sqlite3

    from hpcsched.store.base import Delta
    from hpcsched.store.sql.store import SqlStore


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


async def commit(store: SqlStore, delta: Delta) -> int:
    answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    store.commit(delta, settle(answer))
    return await answer


def opened(path: Path) -> SqlStore | None:
    try:
        store = open_store(
            path,
            loop=asyncio.get_running_loop(),
            on_broken=lambda error: say("broken", type(error).__name__),
        )
    except StoreError as error:
        say("not opened", type(error).__name__)
        return None
    say("open")
    return store


async def write(path: Path, first: int, total: int, in_flight: int) -> None:
    store = opened(path)
    if store is None:
        return
    places = asyncio.Semaphore(in_flight)
    for job_id in range(first, first + total) if total else count(first):
        await places.acquire()

        def done(seq: int, error: BaseException | None, job_id: int = job_id) -> None:
            places.release()
            if error is None:
                say("ack", job_id, seq)
            else:
                say("fail", job_id, type(error).__name__)

        store.commit(a_delta(job_id), done)
    for _ in range(in_flight):
        await places.acquire()
    await store.close()
    say("closed")


async def only_open(path: Path) -> None:
    store = opened(path)
    if store is not None:
        await store.close()
        say("closed")


async def fill(path: Path, filler: Path) -> None:
    """Fill the disk, read, make room by removing the filler, write, check."""
    store = opened(path)
    assert store is not None
    written = 0
    try:
        while True:
            event = an_event(written + 1, 1, b"x" * 20_000)
            await commit(store, a_delta(written + 1, events=(event,)))
            written += 1
    except StoreFullError as error:
        say("full", error.errno, written)
    for _ in range(3):
        try:
            await commit(store, a_delta(written + 1, events=(event,)))
        except StoreFullError:
            say("still full")
    say("read", len(await store.read_events(0, 100_000)))
    filler.unlink()  # noqa: ASYNC240 - nobody else waits
    say("wrote", await commit(store, a_delta(written + 1)))
    await store.close()
    say("findings", check(path))


def be_careless() -> None:
    """Do not sync commits, as with ``synchronous=NORMAL``, to see what that costs."""
    real = sqlite.set_pragma

    def set_pragma(connection: sqlite3.Connection, name: str, value: int | str) -> None:
        real(connection, name, 1 if name == "synchronous" else value)

    sqlite.set_pragma = set_pragma


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("path", type=Path)
    parser.add_argument("first", type=int, nargs="?", default=1)
    parser.add_argument("count", type=int, nargs="?", default=0)
    parser.add_argument("--in-flight", type=int, default=1)
    parser.add_argument("--eager", action="store_true")
    parser.add_argument("--normal", action="store_true")
    parser.add_argument("--only-open", action="store_true")
    parser.add_argument("--fill", type=Path)
    given = parser.parse_args()
    if given.eager:
        transactions.IDLE_CHECKPOINT_ROWS = 1  # type: ignore[misc]
    if given.normal:
        be_careless()
    if given.fill:
        asyncio.run(fill(given.path, given.fill))
    elif given.only_open:
        asyncio.run(only_open(given.path))
    else:
        asyncio.run(write(given.path, given.first, given.count, given.in_flight))


if __name__ == "__main__":
    main()
