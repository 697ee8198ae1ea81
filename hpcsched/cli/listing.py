"""``--filter``, ``--sort`` and ``--columns`` of the verbs that list."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from hpcsched.cli.arguments import OLDEST_S

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from google.protobuf.message import Message

    from hpcsched.api.v1 import listing_pb2
    from hpcsched.cli.app import App
    from hpcsched.client.listing import Choice

F = TypeVar("F", bound="Callable[..., Any]")

NOTHING: Final = "null"
"""In a filter: it has no value."""

_FILTER: Final = r"\s*([\w.]+)\s*(!=|<=|>=|\^=|=|<|>)(.*)"
_OPERATORS: Final = {
    "=": "EQUAL",
    "!=": "NOT_EQUAL",
    "<": "LESS_THAN",
    "<=": "LESS_THAN_OR_EQUAL",
    ">": "GREATER_THAN",
    ">=": "GREATER_THAN_OR_EQUAL",
    "^=": "START_WITH",
}
_ALSO_EQUAL: Final = ("=", "!=")


def listing_options(command: F) -> F:
    """Add the options; the command gets ``filters``, ``sort`` and ``columns``."""
    for option in (
        click.option(
            "--columns",
            metavar="NAME,…",
            help="Show these properties, and nothing else.",
        ),
        click.option(
            "--sort",
            metavar="[-]NAME,…",
            help="Order; - is descending: --sort=-priority,submit_time.",
        ),
        click.option(
            "--filter",
            "filters",
            multiple=True,
            metavar="TEST",
            help="Only where NAME=VALUE[,VALUE…], also != < <= > >= and ^= (begins "
            "with); null is no value. Times may be ages: 'submit_time>1d'. "
            "Several must all hold.",
        ),
    ):
        command = option(command)
    return command


def choice_of(filters: Sequence[str], sort: str | None, columns: str | None) -> Choice:
    """Return what the options ask for.

    Raises:
        click.UsageError: a filter that is none.
    """
    from hpcsched.client.listing import EVERYTHING, Choice

    if not (filters or sort or columns):
        return EVERYTHING
    from hpcsched.api.v1 import listing_pb2

    keys = [
        listing_pb2.SortKey(
            property=name.removeprefix("-"), descending=name.startswith("-")
        )
        for name in _names(sort)
    ]
    return Choice(
        filters=[one for text in filters for one in _filters_of(text)],
        sort=keys,
        fields=[name.replace("-", "_") for name in _names(columns)],
    )


def _names(text: str | None) -> list[str]:
    return [name for name in (text or "").replace(" ", "").split(",") if name]


def _filters_of(text: str) -> list[listing_pb2.Filter]:
    from hpcsched.api.v1 import listing_pb2

    match = re.fullmatch(_FILTER, text, re.DOTALL)
    if match is None:
        raise click.UsageError(
            f"--filter {text!r} is not NAME=VALUE, such as state=queued,running, "
            "'priority>=3000' or end_time=null"
        )
    name, sign, value = match[1], match[2], match[3].strip()
    operators = listing_pb2.FilterOperator

    def one(operator: str, *values: str) -> listing_pb2.Filter:
        number = operators.Value(f"FILTER_OPERATOR_{operator}")
        return listing_pb2.Filter(property=name, operator=number, values=values)

    if value == NOTHING and sign in _ALSO_EQUAL:
        return [one("IS_NULL" if sign == "=" else "IS_NOT_NULL")]
    if name.lower().endswith("time"):
        value = _as_time(value)
    values = value.split(",") if sign in _ALSO_EQUAL else [value]
    if sign == "=" and len(values) > 1:
        return [one("IN", *values)]
    return [one(_OPERATORS[sign], each) for each in values]


def _as_time(text: str) -> str:
    """Return an age as the time that was so long ago; other texts are for the head."""
    from datetime import UTC, datetime

    from hpcsched.common.clock import SystemClock
    from hpcsched.common.units import UnitError, parse_duration

    try:
        age = min(parse_duration(text), OLDEST_S)
    except UnitError:
        return text
    moment = datetime.fromtimestamp(SystemClock().wall() - age, UTC)
    return moment.isoformat()


def print_columns(
    app: App, name: str, items: Sequence[Message], fields: Sequence[str], token: str
) -> None:
    """Print only some properties of what was listed."""
    from hpcsched.cli.shapes import to_dict

    rows = [_chosen(to_dict(item), fields) for item in items]
    if app.as_json:
        app.print_json({name: rows, "next_page_token": token})
        return
    from hpcsched.cli.tables import Table

    table = Table(columns=[field.upper() for field in fields])
    for row in rows:
        table.add(*(_cell(_inside(row, field)) for field in fields))
    app.print_table(table)


def _chosen(found: dict[str, Any], fields: Sequence[str]) -> dict[str, Any]:
    """Return only what was asked for: messages print their unset fields, too."""
    chosen: dict[str, Any] = {}
    for field in fields:
        path = field.split(".")
        source: Any = found
        target = chosen
        for step in path[:-1]:
            source = source.get(step, {})
            target = target.setdefault(step, {})
        if isinstance(source, dict) and path[-1] in source:
            target[path[-1]] = source[path[-1]]
    return chosen


def _inside(row: Any, field: str) -> Any:
    for step in field.split("."):
        row = row.get(step, "") if isinstance(row, dict) else ""
    return row


def _cell(value: Any) -> str:
    from hpcsched.cli.shapes import short

    if isinstance(value, list):
        return ",".join(map(_cell, value))
    if isinstance(value, dict):
        return ",".join(f"{name}={_cell(one)}" for name, one in value.items())
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    return short(text) if text.startswith("STATE_") else text
