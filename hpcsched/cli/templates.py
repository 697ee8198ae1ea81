"""``hpc template``: job templates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from hpcsched.cli.arguments import joined
from hpcsched.cli.problems import ProblemError
from hpcsched.cli.verbs import Verb, VerbGroup, pass_app
from hpcsched.common.units import UnitError, parse_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hpcsched.api.v1.template_service_pb2 import JobTemplate, TemplateRule
    from hpcsched.cli.app import App
    from hpcsched.client.api import Api

_HERE: Final = "hpcsched.cli.templates"
_VERBS: Final = {
    "list": (_HERE, "list_templates", "List templates."),
    "show": (_HERE, "show", "Show a template."),
    "create": (_HERE, "create", "Make a template."),
    "modify": (_HERE, "modify", "Change rules of a template."),
    "delete": (_HERE, "delete", "Delete templates."),
}
_RUNTIMES: Final = ("runtime", "runtimeseconds")


@click.command("template", cls=VerbGroup, lazy=_VERBS)
def template() -> None:
    """Job templates: defaults and limits that administrators give to jobs."""


def _rules(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say what a template is."""
    value = "NAME=VALUE"
    for option in (
        click.option(
            "--hide", multiple=True, metavar="NAME,…", help="Left out of forms."
        ),
        click.option(
            "--read-only",
            multiple=True,
            metavar="NAME,…",
            help="Always the default, whatever a user sets.",
        ),
        click.option(
            "--require",
            multiple=True,
            metavar="NAME,…",
            help="A job must have a value of its own or the default.",
        ),
        click.option(
            "--allow",
            multiple=True,
            metavar="NAME=V,…",
            help="The only values, or items of a list.",
        ),
        click.option("--max", "maxima", multiple=True, metavar=value, help="At most."),
        click.option("--min", "minima", multiple=True, metavar=value, help="At least."),
        click.option(
            "--default",
            "defaults",
            multiple=True,
            metavar=value,
            help="For jobs that do not set it.",
        ),
        click.option(
            "--user",
            "users",
            multiple=True,
            metavar="U,…",
            help="Only for these users (and administrators); all: for everybody.",
        ),
        click.option("--pool", metavar="POOL", help="Resource pool of its jobs."),
        click.option("--description", metavar="TEXT", help="What it is for."),
    ):
        command = option(command)
    return command


@click.command("list", cls=Verb)
@pass_app
def list_templates(app: App) -> None:
    """List templates by name."""

    async def work(client: Api) -> Sequence[JobTemplate]:
        return await client.templates.list()

    found = app.call(work)
    if app.as_json:
        from hpcsched.cli.shapes import to_dict

        app.print_json({"templates": [to_dict(one) for one in found]})
    elif app.quiet:
        for one in found:
            app.print(one.name)
    else:
        from hpcsched.cli.tables import Table

        table = Table(columns=("NAME", "USERS", "POOL", "RULES", "MEANING"))
        for one in found:
            users = ",".join(one.users) or "all"
            table.add(one.name, users, one.pool, len(one.rules), one.description)
        app.print_table(table)


@click.command("show", cls=Verb)
@click.argument("name", metavar="NAME")
@pass_app
def show(app: App, name: str) -> None:
    """Show a template with its rules."""

    async def work(client: Api) -> JobTemplate:
        return await client.templates.get(name)

    _print(app, app.call(work))


@click.command("create", cls=Verb)
@click.argument("name", metavar="NAME")
@_rules
@pass_app
def create(app: App, /, name: str, **options: Any) -> None:
    """Make a template (administrators).

    \b
      hpc template create short --default runtime=15m --max runtime=1h
      hpc template create gpu --user ada,bob --default node_groups=gpu \\
          --read-only node_groups --max max_nodes=4
      hpc submit --template short -- ./run
    """
    from hpcsched.api.v1.template_service_pb2 import JobTemplate

    wanted = _edited(JobTemplate(name=name), options)

    async def work(client: Api) -> JobTemplate:
        return await client.templates.set(wanted, create_only=True)

    _print(app, app.call(work))


