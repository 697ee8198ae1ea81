"""Verbs that change jobs: cancel, finish, requeue, hold, release, clone, forget.

States in which each can act on a job: lifecycle.md section 3.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

import click

from hpcsched.cli.arguments import JOB_STATES
from hpcsched.cli.choosing import StoppedError, act_on_jobs, pick_jobs
from hpcsched.cli.moments import MOMENT
from hpcsched.cli.problems import note
from hpcsched.cli.selectors import SELECTOR
from hpcsched.cli.verbs import Verb, pass_app

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence

    from hpcsched.api.v1 import job_pb2
    from hpcsched.cli.app import App
    from hpcsched.cli.selectors import Selector
    from hpcsched.client.api import Api
    from hpcsched.common.errors import HpcError

    Jobs = tuple[tuple[Selector, ...], ...]
    Act = Callable[[Api, Sequence[int]], Awaitable[object]]


def _states(*names: str) -> frozenset[int]:
    return frozenset(JOB_STATES.index(name) + 1 for name in names)


_ALL: Final = frozenset(range(1, len(JOB_STATES) + 1))
_ENDED: Final = _states("finished", "failed", "canceled")
_CANCELABLE: Final = _ALL - _ENDED - _states("finishing", "canceling")
_FORCIBLE: Final = _CANCELABLE | _states("canceling")
_FINISHABLE: Final = _states("queued", "running")
_REQUEUEABLE: Final = _states("running", "failed", "canceled")
_CONFIGURABLE: Final = _states("canceled", "failed", "queued", "submitted")

#: Of so many jobs a terminal is told how far it is.
MANY: Final = 1_000

_HOLDABLE: Final = _states("queued")

_jobs = click.argument(
    "jobs", type=SELECTOR, nargs=-1, required=True, metavar="SELECTOR…"
)
_message = click.option(
    "--message", default="", metavar="TEXT", help="Why; the job's error_message."
)
_force = click.option(
    "--force", is_flag=True, help="No grace period, no release tasks."
)
_graceful = click.option(
    "--graceful", is_flag=True, help="Let running tasks end by themselves."
)


def _run(app: App, jobs: Jobs, allowed: Collection[int], act: Act) -> int:
    """Carry out a verb; print the jobs as they are after it."""
    done, refusal = _carry_out(app, jobs, allowed, act, read_back=True)
    from hpcsched.cli.waiting import print_jobs

    print_jobs(app, done)
    if refusal is not None:
        raise refusal
    return 0


def _carry_out(
    app: App, jobs: Jobs, allowed: Collection[int], act: Act, *, read_back: bool
) -> tuple[Sequence[job_pb2.Job], HpcError | None]:
    selectors = tuple(selector for group in jobs for selector in group)

    async def work(
        client: Api,
    ) -> tuple[Sequence[job_pb2.Job], HpcError | None]:
        from hpcsched.api.v1 import job_pb2
        from hpcsched.cli.waiting import jobs_now

        picks = await pick_jobs(client, selectors, allowed)
        refusal = None
        try:
            done = await act_on_jobs(picks, lambda ids: act(client, ids), _tell)
        except StoppedError as stop:
            done, refusal = stop.done, stop.refusal
        if read_back:
            return await jobs_now(client, dict.fromkeys(done)), refusal
        return [job_pb2.Job(id=job_id) for job_id in done], refusal

    return app.call(work)


def _tell(done: int, count: int) -> None:
    """Say on a terminal how far it is, where that may take a while."""
    if count > MANY and sys.stderr.isatty():
        note(f"{done} of {count} jobs done")


def _check_kinds(*, force: bool, graceful: bool) -> None:
    if force and graceful:
        raise click.UsageError("give either --force or --graceful, not both")


@click.command("cancel", cls=Verb)
@_jobs
@_message
@_force
@_graceful
@pass_app
def cancel(app: App, jobs: Jobs, *, message: str, force: bool, graceful: bool) -> int:
    """Cancel jobs, in the order given; stop at the first refusal.

    \b
    Running tasks get a signal and their grace period, then node release tasks
    run. It returns when the change is recorded; `hpc job wait` waits for the end.
      hpc job cancel 42 --message 'wrong input'
      hpc job cancel state=queued

    \b
    Exit status: 0 if every job was told to stop, 1 at the first refusal.
    """
    _check_kinds(force=force, graceful=graceful)

    def act(client: Api, job_ids: Sequence[int]) -> Awaitable[object]:
        return client.jobs.cancel(
            job_ids, message=message, force=force, graceful=graceful
        )

    return _run(app, jobs, _FORCIBLE if force else _CANCELABLE, act)


@click.command("finish", cls=Verb)
@_jobs
@_message
@_force
@_graceful
@pass_app
def finish(app: App, jobs: Jobs, *, message: str, force: bool, graceful: bool) -> int:
    """End queued or running jobs as Finished; stop at the first refusal."""
    _check_kinds(force=force, graceful=graceful)

    def act(client: Api, job_ids: Sequence[int]) -> Awaitable[object]:
        return client.jobs.finish(
            job_ids, message=message, force=force, graceful=graceful
        )

    return _run(app, jobs, _FINISHABLE, act)


@click.command("requeue", cls=Verb)
@_jobs
@pass_app
def requeue(app: App, jobs: Jobs) -> int:
    """Queue running, failed or canceled jobs again; stop at the first refusal."""
    return _run(app, jobs, _REQUEUEABLE, lambda c, job_ids: c.jobs.requeue(job_ids))


@click.command("configure", cls=Verb)
@_jobs
@pass_app
def configure(app: App, jobs: Jobs) -> int:
    """Take jobs back to Configuring; stop at the first refusal."""
    return _run(app, jobs, _CONFIGURABLE, lambda c, job_ids: c.jobs.configure(job_ids))


@click.command("hold", cls=Verb)
@_jobs
@click.option(
    "--until",
    type=MOMENT,
    metavar="TIME",
    help="It ends by itself then: 2026-01-31T18:00Z, 18:00 or +2h. Without: release.",
)
@pass_app
def hold(app: App, jobs: Jobs, *, until: float | None) -> int:
    """Hold queued jobs back; stop at the first refusal.

    \b
    A held job starts no sooner, and holds back nobody. When its time has come
    it competes like any other.
      hpc job hold 42
      hpc job hold state=queued --until 18:00
    """
    return _run(app, jobs, _HOLDABLE, lambda c, ids: c.jobs.hold(ids, until=until))


@click.command("release", cls=Verb)
@_jobs
@pass_app
def release(app: App, jobs: Jobs) -> int:
    """Let held jobs go; stop at the first refusal."""
    return _run(app, jobs, _HOLDABLE, lambda c, ids: c.jobs.release(ids))


@click.command("clone", cls=Verb)
@_jobs
@pass_app
def clone(app: App, jobs: Jobs) -> int:
    """Copy jobs into new ones that are Configuring; print the new ids."""
    selectors = tuple(selector for group in jobs for selector in group)
    copies: list[Any] = []

    async def work(client: Api) -> None:
        for pick in await pick_jobs(client, selectors, _ALL):
            copies.append(await client.jobs.clone(pick.job_id))  # noqa: PERF401 - what was done is kept

    try:
        app.call(work)
    finally:
        if app.as_json:
            from hpcsched.cli.shapes import listing

            app.print_json(listing("jobs", copies))
        else:
            for job in copies:
                app.print(job.id)
    return 0


@click.command("forget", cls=Verb)
@_jobs
@pass_app
def forget(app: App, jobs: Jobs) -> int:
    """Delete the records of jobs that have ended, before their time."""
    gone, refusal = _carry_out(
        app, jobs, _ENDED, lambda c, job_ids: c.jobs.forget(job_ids), read_back=False
    )
    if app.as_json:
        app.print_json({"job_ids": [job.id for job in gone]})
    else:
        for job in gone:
            app.print(job.id if app.quiet else f"job {job.id} forgotten")
    if refusal is not None:
        raise refusal
    return 0
