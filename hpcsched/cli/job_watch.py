"""``hpc job wait``, ``watch`` and ``history``: jobs over time."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final, TypeVar

import click

from hpcsched.cli.arguments import DURATION, JOB_STATES
from hpcsched.cli.choosing import job_id_of, pick_jobs
from hpcsched.cli.lines import one_line
from hpcsched.cli.selectors import JOB, SELECTOR
from hpcsched.cli.verbs import Verb, pass_app

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hpcsched.api.v1 import job_pb2, watch_service_pb2
    from hpcsched.cli.app import App
    from hpcsched.cli.selectors import Selector
    from hpcsched.client import AsyncClient
    from hpcsched.client.api import Api

T = TypeVar("T")

#: A job that is being edited does not end by itself.
_WAITABLE: Final = frozenset(range(2, len(JOB_STATES) + 1))


@click.command("wait", cls=Verb)
@click.argument("jobs", type=SELECTOR, nargs=-1, required=True, metavar="SELECTOR…")
@click.option("--timeout", type=DURATION, metavar="DURATION", help="Not longer.")
@click.option("--progress", is_flag=True, help="Show counts, also where piped.")
@click.option("--cancel-on-interrupt", is_flag=True, help="Ctrl-C cancels the jobs.")
@pass_app
def wait(
    app: App,
    jobs: tuple[tuple[Selector, ...], ...],
    *,
    timeout: float | None,
    progress: bool,
    cancel_on_interrupt: bool,
) -> int:
    """Wait until jobs have ended.

    \b
    Exit status: 0 every job is Finished, 10 one Failed, 11 one was Canceled,
    5 the time ran out.
    """
    from hpcsched.cli.progress import open_progress
    from hpcsched.cli.waiting import (
        ending,
        interrupted,
        print_jobs,
        status_of_jobs,
        wait_for_jobs,
    )

    selectors = tuple(selector for group in jobs for selector in group)
    job_ids: list[int] = []
    ended: list[job_pb2.Job] = []
    lines = not (app.as_json or app.quiet)

    def note_end(job: job_pb2.Job) -> None:
        ended.append(job)
        if app.quiet and not app.as_json:
            app.print(job.id)
        elif lines:
            app.print(ending(job))

    async def work(client: AsyncClient) -> int:
        picks = await pick_jobs(client, selectors, _WAITABLE)
        job_ids.extend(dict.fromkeys(pick.job_id for pick in picks))
        with ExitStack() as stack:
            shown = None
            if job_ids and (progress or (lines and sys.stderr.isatty())):
                shown = stack.enter_context(open_progress(app))
            found = await wait_for_jobs(
                client, job_ids, timeout_s=timeout, progress=shown, ended=note_end
            )
        return status_of_jobs(found)

    try:
        return app.follow(work)
    except KeyboardInterrupt:
        return interrupted(app, job_ids, cancel=cancel_on_interrupt)
    finally:
        if app.as_json:
            print_jobs(app, ended)


@click.command("watch", cls=Verb)
@click.argument("job", type=JOB, metavar="JOB")
@pass_app
def watch(app: App, job: int) -> int:
    """See what happens to a job, from its first event until it has ended.

    \b
    With --json one event per line. It only looks: exit status 0, however the
    job ends.
    """

    async def work(client: AsyncClient) -> None:
        job_id = await job_id_of(client, job)
        with ExitStack() as stack:
            shown = None
            if sys.stderr.isatty() and not (app.as_json or app.quiet):
                from hpcsched.cli.progress import Bar

                shown = stack.enter_context(Bar(app))
            state = 0
            async for message in client.watch_job(job_id):
                print_stream(app, message)
                state = _state_after(message, state)
                if shown is not None and message.HasField("task_counts"):
                    shown.show(_seen(job_id, state, message))

    try:
        app.follow(work)
    except KeyboardInterrupt:
        from hpcsched.cli.problems import INTERRUPTED

        return INTERRUPTED
    return 0


@click.command("history", cls=Verb)
@click.argument("job", type=JOB, metavar="JOB")
@click.option("--ends", is_flag=True, help="Each end of the job, with what it used.")
@click.option("--allocations", is_flag=True, help="Which cores it held, and when.")
@pass_app
def history(app: App, job: int, *, ends: bool, allocations: bool) -> None:
    """Print what has happened to a job so far.

    \b
    Accounting outlives the job's record:
      hpc job history 42 --ends
      hpc job history 42 --allocations
    """
    if ends and allocations:
        raise click.UsageError("--ends and --allocations are two lists: give one")
    if ends or allocations:
        _accounting(app, job, ends=ends)
        return

    async def work(client: AsyncClient) -> None:
        job_id = await job_id_of(client, job)
        async for message in client.watch_job(job_id):
            caught_up = message.caught_up
            message.caught_up = False
            message.bookmark = False
            print_stream(app, message)
            if caught_up:
                return

    app.follow(work)


def _accounting(app: App, job: int, *, ends: bool) -> None:
    from hpcsched.cli import accounting

    if ends:
        page = app.call(lambda c: _of_job(c, job, accounting.ends_of))
        accounting.print_ends(app, page)
    else:
        held = app.call(lambda c: _of_job(c, job, accounting.allocations_of))
        accounting.print_allocations(app, held)


async def _of_job(
    client: Api,
    job: int,
    look: Callable[[Api, int], Awaitable[T]],
) -> T:
    return await look(client, await job_id_of(client, job))


def print_stream(
    app: App,
    message: watch_service_pb2.WatchResponse | watch_service_pb2.WatchJobResponse,
) -> None:
    """Print one message of a watch: JSON Lines, or lines for people."""
    if app.as_json:
        from hpcsched.cli.shapes import stream_lines

        for line in stream_lines(message):
            app.print(json.dumps(line, ensure_ascii=False))
        return
    from hpcsched.cli.event_lines import event_lines

    for event in message.events:
        for text in event_lines(event):
            app.print(one_line(text))


def _state_after(message: watch_service_pb2.WatchJobResponse, state: int) -> int:
    for event in message.events:
        for change in event.changes:
            if not change.task_id:
                state = change.state
    return state


def _seen(
    job_id: int, state: int, message: watch_service_pb2.WatchJobResponse
) -> job_pb2.Job:
    from hpcsched.api.v1 import job_pb2
    from hpcsched.cli.choosing import as_job_state

    return job_pb2.Job(
        id=job_id, state=as_job_state(state), task_counts=message.task_counts
    )
