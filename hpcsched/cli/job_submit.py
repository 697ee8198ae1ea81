"""``hpc job submit`` and ``hpc run``: a job in one line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from hpcsched.cli.file_options import FILE, refuse_spec_options
from hpcsched.cli.spec_options import (
    BOTH,
    DRY_RUN,
    JOB_ONLY,
    REQUEST_ID,
    TASK_ONLY,
    options,
)
from hpcsched.cli.verbs import Verb, command_of, pass_app, takes_command

if TYPE_CHECKING:
    from uuid import UUID

    from hpcsched.cli.app import App
    from hpcsched.cli.submitting import Submission

_FOLLOW: Final = (
    (("--progress",), {"is_flag": True, "help": "Wait, with a live progress bar."}),
    (
        ("--cancel-on-interrupt",),
        {"is_flag": True, "help": "Ctrl-C cancels the job; otherwise it goes on."},
    ),
)
_WAIT: Final = (
    (("--wait",), {"is_flag": True, "help": "Wait until it has ended."}),
    (("--logs",), {"is_flag": True, "help": "Wait, and show what its tasks write."}),
)
_FILES: Final = (
    *FILE,
    (("--batch",), {"metavar": "FILE", "help": "Many jobs, one in JSON per line."}),
)


@click.command("submit", cls=Verb)
@click.argument("words", nargs=-1, metavar="[JOB… | [OPTIONS] -- COMMAND…]")
@options(BOTH, JOB_ONLY, TASK_ONLY, _FILES, _WAIT, _FOLLOW, REQUEST_ID, DRY_RUN)
@pass_app
@click.pass_context
@takes_command
def submit(
    context: click.Context, app: App, words: tuple[str, ...], **given: Any
) -> int:
    """Submit a job, and print its id.

    \b
    Either those that were made with `hpc job new` (of several all or none), or one
    of one task, or a file:
      hpc submit -- ./simulate --seed 1
      hpc submit --cores 4 --runtime 2h --name sim -- mpirun ./simulate
      hpc submit --array 1-100:2%10 -- ./simulate --seed '*'
      hpc submit --each-line inputs.txt -- ./convert '*'
      hpc submit --file job.toml --wait --progress
      hpc job submit 42 43

    \b
    Exit status with --wait, --progress or --logs: 0 Finished, 10 Failed,
    11 Canceled, 130 after Ctrl-C (the job goes on).
    """
    from hpcsched.cli.submitting import carry_out

    wanted = _submission(context, words, given)
    if given["dry_run"]:
        _check_only(app, wanted)
        return 0
    return carry_out(
        app,
        wanted,
        wait=given["wait"] or given["progress"] or given["logs"],
        logs=given["logs"],
        progress=given["progress"],
        cancel_on_interrupt=given["cancel_on_interrupt"],
    )


@click.command("run", cls=Verb)
@click.argument("words", nargs=-1, metavar="[JOB | [OPTIONS] -- COMMAND…]")
@options(BOTH, JOB_ONLY, TASK_ONLY, _FILES, _WAIT, _FOLLOW, REQUEST_ID, DRY_RUN)
@pass_app
@click.pass_context
@takes_command
def run(context: click.Context, app: App, words: tuple[str, ...], **given: Any) -> int:
    """Submit a job, show what its tasks write, and wait until it has ended.

    \b
    The job's id goes to stderr; stdout and stderr are the tasks' own:
      hpc run -- hostname
      hpc run --cores 4 -- make -j4
      hpc run --shell 'sort in | uniq -c > out'

    \b
    Exit status: of a job of one task that Failed because its process ended so,
    the process's own (128+n after signal n); otherwise 0 Finished, 10 Failed,
    11 Canceled. 130 after Ctrl-C: the job goes on, unless --cancel-on-interrupt.
    """
    from hpcsched.cli.submitting import carry_out

    wanted = _submission(context, words, given)
    if given["dry_run"]:
        _check_only(app, wanted)
        return 0
    return carry_out(
        app,
        wanted,
        wait=True,
        logs=True,
        progress=given["progress"],
        cancel_on_interrupt=given["cancel_on_interrupt"],
        own_status=True,
    )


def _submission(
    context: click.Context, words: tuple[str, ...], given: dict[str, Any]
) -> Submission:
    """Return what is to be submitted.

    Raises:
        click.UsageError: the command line names nothing, or several things.
    """
    command = command_of(context)
    sources = [
        name
        for name, there in (
            ("JOB", bool(words)),
            ("-- COMMAND", command is not None),
            ("--shell", given["shell"] is not None),
            ("--file", given.get("file") is not None),
            ("--batch", given.get("batch") is not None),
        )
        if there
    ]
    if words and not _is_job(words):
        quoted = " ".join(words)
        raise click.UsageError(f"write a command after --: … -- {quoted}")
    if len(sources) > 1:
        raise click.UsageError(f"give one of {' and '.join(sources)}, not both")
    request_id: UUID | None = given["request_id"]
    if words or sources in (["--file"], ["--batch"]):
        refuse_spec_options(context, sources[0])
    return _source(words, given, command, request_id)


def _is_job(words: tuple[str, ...]) -> bool:
    return all(word == "last" or word.isdecimal() for word in words)


def _source(
    words: tuple[str, ...],
    given: dict[str, Any],
    command: tuple[str, ...] | None,
    request_id: UUID | None,
) -> Submission:
    from hpcsched.cli.job_new import check_ranges, task_command
    from hpcsched.cli.jobfile import read_batch, read_job
    from hpcsched.cli.selectors import JOB
    from hpcsched.cli.specs import given_options, job_spec, task_spec
    from hpcsched.cli.submitting import Submission

    directory = Path.cwd()
    if words:
        if given.get("dry_run"):
            raise click.UsageError("--dry-run is for a job that does not exist yet")
        jobs = tuple(JOB.convert(word, None, None) for word in words)
        return Submission(jobs=jobs, request_id=request_id)
    if given.get("file") is not None:
        spec = read_job(given["file"], directory=directory)
        return Submission(specs=(spec,), request_id=request_id)
    if given.get("batch") is not None:
        specs = read_batch(given["batch"], directory=directory)
        return Submission(specs=specs, request_id=request_id, is_batch=True)
    vector = task_command(given, command)
    check_ranges(given)
    options_ = given_options(given)
    spec = job_spec(options_, directory=directory)
    task = task_spec(options_, vector, directory=directory, of_submit=True)
    # The command is task 1, whatever prepares its nodes.
    spec.tasks.insert(0, task)
    return Submission(specs=(spec,), request_id=request_id)


def _check_only(app: App, wanted: Submission) -> None:
    from hpcsched.cli.job_new import check_only

    check_only(app, *wanted.specs, submit=True)
