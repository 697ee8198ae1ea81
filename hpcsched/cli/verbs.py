"""Verbs and groups of verbs that are loaded when they are used.

Every verb and group takes the global options, so they may stand before or after the
verb; what stands last holds.
"""

from __future__ import annotations

import importlib
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import click

from hpcsched.cli.app import App
from hpcsched.cli.arguments import DURATION

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Where the command after ``--`` is kept in a context.
COMMAND_KEY: Final = "hpcsched.cli.command"

GLOBAL_NOTE: Final = (
    "Options of every verb (--address, --token-file, --json, --quiet, …): hpc --help"
)


@cache
def global_options(*, hidden: bool) -> tuple[click.Parameter, ...]:
    """Return the options that each verb takes (cli.md section 1): the same for all."""
    path = click.Path(exists=True, dir_okay=False)
    table: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
        (
            ("--address",),
            {
                "metavar": "HOST[:PORT]",
                "help": "The head; several, comma-separated, are tried in turn.",
            },
        ),
        (
            ("--token-file",),
            {"type": path, "metavar": "FILE", "help": "File with the token."},
        ),
        (("--ca",), {"type": path, "metavar": "FILE", "help": "TLS authorities."}),
        (("--cert",), {"type": path, "metavar": "FILE", "help": "TLS certificate."}),
        (("--key",), {"type": path, "metavar": "FILE", "help": "Its private key."}),
        (
            ("--rpc-timeout",),
            {
                "type": DURATION,
                "metavar": "DURATION",
                "help": "One call with its retries (60s).",
            },
        ),
        (
            ("--color",),
            {"type": click.Choice(["auto", "always", "never"]), "help": "Colours."},
        ),
        (("--json", "as_json"), {"is_flag": True, "help": "JSON on stdout."}),
        (("--quiet", "-q"), {"is_flag": True, "help": "Print ids only."}),
        (
            ("--verbose", "-v"),
            {"count": True, "help": "Tell more on stderr."},
        ),
    )
    return tuple(
        click.Option(
            list(names), expose_value=False, callback=_keep, hidden=hidden, **settings
        )
        for names, settings in table
    )


def _keep(context: click.Context, option: click.Parameter, value: Any) -> None:
    if value is None or value is False or value == 0 or option.name is None:
        return
    app = context.find_object(App)
    if app is None:
        return
    match option.name:
        case "as_json":
            app.as_json = True
        case "quiet":
            app.quiet = True
        case "verbose":
            app.verbose += value
        case name:
            setattr(app.options, name, value)


class Verb(click.Command):
    """A verb. What follows ``--`` is kept apart, as the command of a task."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend(global_options(hidden=True))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if getattr(self.callback, "takes_command", False) and "--" in args:
            cut = args.index("--")
            ctx.meta[COMMAND_KEY] = tuple(args[cut + 1 :])
            args = args[:cut]
        return super().parse_args(ctx, _with_values(args))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(ctx, formatter)
        formatter.write_paragraph()
        formatter.write(f"{GLOBAL_NOTE}\n")


def _with_values(args: list[str]) -> list[str]:
    """Give ``--critical`` without a count a value of its own.

    Otherwise it would take the next word, which may be the id of a job.
    """
    return ["--critical=yes" if arg == "--critical" else arg for arg in args]


def command_of(context: click.Context) -> tuple[str, ...] | None:
    """Return what followed ``--``; None without it."""
    found: tuple[str, ...] | None = context.meta.get(COMMAND_KEY)
    return found


#: What people type for a verb of `hpc job`.
OFTEN_MEANT: Final = {
    name: f"job {name}"
    for name in ("list", "show", "wait", "watch", "output", "cancel", "requeue", "why")
}


class VerbGroup(click.Group):
    """Verbs by name: (module, attribute, help line); a module is loaded on its use."""

    def __init__(
        self,
        *args: Any,
        lazy: Mapping[str, tuple[str, str, str]],
        hidden_globals: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = lazy
        self.params.extend(global_options(hidden=hidden_globals))

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = self._lazy.get(cmd_name)
        if entry is None:
            return None
        module, attribute, _ = entry
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)  # noqa: S101 - the tables are ours
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0] if args else ""
        command = self.get_command(ctx, name)
        if command is not None:
            return name, command, args[1:]
        if name.startswith("-"):
            raise click.NoSuchOption(name, ctx=ctx)
        known = [*self._lazy, *OFTEN_MEANT] if ctx.parent is None else [*self._lazy]
        import difflib

        found = difflib.get_close_matches(name, known, n=2, cutoff=0.6)
        similar = dict.fromkeys(OFTEN_MEANT.get(one, one) for one in found)
        sentence = f"no verb is called {name!r}"
        if similar:
            sentence += f"; did you mean {' or '.join(similar)}?"
        raise click.UsageError(sentence, ctx=ctx)

    def format_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        rows = [(name, text) for name, (_, _, text) in self._lazy.items()]
        with formatter.section("Verbs"):
            formatter.write_dl(rows)


def takes_command(function: Any) -> Any:
    """Mark a verb whose arguments after ``--`` are a command of the user's."""
    function.takes_command = True
    return function


pass_app = click.make_pass_decorator(App)
