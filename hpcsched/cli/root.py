"""``hpc``: its verbs, and what a command line comes to."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import click

from hpcsched.cli import problems
from hpcsched.cli.app import App
from hpcsched.cli.verbs import VerbGroup
from hpcsched.common.errors import HpcError

if TYPE_CHECKING:
    from collections.abc import Sequence

EPILOG: Final = """\
\b
Examples:
  hpc up --detach                       a cluster on this machine
  hpc run -- ./simulate --seed 1        run a command there, see its output
  hpc submit --array 1-100 -- ./sim '*' a sweep of 100 elements
  hpc job wait last                     until it has ended
  hpc job why 42                        why a job waits

\b
Ids: 42 a job, 42.3 a task, 42.3.17 an element of a sweep.
Selectors: last, 1-5, 1,3,7-9, all, state=failed, label:k=v.
Durations: 90s, 15m, 1h30m, 2d, 1:30:00.

\b
Exit status: 0 done; 1 refused or not found; 2 usage; 3 the head cannot be
reached; 4 not authenticated or not allowed; 5 wait --timeout ran out;
10 a job waited for Failed, 11 was Canceled; 130 Ctrl-C. `hpc run` of one
task that Failed ends with the task's own.
"""

#: The variable through which a shell's script asks for words.
COMPLETION_VARIABLE: Final = "_HPC_COMPLETE"

_VERBS: Final = {
    "up": ("hpcsched.cli.up", "up", "Start a cluster on this machine."),
    "down": ("hpcsched.cli.down", "down", "Stop it; its state is kept."),
    "demo": ("hpcsched.cli.demo", "demo", "Show what it does, with real work."),
    "submit": ("hpcsched.cli.job_submit", "submit", "Short for job submit."),
    "run": ("hpcsched.cli.job_submit", "run", "Submit, show the output, wait."),
    "job": ("hpcsched.cli.job", "job", "Jobs: submit, list, wait, cancel, …"),
    "task": ("hpcsched.cli.task", "task", "Tasks of a job."),
    "node": ("hpcsched.cli.node", "node", "Nodes of the cluster."),
    "pool": ("hpcsched.cli.pools", "pool", "What is guaranteed to whom."),
    "group": ("hpcsched.cli.group", "group", "Groups of nodes."),
    "template": ("hpcsched.cli.templates", "template", "Job templates."),
    "cluster": ("hpcsched.cli.cluster", "cluster", "The cluster and its parameters."),
    "events": ("hpcsched.cli.events", "events", "What happened, and what happens."),
    "token": ("hpcsched.cli.tokens", "token", "Tokens of users and nodes."),
    "completion": (
        "hpcsched.cli.completion",
        "completion",
        "Completion for bash, zsh or fish.",
    ),
}


def _print_version(context: click.Context, _: click.Parameter, value: object) -> None:
    if value:
        from importlib.metadata import version

        click.echo(f"hpc {version('hpcsched')}")
        context.exit()


@click.command(
    "hpc",
    cls=VerbGroup,
    lazy=_VERBS,
    hidden_globals=False,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version.",
)
def root() -> None:
    """Jobs, tasks and nodes of an hpcsched cluster."""


def run(argv: Sequence[str]) -> int:
    """Run one command line; return its exit status (cli.md section 5)."""
    app = App()
    as_json = "--json" in _before_command(argv)
    try:
        status = _invoke(argv, app)
    except (KeyboardInterrupt, click.Abort):
        return problems.INTERRUPTED
    except BrokenPipeError:
        from hpcsched.cli.main import close_pipe

        close_pipe()
        return problems.PIPE_CLOSED
    except (HpcError, problems.ProblemError, click.ClickException) as error:
        return _tell(error, as_json=as_json)
    except UnicodeEncodeError:
        return _tell(click.UsageError("an argument is no UTF-8 text"), as_json=as_json)
    finally:
        app.close()
    return _as_status(status)


def _invoke(argv: Sequence[str], app: App) -> object:
    """Find the verb and carry it out.

    Not by click's ``main``, which has ideas of its own about pipes and Ctrl-C.
    """
    instruction = os.environ.get(COMPLETION_VARIABLE, "")
    if instruction:
        from click.shell_completion import shell_complete

        return shell_complete(root, {}, "hpc", COMPLETION_VARIABLE, instruction)
    try:
        with root.make_context("hpc", list(argv), obj=app) as context:
            return root.invoke(context)
    except click.exceptions.Exit as end:
        return end.exit_code


def _tell(
    error: HpcError | problems.ProblemError | click.ClickException, *, as_json: bool
) -> int:
    if isinstance(error, HpcError):
        return problems.report_refusal(error, as_json=as_json)
    if isinstance(error, problems.ProblemError):
        return _report(error, as_json=as_json)
    return _report_usage(error, as_json=as_json)


def _as_status(result: object) -> int:
    return result if type(result) is int else problems.DONE


def _before_command(argv: Sequence[str]) -> Sequence[str]:
    return argv[: argv.index("--")] if "--" in argv else argv


def _report(problem: problems.ProblemError, *, as_json: bool) -> int:
    problems.report(
        problem.reason,
        str(problem),
        code=problem.code,
        hint=problem.hint,
        metadata=problem.metadata,
        as_json=as_json,
    )
    return problem.status


def _report_usage(error: click.ClickException, *, as_json: bool) -> int:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return problems.USAGE
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "hpc"
    problems.report(
        "USAGE",
        error.format_message(),
        code="INVALID_ARGUMENT",
        hint=f"{path} --help",
        as_json=as_json,
    )
    return problems.USAGE
