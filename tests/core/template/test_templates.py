"""Job templates: defaults, limits, read-only values, who may use them (api.md 7)."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from hpcsched.common.errors import HpcError
from hpcsched.core.caller import Caller
from hpcsched.core.job.spec import JobSpec
from hpcsched.core.job.states import UnitType
from hpcsched.core.template.applying import (
    apply_template,
    check_sizes,
    check_user,
    check_values,
)
from hpcsched.core.template.codec import decode_template, encode_template
from hpcsched.core.template.properties import BUILT_IN, KINDS, as_text, find, parse
from hpcsched.core.template.template import Rule, Template, check_template

NUMBERS = {
    "TEMPLATE_VALUE_TOO_SMALL": -2147220880,
    "TEMPLATE_VALUE_TOO_LARGE": -2147220879,
    "TEMPLATE_VALUE_INVALID": -2147220881,
    "TEMPLATE_VALUE_REQUIRED": -2147220878,
    "TEMPLATE_NOT_ALLOWED": -2147220967,
}


def a_template(**rules: Rule) -> Template:
    return check_template(Template(name="t", rules=rules))


def submitted(template: Template, **spec: Any) -> JobSpec:
    """Return a job as it is after its creation, if it may be submitted."""
    job = apply_template(JobSpec(**spec), template)
    check_values(job, template)
    return job


def refused(template: Template, reason: str, **spec: Any) -> HpcError:
    with pytest.raises(HpcError) as refusal:
        submitted(template, **spec)
    assert refusal.value.reason == reason
    assert refusal.value.hresult == NUMBERS[reason]
    return refusal.value


def test_every_property_is_one_of_a_job() -> None:
    names = {one.name for one in fields(JobSpec)}

    assert set(KINDS) <= names
    assert set(KINDS) == set(BUILT_IN)
    left_out = {
        *("environment", "custom_properties", "parent_job_ids", "hold_until"),
        *("progress", "progress_message", "job_type", "job_template", "pool"),
        *("client_source", "node_loss", "explicit", "templated"),
    }
    assert names - set(KINDS) <= left_out


def test_the_users_value_goes_before_the_templates_and_that_before_the_built_in() -> (
    None
):
    template = a_template(priority=Rule(default="3000"), project=Rule(default="p"))

    job = submitted(template, priority=1500)

    assert (job.priority, job.project, job.runtime) == (1500, "p", 0.0)
    assert job.templated == ("project",)


def test_a_value_that_is_the_built_in_one_can_be_given_explicitly() -> None:
    template = a_template(priority=Rule(default="3000"))

    assert submitted(template).priority == 3000
    assert submitted(template, explicit=("priority",)).priority == 2000


def test_another_template_evaluates_the_last_two_again() -> None:
    one = a_template(
        priority=Rule(default="3000"),
        project=Rule(default="a"),
        runtime=Rule(default="9"),
    )
    other = a_template(priority=Rule(default="1000"))
    job = apply_template(JobSpec(runtime=60.0), one)
    assert (job.priority, job.project, job.runtime) == (3000, "a", 60.0)

    job = apply_template(job, other)

    assert (job.priority, job.project, job.runtime) == (1000, "", 60.0)
    assert apply_template(job, other) == job


def test_a_read_only_value_is_silently_the_templates() -> None:
    template = a_template(is_exclusive=Rule(default="true", read_only=True))

    assert submitted(template, explicit=("is_exclusive",)).is_exclusive is True


@pytest.mark.parametrize(
    ("name", "rule", "value", "reason"),
    [
        ("priority", Rule(minimum="1000"), 999, "TEMPLATE_VALUE_TOO_SMALL"),
        ("priority", Rule(maximum="Normal"), 2001, "TEMPLATE_VALUE_TOO_LARGE"),
        ("runtime", Rule(minimum="60"), 59.0, "TEMPLATE_VALUE_TOO_SMALL"),
        ("runtime", Rule(maximum="3600"), 3601.0, "TEMPLATE_VALUE_TOO_LARGE"),
        ("runtime", Rule(maximum="3600"), 0.0, "TEMPLATE_VALUE_TOO_LARGE"),
        ("max_cores", Rule(maximum="8"), 9, "TEMPLATE_VALUE_TOO_LARGE"),
        ("project", Rule(allowed=("a", "b")), "c", "TEMPLATE_VALUE_INVALID"),
        ("unit_type", Rule(allowed=("Node",)), UnitType.CORE, "TEMPLATE_VALUE_INVALID"),
        ("node_groups", Rule(allowed=("g",)), ("g", "h"), "TEMPLATE_VALUE_INVALID"),
        ("node_groups", Rule(allowed=("g",)), (), "TEMPLATE_VALUE_INVALID"),
        ("requested_nodes", Rule(allowed=("n1",)), ("n2",), "TEMPLATE_VALUE_INVALID"),
        ("project", Rule(required=True), "", "TEMPLATE_VALUE_REQUIRED"),
        ("runtime", Rule(required=True), 0.0, "TEMPLATE_VALUE_REQUIRED"),
    ],
)
def test_a_value_beyond_the_template_is_refused_at_submit(
    name: str, rule: Rule, value: Any, reason: str
) -> None:
    error = refused(a_template(**{name: rule}), reason, **{name: value})

    assert error.facts["field"] == f"spec.{name}"
    assert error.facts["template"] == "t"


@pytest.mark.parametrize(
    ("name", "rule", "value"),
    [
        ("priority", Rule(minimum="1000", maximum="3000"), 1000),
        ("priority", Rule(minimum="1000", maximum="3000"), 3000),
        ("runtime", Rule(minimum="60"), 0.0),
        ("runtime", Rule(maximum="3600"), 3600.0),
        ("project", Rule(allowed=("a", "b")), ""),
        ("node_groups", Rule(allowed=("g,h",)), ("h",)),
        ("min_cores", Rule(minimum="2"), None),
        ("unit_type", Rule(allowed=("Node", "Core")), UnitType.CORE),
    ],
)
def test_a_value_within_the_template_passes(name: str, rule: Rule, value: Any) -> None:
    job = submitted(a_template(**{name: rule}), **{name: value})

    assert getattr(job, name) == value


def test_required_is_met_by_the_default_or_by_the_built_in_value_that_was_given() -> (
    None
):
    rule = Rule(required=True, default="p")
    assert submitted(a_template(project=rule)).project == "p"

    required = a_template(priority=Rule(required=True))
    refused(required, "TEMPLATE_VALUE_REQUIRED")
    assert submitted(required, explicit=("priority",)).priority == 2000


def test_who_takes_all_there_is_gets_no_more_than_the_maximum() -> None:
    template = a_template(max_cores=Rule(maximum="8"), max_nodes=Rule(maximum="2"))

    cores = submitted(template)
    nodes = submitted(template, unit_type=UnitType.NODE)

    assert (cores.max_cores, cores.max_nodes) == (8, None)
    assert (nodes.max_cores, nodes.max_nodes) == (None, 2)


def size(**spec: Any) -> JobSpec:
    return JobSpec(**spec)


@pytest.mark.parametrize("unit", ["cores", "sockets", "nodes"])
def test_a_size_that_contradicts_the_templates_is_told_the_templates_limit(
    unit: str,
) -> None:
    low, high = f"min_{unit}", f"max_{unit}"
    template = a_template(**{high: Rule(default="2", read_only=True)})
    job = apply_template(size(**{low: 3, high: 3}), template)
    with pytest.raises(HpcError) as refusal:
        check_sizes(job, template)
    assert refusal.value.reason == "TEMPLATE_VALUE_TOO_LARGE"
    assert refusal.value.facts["field"] == f"spec.{low}"
    assert (refusal.value.facts["limit"], refusal.value.facts["value"]) == ("2", "3")

    template = a_template(**{low: Rule(default="4")})
    job = apply_template(size(**{high: 3}), template)
    with pytest.raises(HpcError) as refusal:
        check_sizes(job, template)
    assert refusal.value.reason == "TEMPLATE_VALUE_TOO_SMALL"
    own = size(**{low: 3, high: 2})
    check_sizes(own, a_template())  # its own contradiction is told as such


def test_who_names_no_nodes_gets_those_that_are_allowed() -> None:
    template = a_template(requested_nodes=Rule(allowed=("n1", "n2")))

    assert submitted(template).requested_nodes == ("n1", "n2")
    assert submitted(template, requested_nodes=("n2",)).requested_nodes == ("n2",)


def test_a_template_is_for_its_users_and_administrators() -> None:
    template = Template(name="t", users=("ada",))

    check_user(template, Caller(user="ada"))
    check_user(template, Caller(user="root", administrator=True))
    check_user(Template(name="t"), Caller(user="bob"))
    with pytest.raises(HpcError) as refusal:
        check_user(template, Caller(user="bob"))
    assert refusal.value.reason == "TEMPLATE_NOT_ALLOWED"
    assert refusal.value.hresult == NUMBERS["TEMPLATE_NOT_ALLOWED"]


@pytest.mark.parametrize(
    ("name", "rule", "problem"),
    [
        ("priority", Rule(default="high"), "a whole number, or one of lowest"),
        ("runtime", Rule(maximum="1h"), "a number of seconds"),
        ("is_exclusive", Rule(default="1"), "true or false"),
        ("is_exclusive", Rule(allowed=("true",)), "make it read-only"),
        ("project", Rule(minimum="a"), "has no minimum"),
        ("priority", Rule(minimum="5", maximum="4"), "above its maximum"),
        ("priority", Rule(read_only=True), "has no default"),
        ("unit_type", Rule(default="gpu"), "one of core, socket, node"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(
    name: str, rule: Rule, problem: str
) -> None:
    with pytest.raises(HpcError, match=problem) as refusal:
        a_template(**{name: rule})

    assert refusal.value.facts["field"].startswith("template.rules[0]")


@pytest.mark.parametrize("name", ["", "x" * 81, "-x", "a/b", "Ä"])
def test_a_name_is_short_and_plain(name: str) -> None:
    with pytest.raises(HpcError) as refusal:
        check_template(Template(name=name))

    assert refusal.value.facts["field"] == "template.name"


def test_properties_have_the_references_names_too() -> None:
    assert find("RunUntilCanceled") == "run_until_canceled"
    assert find("RuntimeSeconds") == "runtime"
    assert find("task_execution_failure_retry_limit") == "retry_limit"
    with pytest.raises(HpcError) as refusal:
        find("environment")
    assert refusal.value.reason == "TEMPLATE_PROPERTY_UNKNOWN"


def test_a_template_is_stored_as_it_is() -> None:
    template = a_template(
        priority=Rule(default="3000", minimum="0", maximum="4000", required=True),
        project=Rule(allowed=("a", "b"), hidden=True),
        is_exclusive=Rule(default="true", read_only=True),
    )

    assert decode_template("t", encode_template(template)) == template


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("priority", "AboveNormal", 3000),
        ("runtime", "90", 90.0),
        ("is_exclusive", "TRUE", True),
        ("node_groups", " a , b,", ("a", "b")),
        ("unit_type", "node", UnitType.NODE),
    ],
)
def test_a_text_is_read_as_its_value(name: str, text: str, value: Any) -> None:
    assert parse(name, text, "f") == value
    assert parse(name, as_text(value), "f") == value