@click.command("modify", cls=Verb)
@click.argument("name", metavar="NAME")
@_rules
@click.option(
    "--remove", multiple=True, metavar="NAME,…", help="Forget the rules of these."
)
@pass_app
def modify(app: App, /, name: str, remove: tuple[str, ...], **options: Any) -> None:
    """Change what is named, and leave the rest of a template (administrators).

    A rule that is named in several options has all of them; to take a part of a rule
    back, --remove it and state the rest again.
    """

    async def work(client: Api) -> JobTemplate:
        found = await client.templates.get(name)
        named = joined([_parts(text) for text in remove])
        gone = {_plain(one) for one in named}
        there = {_plain(rule.property): rule.property for rule in found.rules}
        for one in named:
            if _plain(one) not in there:
                rules = ", ".join(there.values()) or "none"
                problem = f"the template {name} has no rule of {one}; it has {rules}"
                raise ProblemError("RULE_NOT_FOUND", problem)
        kept = [rule for rule in found.rules if _plain(rule.property) not in gone]
        del found.rules[:]
        found.rules.extend(kept)
        return await client.templates.set(_edited(found, options))

    _print(app, app.call(work))


@click.command("delete", cls=Verb)
@click.argument("names", nargs=-1, required=True, metavar="NAME…")
@pass_app
def delete(app: App, names: tuple[str, ...]) -> None:
    """Delete templates; jobs that exist keep their values (administrators)."""

    async def work(client: Api) -> None:
        for name in names:
            await client.templates.delete(name)
            if not app.as_json:
                app.print(name if app.quiet else f"template {name} deleted")

    app.call(work)


def _edited(found: JobTemplate, options: dict[str, Any]) -> JobTemplate:
    if options["description"] is not None:
        found.description = options["description"]
    if options["pool"] is not None:
        found.pool = options["pool"]
    if options["users"]:
        users = joined([_parts(text) for text in options["users"]])
        del found.users[:]
        found.users.extend(() if users == ("all",) else users)
    for option, field in (
        ("defaults", "default_value"),
        ("minima", "minimum"),
        ("maxima", "maximum"),
    ):
        for text in options[option]:
            name, value = _pair(text, option)
            setattr(_rule(found, name), field, value)
    for text in options["allow"]:
        name, value = _pair(text, "allow")
        rule = _rule(found, name)
        del rule.allowed_values[:]
        rule.allowed_values.extend(_parts(value))
    for option, field in (
        ("require", "required"),
        ("read_only", "read_only"),
        ("hide", "hidden"),
    ):
        for name in joined([_parts(text) for text in options[option]]):
            setattr(_rule(found, name), field, True)
    return found


def _rule(found: JobTemplate, name: str) -> TemplateRule:
    for rule in found.rules:
        if _plain(rule.property) == _plain(name):
            return rule
    return found.rules.add(property=name)


def _plain(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _pair(text: str, option: str) -> tuple[str, str]:
    """Return name and value; a run time may have units, as everywhere."""
    name, sign, value = text.partition("=")
    if not (sign and name.strip()):
        raise click.UsageError(f"{text!r} is not NAME=VALUE ({option})")
    if _plain(name) in _RUNTIMES and not value.strip().isdigit():
        try:
            value = f"{parse_duration(value):.0f}"
        except UnitError as error:
            problem = f"{error.text!r} {error.problem}: {error.hint}"
            raise click.UsageError(problem) from None
    return name.strip(), value.strip()


def _print(app: App, found: JobTemplate) -> None:
    if app.as_json:
        app.print_message(found)
        return
    if app.quiet:
        app.print(found.name)
        return
    from hpcsched.cli.tables import Table, facts

    app.print(
        facts(
            [
                ("Name", found.name),
                ("Meaning", found.description),
                ("Users", ", ".join(found.users) or "all"),
                ("Pool", found.pool),
                ("Revision", found.revision),
            ]
        )
    )
    if not found.rules:
        return
    table = Table(columns=("PROPERTY", "DEFAULT", "LEAST", "MOST", "ALLOWED", "ALSO"))
    for rule in found.rules:
        also = [
            word
            for word, is_so in (
                ("required", rule.required),
                ("read-only", rule.read_only),
                ("hidden", rule.hidden),
            )
            if is_so
        ]
        table.add(
            rule.property,
            rule.default_value,
            rule.minimum,
            rule.maximum,
            ",".join(rule.allowed_values),
            ", ".join(also),
        )
    app.print_table(table)
