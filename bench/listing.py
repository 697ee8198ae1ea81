"""How fast lists of many jobs are: ``python bench/listing.py [--jobs N]``.

Fills a store with jobs, and asks the head's own front door for whole lists and pages.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

from hpcsched.core.job import codec
from hpcsched.core.job.decide import new_job
from hpcsched.core.job.spec import JobSpec
from hpcsched.core.job.terms import terms_of
from hpcsched.core.listing.conditions import Operator, condition
from hpcsched.core.listing.ordering import sort_key
from hpcsched.core.listing.properties import JOB_PROPERTIES
from hpcsched.core.settings import Settings
from hpcsched.core.task.spec import TaskSpec
from hpcsched.runtime.turns import job_row
from hpcsched.store.base import Delta, EventRow, JobQuery, JobSearch
from hpcsched.store.opener import open_store
from hpcsched.store.sql.store import SqlStore

OWNERS = 50
STATES = (6, 8, 8, 8, 9, 10)
PAGE = 1000


def a_delta(job_id: int) -> Delta:
    """Return a small job as a head would store it."""
    task = TaskSpec(arguments=("/bin/true",))
    spec = JobSpec(name=f"run {job_id % 977}", priority=job_id * 7919 % 4001)
    owner = f"user{job_id % OWNERS}"
    job, _ = new_job(job_id, owner, spec, (task,), float(job_id), Settings())
    row = job_row(job)
    event = EventRow(job_id=job_id, revision=1, time=1.0, owner=owner, body=b"e" * 80)
    return Delta(
        events=[event],
        job=replace(row, state=STATES[job_id % 6]),
        specs={0: codec.encode_spec(spec), 1: codec.encode_spec(task)},
        terms=terms_of(job),
    )


def _told(
    done: asyncio.Future[BaseException | None],
    _: object,
    error: BaseException | None,
) -> None:
    done.set_result(error)


async def fill(store: SqlStore, jobs: int) -> None:
    """Write that many jobs."""
    loop = asyncio.get_running_loop()
    for first in range(1, jobs + 1, 5000):
        done = loop.create_future()
        deltas = [a_delta(n) for n in range(first, min(first + 5000, jobs + 1))]
        store.commit_together(deltas, partial(_told, done))
        if error := await done:
            raise error


def searches() -> dict[str, JobSearch]:
    """Return what is measured."""

    def search(sort: str = "", *filters: tuple[str, Operator, str]) -> JobSearch:
        return JobSearch(
            query=JobQuery(limit=PAGE),
            conditions=[
                condition(JOB_PROPERTIES, name, operator, [text], "f")
                for name, operator, text in filters
            ],
            sort=[
                sort_key(JOB_PROPERTIES, n.lstrip("-"), descending=n.startswith("-"))
                for n in sort.split(",")
                if n
            ],
        )

    return {
        "priority > 3000": search("", ("priority", Operator.GREATER_THAN, "3000")),
        "name begins with": search("", ("name", Operator.START_WITH, "run 97")),
        "nobody's": search("", ("user_name", Operator.EQUAL, "eve")),
        "by priority": search("-priority"),
        "by owner, priority": search("owner,-priority"),
        "by a term": search("-runtime,name"),
    }


async def measure(jobs: int, directory: Path) -> None:
    """Fill, ask, print."""
    store = open_store(
        directory / "hpcsched.sqlite3",
        loop=asyncio.get_running_loop(),
        on_broken=lambda _: None,
    )
    await fill(store, jobs)
    print(f"{jobs} jobs; the whole list in pages of {PAGE}, and a first page:")
    begin = time.perf_counter()
    after, count = 0, 0
    while rows := await store.list_jobs(JobQuery(limit=PAGE, after_id=after)):
        after, count = rows[-1].job_id, count + len(rows)
    print(
        f"{'by id, all pages':<28} {count:>7} jobs {time.perf_counter() - begin:8.3f} s"
    )
    for name, search in searches().items():
        begin = time.perf_counter()
        first = await store.search_jobs(search)
        spent = time.perf_counter() - begin
        print(f"{name + ', a page':<28} {len(first):>7} jobs {spent:8.3f} s")
    await store.close()


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=100_000)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(measure(arguments.jobs, Path(directory)))


if __name__ == "__main__":
    main()
