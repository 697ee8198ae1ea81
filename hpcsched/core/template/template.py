"""A job template as a value."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from hpcsched.common.errors import HpcError
from hpcsched.core.template.properties import KINDS, ORDERED, Kind, find, parse, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT: Final = "Default"
"""The template of jobs that name none. It always exists."""
NAME_LIMIT: Final = 80
DESCRIPTION_LIMIT: Final = 1024
USER_LIMIT: Final = 1000
VALUE_LIMIT: Final = 1000
_NAME: Final = re.compile(r"[^\W_][\w .+-]*", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What a template says of one property; values are texts.

    Attributes:
        default: For jobs that do not set it; None: the built-in one.
        minimum, maximum: Of numbers and durations (seconds); None: no bound.
        allowed: The only values, or the only items of a list; empty: any.
        required: A job must have a value of its own or of the template.
        read_only: What a user sets is replaced by the default, without a word.
        hidden: Programs that show forms leave it out.
    """

    default: str | None = None
    minimum: str | None = None
    maximum: str | None = None
    allowed: tuple[str, ...] = ()
    required: bool = False
    read_only: bool = False
    hidden: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A template.

    Attributes:
        users: Who may submit with it beside administrators; empty: everybody.
        pool: Of its jobs; empty: the default pool.
        rules: By property (``core.template.properties.KINDS``).
        revision: Grows by one with each change, from 1; 0: never changed.
    """

    name: str
    description: str = ""
    users: tuple[str, ...] = ()
    pool: str = ""
    rules: Mapping[str, Rule] = field(default_factory=dict)
    revision: int = 0


def check_template(template: Template) -> Template:
    """Return a template with its properties by their own names.

    Raises:
        HpcError: REQUIRED_FIELD, INVALID_FIELD, TEXT_TOO_LONG, OUT_OF_RANGE,
            TEMPLATE_PROPERTY_UNKNOWN.
    """
    _check_name(template.name)
    if len(template.description) > DESCRIPTION_LIMIT:
        raise HpcError(
            "TEXT_TOO_LONG",
            field="template.description",
            length=len(template.description),
            limit=DESCRIPTION_LIMIT,
        )
    if len(template.users) > USER_LIMIT:
        raise HpcError(
            "OUT_OF_RANGE",
            field="template.users",
            value=len(template.users),
            limit=f"at most {USER_LIMIT} names",
        )
    rules: dict[str, Rule] = {}
    for at, (name, rule) in enumerate(template.rules.items()):
        field_name = f"template.rules[{at}]"
        known = find(name)
        if known in rules:
            problem = f"{shown(known)} has two rules"
            raise HpcError("INVALID_FIELD", field=field_name, problem=problem)
        _check_rule(known, rule, field_name)
        rules[known] = rule
    return Template(
        name=template.name,
        description=template.description,
        users=tuple(dict.fromkeys(template.users)),
        pool=template.pool,
        rules=rules,
        revision=template.revision,
    )


def _check_name(name: str) -> None:
    if not name:
        raise HpcError("REQUIRED_FIELD", field="template.name")
    if len(name) > NAME_LIMIT:
        raise HpcError(
            "TEXT_TOO_LONG", field="template.name", length=len(name), limit=NAME_LIMIT
        )
    if not _NAME.fullmatch(name):
        problem = f"{name!r} has other characters than letters, digits and ' .+-_'"
        raise HpcError("INVALID_FIELD", field="template.name", problem=problem)


def _check_rule(name: str, rule: Rule, field_name: str) -> None:
    kind = KINDS[name]
    if kind not in ORDERED and (rule.minimum is not None or rule.maximum is not None):
        problem = f"{shown(name)} is {kind.value} and has no minimum or maximum"
        raise HpcError("INVALID_FIELD", field=field_name, problem=problem)
    if kind is Kind.FLAG and rule.allowed:
        problem = f"{shown(name)} is {kind.value}: make it read-only instead"
        raise HpcError("INVALID_FIELD", field=field_name, problem=problem)
    if len(rule.allowed) > VALUE_LIMIT:
        raise HpcError(
            "OUT_OF_RANGE",
            field=f"{field_name}.allowed",
            value=len(rule.allowed),
            limit=f"at most {VALUE_LIMIT} values",
        )
    if rule.read_only and rule.default is None:
        problem = f"{shown(name)} is read-only and has no default"
        raise HpcError("INVALID_FIELD", field=field_name, problem=problem)
    values = {
        part: parse(name, text, f"{field_name}.{part}")
        for part in ("default", "minimum", "maximum")
        if (text := getattr(rule, part)) is not None
    }
    for text in rule.allowed:
        parse(name, text, f"{field_name}.allowed")
    low, high = values.get("minimum"), values.get("maximum")
    if low is not None and high is not None and low > high:
        problem = (
            f"the minimum of {shown(name)}, {low:g}, is above its maximum, {high:g}"
        )
        raise HpcError("INVALID_FIELD", field=field_name, problem=problem)
