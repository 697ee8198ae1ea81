"""``--file``: a whole job in place of options."""

from __future__ import annotations

from typing import Any, Final

import click

from hpcsched.cli.spec_options import BOTH, JOB_ONLY, TASK_ONLY, names_of

FILE: Final[tuple[tuple[tuple[str, ...], dict[str, Any]], ...]] = (
    (
        ("--file",),
        {"metavar": "FILE", "help": "A job in XML, JSON or TOML (- is stdin)."},
    ),
)
#: Options that describe a job or its task; a job that exists takes none of them.
_SPEC_NAMES: Final = names_of(BOTH, JOB_ONLY, TASK_ONLY)


def refuse_spec_options(context: click.Context, source: str) -> None:
    """Refuse options that describe a job that is described elsewhere.

    Raises:
        click.UsageError: there is one.
    """
    given = [
        name
        for name in sorted(_SPEC_NAMES & context.params.keys())
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    ]
    if given:
        flag = "--type" if given[0] == "kind" else f"--{given[0].replace('_', '-')}"
        what = "a job that exists" if source == "JOB" else source
        raise click.UsageError(f"{flag} does not go with {what}")
