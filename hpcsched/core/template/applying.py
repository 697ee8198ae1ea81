"""What a template makes of a job, and what it does not let pass (api.md 7)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from hpcsched.common.errors import HpcError
from hpcsched.core.job.spec import DEFAULT_POOL
from hpcsched.core.template.properties import (
    BUILT_IN,
    KINDS,
    Kind,
    as_text,
    parse,
    shown,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcsched.core.caller import Caller
    from hpcsched.core.job.spec import JobSpec
    from hpcsched.core.template.template import Rule, Template

_SIZES: Final = tuple((f"min_{u}", f"max_{u}") for u in ("cores", "sockets", "nodes"))
"""Made once: the interpreter's cache of attributes keeps names that are made anew."""
_EMPTY_IS_ANY: Final = ("requested_nodes", "node_groups")


def is_given(spec: JobSpec, name: str) -> bool:
    """Has the user set a property?"""
    if name in spec.explicit:
        return True
    return getattr(spec, name) != BUILT_IN[name] and name not in spec.templated


def apply_template(spec: JobSpec, template: Template) -> JobSpec:
    """Return a job with the values of its template where its user has set none.

    A value of the user's goes before the template's default, and that before the
    built-in one; what an earlier template has set is forgotten. A read-only property is
    the template's whatever the user says (``ISchedulerJob.Commit``).
    """
    values: dict[str, Any] = {
        name: BUILT_IN[name] for name in spec.templated if name not in spec.explicit
    }
    templated: list[str] = []
    for name, rule in template.rules.items():
        text = rule.default
        if text is None:
            text = _implied(name, rule, spec)
        if text is not None and (rule.read_only or not is_given(spec, name)):
            values[name] = parse(name, text, name)
            templated.append(name)
    pool = template.pool or DEFAULT_POOL
    if not (values or spec.templated) and pool == spec.pool:
        return spec
    values["templated"] = tuple(sorted(templated))
    values["pool"] = pool
    return replace(spec, **values)


def check_sizes(spec: JobSpec, template: Template) -> None:
    """Refuse a minimum above the template's maximum, or a maximum below its minimum.

    Without it the job would contradict itself, in a value that its user has not given.

    Raises:
        HpcError: TEMPLATE_VALUE_TOO_LARGE, TEMPLATE_VALUE_TOO_SMALL.
    """
    for low, high in _SIZES:
        least, most = getattr(spec, low), getattr(spec, high)
        if least is None or most is None or least <= most:
            continue
        facts = {"template": template.name}
        if high in spec.templated:
            facts |= {"field": f"spec.{low}", "value": str(least), "limit": str(most)}
            raise HpcError("TEMPLATE_VALUE_TOO_LARGE", **facts)
        if low in spec.templated:
            facts |= {"field": f"spec.{high}", "value": str(most), "limit": str(least)}
            raise HpcError("TEMPLATE_VALUE_TOO_SMALL", **facts)


def _implied(name: str, rule: Rule, spec: JobSpec) -> str | None:
    """Return what a limit means for a job that asks for all that it can get."""
    if name == f"max_{spec.unit_type.name.lower()}s":
        return rule.maximum
    if name == "requested_nodes" and rule.allowed:
        return ",".join(rule.allowed)
    return None


def template_of(spec: JobSpec, templates: Mapping[str, Template]) -> Template:
    """Return the template that a job names.

    Raises:
        HpcError: TEMPLATE_NOT_FOUND.
    """
    found = templates.get(spec.job_template)
    if found is None:
        name = spec.job_template
        raise HpcError("TEMPLATE_NOT_FOUND", field="spec.job_template", name=name)
    return found


def check_values(
    spec: JobSpec, template: Template, only: frozenset[str] | None = None
) -> None:
    """Refuse values that the template does not allow; asked when a job is submitted.

    Args:
        spec: The job.
        template: Its template.
        only: These properties only; None: all.

    Raises:
        HpcError: TEMPLATE_VALUE_REQUIRED, TEMPLATE_VALUE_TOO_SMALL,
            TEMPLATE_VALUE_TOO_LARGE, TEMPLATE_VALUE_INVALID.
    """
    for name, rule in template.rules.items():
        if only is not None and name not in only:
            continue
        value = getattr(spec, name)
        facts = {
            "field": f"spec.{shown(name)}",
            "template": template.name,
            "value": as_text(value),
        }
        has_value = value != BUILT_IN[name] or name in spec.explicit
        if rule.required and not has_value and name not in spec.templated:
            raise HpcError("TEMPLATE_VALUE_REQUIRED", **facts)
        if value is not None:
            _check_range(name, rule, value, facts)
            _check_allowed(name, rule, value, facts)


def _check_range(name: str, rule: Rule, value: Any, facts: dict[str, str]) -> None:
    endless = KINDS[name] is Kind.SECONDS and not value
    if rule.minimum is not None and not endless:
        low = parse(name, rule.minimum, name)
        if value < low:
            raise HpcError("TEMPLATE_VALUE_TOO_SMALL", **facts, limit=as_text(low))
    if rule.maximum is not None:
        high = parse(name, rule.maximum, name)
        if endless or value > high:
            raise HpcError("TEMPLATE_VALUE_TOO_LARGE", **facts, limit=as_text(high))


def _check_allowed(name: str, rule: Rule, value: Any, facts: dict[str, str]) -> None:
    if not rule.allowed:
        return
    values = [parse(name, text, name) for text in rule.allowed]
    if KINDS[name] is Kind.LIST:
        items = {item for allowed in values for item in allowed}
        good = set(value) <= items and bool(value or name not in _EMPTY_IS_ANY)
    else:
        good = value in values or value == ""
    if not good:
        allowed = ", ".join(rule.allowed)
        raise HpcError("TEMPLATE_VALUE_INVALID", **facts, allowed=allowed)


def check_user(template: Template, caller: Caller) -> None:
    """Refuse whom the template is not for.

    Raises:
        HpcError: TEMPLATE_NOT_ALLOWED.
    """
    if not template.users or caller.user in template.users:
        return
    if caller.administrator or caller.job_administrator:
        return
    raise HpcError("TEMPLATE_NOT_ALLOWED", template=template.name, user=caller.user)
