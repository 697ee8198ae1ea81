"""Submitting jobs, and staying with them until they have ended."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid5

from hpcsched.api.v1 import job_pb2, task_pb2
from hpcsched.cli.choosing import job_id_of
from hpcsched.cli.jobfile import calls_of
from hpcsched.cli.logs import Follower
from hpcsched.cli.problems import JOB_FAILED, note
from hpcsched.cli.progress import open_progress
from hpcsched.cli.shapes import listing
from hpcsched.cli.waiting import ending, interrupted, status_of_jobs, wait_for_jobs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcsched.cli.app import App
    from hpcsched.client import AsyncClient
    from hpcsched.client.api import Api

#: Ends of a process that are its own doing; others did not come from the program.
_OWN_ENDS: Final = frozenset(
    {
        task_pb2.END_REASON_EXITED,
        task_pb2.END_REASON_SIGNALED,
        task_pb2.END_REASON_OUT_OF_MEMORY,
    }
)
_HELPERS: Final = frozenset(
    {task_pb2.TASK_TYPE_NODE_PREP, task_pb2.TASK_TYPE_NODE_RELEASE}
)

#: Failed tasks of a job whose messages are shown.
MOST_REASONS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What to submit.

    Attributes:
        specs: New jobs; empty for those that exist.
        jobs: Those that exist, as a selector has them.
        request_id: Of the call, if one was given.
        is_batch: Many jobs: the answer is a list, even of one.
    """

    specs: Sequence[job_pb2.JobSpec] = ()
    jobs: tuple[int, ...] = ()
    request_id: UUID | None = None
    is_batch: bool = False


def carry_out(
    app: App,
    wanted: Submission,
    *,
    wait: bool,
    logs: bool,
    progress: bool,
    cancel_on_interrupt: bool,
    own_status: bool = False,
) -> int:
    """Submit, and wait if that is wanted; return the exit status."""
    job_ids: list[int] = []

    async def submit(client: Api) -> int:
        await _submit(app, client, wanted, job_ids, to_stderr=logs)
        return 0

    async def work(client: AsyncClient) -> int:
        await submit(client)
        with ExitStack() as stack:
            shown = None
            if progress:
                shown = stack.enter_context(open_progress(app, plain=logs))
            if logs:
                jobs = []
                for job_id in job_ids:
                    follower = Follower(client, job_id)
                    jobs.append(await follower.run(*([shown.show] if shown else [])))
            else:
                jobs = list(await wait_for_jobs(client, job_ids, progress=shown))
        if own_status and len(jobs) == 1:
            return await _own_status(client, jobs[0])
        return await _tell(client, jobs)

    try:
        return app.follow(work) if wait else app.call(submit)
    except KeyboardInterrupt:
        return interrupted(app, job_ids, cancel=cancel_on_interrupt)


async def _submit(
    app: App,
    client: Api,
    wanted: Submission,
    job_ids: list[int],
    *,
    to_stderr: bool,
) -> None:
    """Submit, and print each id as soon as it is known."""
    if len(wanted.jobs) > 1:
        ids = [await job_id_of(client, job) for job in wanted.jobs]
        await client.jobs.submit_drafts(ids, request_id=_call_id(wanted, 0))
        job_ids.extend(ids)
        _print_ids(app, ids, to_stderr=to_stderr)
        if app.as_json and not to_stderr:
            await _print_jobs(app, client, ids, is_batch=True)
        return
    if not wanted.specs:
        job_id = await job_id_of(client, *wanted.jobs)
        job = await client.jobs.submit(job_id, request_id=_call_id(wanted, 0))
        job_ids.append(job_id)
        _print_ids(app, [job_id], to_stderr=to_stderr)
        if app.as_json and not to_stderr:
            app.print_message(job)
        return
    try:
        for number, specs in enumerate(calls_of(wanted.specs)):
            found = await client.jobs.submit_all(
                specs, request_id=_call_id(wanted, number)
            )
            job_ids.extend(found)
            _print_ids(app, found, to_stderr=to_stderr)
    finally:
        if app.as_json and not to_stderr and job_ids:
            await _print_jobs(app, client, job_ids, is_batch=wanted.is_batch)


def _call_id(wanted: Submission, number: int) -> str:
    """Return the request id of the n-th call: the same ones each time."""
    if wanted.request_id is None:
        return ""
    first = wanted.request_id
    return str(uuid5(first, str(number)) if number else first)


def _print_ids(app: App, job_ids: Sequence[int], *, to_stderr: bool) -> None:
    if to_stderr:
        for job_id in job_ids:
            sys.stderr.write(f"{job_id}\n")
        sys.stderr.flush()
    elif not app.as_json:
        app.print("\n".join(str(job_id) for job_id in job_ids))


async def _print_jobs(
    app: App, client: Api, job_ids: Sequence[int], *, is_batch: bool
) -> None:
    if not is_batch:
        app.print_message(await client.jobs.get(job_ids[0]))
        return
    page = await client.jobs.list(
        min_id=min(job_ids), max_id=max(job_ids), ascending=True
    )
    found = {job.id: job for job in page.items}
    jobs = [found[job_id] for job_id in job_ids if job_id in found]
    app.print_json(listing("jobs", jobs))


async def _tell(client: Api, jobs: Sequence[job_pb2.Job]) -> int:
    """Say on stderr which jobs did not finish, and why; return the exit status."""
    for job in jobs:
        if job.state != job_pb2.Job.STATE_FINISHED:
            note(ending(job))
        if job.state == job_pb2.Job.STATE_FAILED:
            await _tell_why(client, job)
    return status_of_jobs(jobs)


async def _tell_why(client: Api, job: job_pb2.Job) -> None:
    """Say what went wrong in the first tasks that failed."""
    failed = (task_pb2.Task.STATE_FAILED,)
    page = await client.tasks.list(job.id, states=failed, limit=MOST_REASONS)
    for task in page.items:
        if task.error_message:
            element = f".{task.instance_id}" if task.instance_id else ""
            name = f"{job.id}.{task.task_id}{element}"
            note(f"task {name} Failed: {task.error_message}")


async def _own_status(client: Api, job: job_pb2.Job) -> int:
    """Return the exit status of ``hpc run``: the task's own, where there is one."""
    if job.state != job_pb2.Job.STATE_FAILED or job.task_counts.total != 1:
        return await _tell(client, [job])
    page = await client.tasks.list(job.id, elements=True)
    tasks = [task for task in page.items if task.type not in _HELPERS]
    if len(tasks) == 1:
        task = tasks[0]
        if task.end_reason in _OWN_ENDS and task.exit_code:
            if task.exit_code > 128:  # noqa: PLR2004 - a signal is worth a word
                note(ending(job))
            return task.exit_code
    await _tell(client, [job])
    return JOB_FAILED
