"""``hpc demo``: a cluster, real work, figures, and nothing left behind."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import tempfile
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from hpcsched.cli.problems import JOB_FAILED, note
from hpcsched.cli.verbs import Verb, pass_app
from hpcsched.common.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcsched.api.v1 import job_pb2, task_pb2
    from hpcsched.cli.app import App
    from hpcsched.cli.local.starting import Running

NODES: Final = 3
CORES: Final = 2
PROGRAM: Final = Path(__file__).with_name("demo_tile.py")


@click.command("demo", cls=Verb)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where the picture goes (a temporary directory).",
)
@pass_app
def demo(app: App, *, out: Path | None) -> int:
    """Show a cluster at work: start one of 3 nodes, render a picture, stop it.

    One job: each node is prepared, a sweep renders the picture in tiles, a task
    that depends on it joins them, and each node is cleaned up.
    """
    if out is not None and not os.access(out.absolute().parent, os.W_OK | os.X_OK):
        raise click.UsageError(f"--out: no file can be made in {out.absolute().parent}")
    work = Path(tempfile.mkdtemp(prefix="hpc-demo-"))
    picture = (out or work / "mandelbrot.png").absolute()
    try:
        status = app.run(_demo(app, work, picture))
    except BaseException:
        with suppress(OSError):
            if not (work / "up" / "log").exists():
                shutil.rmtree(work)
        raise
    shutil.rmtree(work / "up", ignore_errors=True)
    shutil.rmtree(work / "tiles", ignore_errors=True)
    with suppress(OSError):
        work.rmdir()  # where the picture is not in it
    return status


async def _demo(app: App, work: Path, picture: Path) -> int:
    from hpcsched.cli.local.layout import Layout, Plan
    from hpcsched.cli.local.starting import Starter
    from hpcsched.cli.local.stopping import stop

    layout = Layout(work / "up")
    layout.make(NODES)
    tiles = work / "tiles"
    tiles.mkdir()
    clock = SystemClock()
    started = clock.mono()
    _say(app, f"Starting a cluster of {NODES} nodes in {layout.root} …")
    try:
        plan = Plan(nodes={f"n{n}": CORES for n in range(1, NODES + 1)})
        running = await Starter(layout, clock).start(plan)
        _say(app, f"It takes work after {clock.mono() - started:.1f} s.")
        return await _render(app, running, tiles, picture)
    finally:
        await stop(layout, clock, grace_s=0)


async def _render(app: App, running: Running, tiles: Path, picture: Path) -> int:
    from hpcsched.cli.progress import open_progress
    from hpcsched.cli.settings import Settings, open_client
    from hpcsched.cli.waiting import ending, wait_for_jobs

    settings = Settings(
        address=running.address,
        token_file=str(running.token_file),
        ca="",
        cert="",
        key="",
        rpc_timeout_s=60.0,
    )
    async with open_client(settings) as client:
        (job_id,) = await client.jobs.submit_all([_spec(tiles, picture)])
        _say(app, f"Job {job_id}: a picture in tiles, then put together.")
        with open_progress(app) as progress:
            (job,) = await wait_for_jobs(client, [job_id], progress=progress)
        page = await client.tasks.list(job_id, elements=True)
    if job.state != job.STATE_FINISHED:
        note(ending(job))
        for task in page.items:
            if task.state == task.STATE_FAILED:
                note(f"task {task.task_id}.{task.instance_id}: {task.error_message}")
        return JOB_FAILED
    _tell(app, job, page.items, picture)
    return 0


def _spec(tiles: Path, picture: Path) -> job_pb2.JobSpec:
    from hpcsched.api.v1 import job_pb2, task_pb2
    from hpcsched.cli.demo_tile import TILES

    program = [sys.executable, "-I", "-S", str(PROGRAM)]

    def step(*arguments: str) -> list[str]:
        return [*program, *arguments]

    return job_pb2.JobSpec(
        name="mandelbrot",
        client_source="hpc demo",
        tasks=[
            task_pb2.TaskSpec(
                type=task_pb2.TASK_TYPE_NODE_PREP,
                command_line=shlex.join(step("prepare", str(tiles))),
                work_directory=str(tiles),
            ),
            task_pb2.TaskSpec(
                name="tiles",
                arguments=step("tile", str(tiles), "*"),
                end_value=TILES,
                work_directory=str(tiles),
            ),
            task_pb2.TaskSpec(
                name="picture",
                arguments=step("join", str(tiles), str(picture)),
                depends_on=["tiles"],
                work_directory=str(tiles),
            ),
            task_pb2.TaskSpec(
                type=task_pb2.TASK_TYPE_NODE_RELEASE,
                command_line=shlex.join(step("clean", str(tiles))),
                work_directory=str(tiles),
            ),
        ],
    )


def _say(app: App, text: str) -> None:
    if not (app.as_json or app.quiet):
        app.print(text)


def _tell(
    app: App, job: job_pb2.Job, tasks: Sequence[task_pb2.Task], picture: Path
) -> None:
    """Print the figures of the job."""
    seconds = (job.end_time.ToMilliseconds() - job.start_time.ToMilliseconds()) / 1000
    count = job.task_counts.finished
    rate = count / seconds if seconds > 0 else 0.0
    per_node = Counter(
        task.nodes[0] for task in tasks if task.nodes and task.name in _COUNTED
    )
    nodes = dict(sorted(per_node.items()))
    if app.as_json:
        app.print_json(
            {
                "picture": str(picture),
                "tasks": count,
                "seconds": round(seconds, 3),
                "tasks_per_second": round(rate, 1),
                "nodes": nodes,
            }
        )
    elif app.quiet:
        app.print(picture)
    else:
        shares = ", ".join(f"{name} ran {number}" for name, number in nodes.items())
        app.print(f"{count} tasks in {seconds:.1f} s, {rate:.1f} tasks/s: {shares}.")
        app.print(f"The picture is {picture}")


_COUNTED: Final = frozenset({"tiles", "picture"})
