"""Options of jobs and tasks: one set, of which each verb takes its part.

What exists for jobs and for tasks is the job's with ``new`` and ``submit``, the task's
with ``add`` (cli.md section 3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from hpcsched.cli.amounts import ARRAY, CORES
from hpcsched.cli.arguments import (
    CRITICAL,
    DURATION,
    JOBS_LIST,
    LIST,
    MEMORY,
    NODES,
    PAIR,
    PRIORITY,
    WHOLE,
)
from hpcsched.cli.moments import MOMENT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

F = TypeVar("F", bound="Callable[..., Any]")

_Option = tuple[tuple[str, ...], dict[str, Any]]

BOTH: Final[Sequence[_Option]] = (
    (("--name",), {"metavar": "TEXT", "help": "Name for people."}),
    (
        ("--cores",),
        {
            "type": CORES,
            "metavar": "MIN[-MAX]",
            "help": "Cores. With submit, also of its task: each element of a sweep "
            "gets MIN.",
        },
    ),
    (
        ("--sockets",),
        {
            "type": CORES,
            "metavar": "MIN[-MAX]",
            "help": "The same in whole sockets. With add, in a job sized in sockets.",
        },
    ),
    (
        ("--nodes",),
        {
            "type": CORES,
            "metavar": "MIN[-MAX]",
            "help": "The same in whole nodes. With add, in a job sized in nodes.",
        },
    ),
    (
        ("--runtime",),
        {
            "type": DURATION,
            "metavar": "DURATION",
            "help": "Wall-clock limit: a job over it is Canceled, a task Failed.",
        },
    ),
    (
        ("--valid-exit",),
        {
            "type": LIST,
            "multiple": True,
            "metavar": "0,3..5",
            "help": "Exit codes that count as success (0).",
        },
    ),
    (
        ("--env",),
        {
            "type": PAIR,
            "multiple": True,
            "metavar": "K=V",
            "help": "A variable of the tasks.",
        },
    ),
    (
        ("--label",),
        {"type": PAIR, "multiple": True, "metavar": "K=V", "help": "A pair of yours."},
    ),
)

JOB_ONLY: Final[Sequence[_Option]] = (
    (("--project",), {"metavar": "TEXT", "help": "Accounting label."}),
    (
        ("--priority",),
        {
            "type": PRIORITY,
            "metavar": "0..4000|NAME",
            "help": "Or lowest, belownormal, normal, abovenormal, highest, or one of "
            "them and a number: normal+100.",
        },
    ),
    (
        ("--template",),
        {"metavar": "NAME", "help": "Its defaults and limits hold (Default)."},
    ),
    (
        ("--mem",),
        {
            "type": MEMORY,
            "metavar": "SIZE",
            "help": "Memory of one process: no more of them go to a node than fit.",
        },
    ),
    (
        ("--group",),
        {
            "type": LIST,
            "multiple": True,
            "metavar": "GROUP,…",
            "help": "Only nodes of these groups.",
        },
    ),
    (
        ("--group-op",),
        {
            "type": click.Choice(["intersect", "uniform", "union"]),
            "help": "Nodes in all the groups (intersect), all from a single one of "
            "them (uniform), or in any (union).",
        },
    ),
    (
        ("--nodelist",),
        {
            "type": NODES,
            "multiple": True,
            "metavar": "NODES",
            "help": "The only nodes to use: n[01-16,20].",
        },
    ),
    (
        ("--exclude",),
        {
            "type": NODES,
            "multiple": True,
            "metavar": "NODES",
            "help": "Nodes not to use.",
        },
    ),
    (("--single-node",), {"is_flag": True, "help": "All on one node."}),
    (
        ("--order-by",),
        {
            "metavar": "ITEMS",
            "help": "Nodes to prefer: cores,memory (most first), with - least first.",
        },
    ),
    (("--exclusive",), {"is_flag": True, "help": "No other job on its nodes."}),
    (
        ("--can-preempt",),
        {"is_flag": True, "help": "Jobs of higher priority may take its cores."},
    ),
    (
        ("--run-until-canceled",),
        {"is_flag": True, "help": "Keep the cores when no task is left."},
    ),
    (
        ("--hold-until",),
        {
            "type": MOMENT,
            "metavar": "TIME",
            "help": "Start no sooner: 2026-01-31T18:00Z, 18:00 (local) or +2h.",
        },
    ),
    (
        ("--parent",),
        {
            "type": JOBS_LIST,
            "multiple": True,
            "metavar": "JOB,…",
            "help": "Start when these jobs have Finished.",
        },
    ),
    (
        ("--fail-on-task-failure",),
        {"is_flag": True, "help": "The first failed task fails the job."},
    ),
    (
        ("--prep",),
        {"metavar": "CMD", "help": "Shell line run first on each node of the job."},
    ),
    (
        ("--release",),
        {"metavar": "CMD", "help": "Shell line run on each node that is given back."},
    ),
    (
        ("--retries",),
        {
            "type": WHOLE,
            "metavar": "N",
            "help": "Reruns of tasks that fail by themselves.",
        },
    ),
)

ADD_ONLY: Final[Sequence[_Option]] = (
    (
        ("--nodelist",),
        {
            "type": NODES,
            "multiple": True,
            "metavar": "NODES",
            "help": "It gets cores on each of these nodes, and starts on the first.",
        },
    ),
    (
        ("--group",),
        {"metavar": "GROUP", "help": "It runs on nodes of this group only."},
    ),
    (
        ("--exclusive",),
        {
            "is_flag": True,
            "help": "No other task of the job on its nodes; the job is exclusive too.",
        },
    ),
)
"""What is the job's with ``new`` and ``submit``, and the task's with ``add``."""

TASK_ONLY: Final[Sequence[_Option]] = (
    (
        ("--array",),
        {
            "type": ARRAY,
            "metavar": "START-END[:STEP][%MAX]",
            "help": "A sweep; * in the command is the value, %MAX the most at once.",
        },
    ),
    (
        ("--each-line",),
        {
            "type": click.File("r", encoding="utf-8"),
            "metavar": "FILE",
            "help": "A sweep over the lines of a file; * is the line, HPC_LINE too.",
        },
    ),
    (
        ("--depends",),
        {
            "type": LIST,
            "multiple": True,
            "metavar": "NAME…",
            "help": "Names of tasks that must have ended before.",
        },
    ),
    (
        ("--type", "kind"),
        {
            "type": click.Choice(["basic", "sweep", "prep", "release", "service"]),
            "help": "Kind of the task. A service starts an instance whenever cores "
            "are free, until it is concluded.",
        },
    ),
    (
        ("--rerunnable/--no-rerunnable",),
        {"default": None, "help": "May it be run again (yes)?"},
    ),
    (
        ("--grace",),
        {
            "type": DURATION,
            "metavar": "DURATION",
            "help": "From the cancel signal to the kill.",
        },
    ),
    (
        ("--workdir",),
        {"metavar": "DIR", "help": "Where it starts (the current directory)."},
    ),
    (("--stdin",), {"metavar": "FILE", "help": "Standard input."}),
    (("--stdout",), {"metavar": "FILE", "help": "Standard output."}),
    (("--stderr",), {"metavar": "FILE", "help": "Standard error."}),
    (
        ("--critical",),
        {
            "type": CRITICAL,
            "metavar": "[=COUNT]",
            "help": "A failure of it (COUNT failed elements, instances) fails the job.",
        },
    ),
    (
        ("--shell",),
        {"metavar": "LINE", "help": "A shell command line in place of -- COMMAND."},
    ),
)

REQUEST_ID: Final[Sequence[_Option]] = (
    (
        ("--request-id",),
        {
            "type": click.UUID,
            "metavar": "UUID",
            "help": "Repeated, it has no second effect.",
        },
    ),
)

DRY_RUN: Final[Sequence[_Option]] = (
    (("--dry-run",), {"is_flag": True, "help": "Have it checked, change nothing."}),
)


def options(*groups: Sequence[_Option]) -> Callable[[F], F]:
    """Return a decorator that gives a verb these options, in this order."""

    def decorate(function: F) -> F:
        for names, settings in reversed([one for group in groups for one in group]):
            function = click.option(*names, **settings)(function)
        return function

    return decorate


def names_of(*groups: Sequence[_Option]) -> frozenset[str]:
    """Return the names under which a verb is given these options."""
    found = set()
    for names, _ in (one for group in groups for one in group):
        name = names[-1].split("/")[0].lstrip("-").replace("-", "_")
        found.add(name)
    return frozenset(found)
