"""Defaults that every job would be refused for are refused when they are set."""

from __future__ import annotations

from typing import Final

import pytest

from hpcsched.common.errors import HpcError
from hpcsched.core.settings import Settings
from hpcsched.core.template.checking import check_defaults
from hpcsched.core.template.properties import KINDS, Kind, shown
from hpcsched.core.template.template import Rule, Template, check_template

_GOOD: Final = {
    Kind.NUMBER: "2",
    Kind.SECONDS: "90",
    Kind.FLAG: "true",
    Kind.TEXT: "x",
    Kind.LIST: "a,b",
}
_OTHERS: Final = {
    "order_by": "-Memory",
    "valid_exit_codes": "0,3..5",
    "software_license": "a:1",
    "unit_type": "node",
    "node_group_op": "union",
}


def checked(name: str, **rule: object) -> None:
    template = Template(name="t", rules={name: Rule(**rule)})  # type: ignore[arg-type]
    check_defaults(check_template(template), Settings())


@pytest.mark.parametrize("name", sorted(KINDS))
def test_a_value_of_its_kind_does_for_each_property(name: str) -> None:
    checked(name, default=_OTHERS.get(name) or _GOOD[KINDS[name]])
    if KINDS[name] is Kind.FLAG:
        checked(name, default="false")


@pytest.mark.parametrize(
    ("name", "rule", "problem"),
    [
        ("priority", {"default": "9999"}, "spec.priority is 9999; it must be 0 to"),
        ("min_cores", {"default": "0"}, "spec.min_cores is 0; it must be at least 1"),
        ("name", {"default": "x" * 81}, "spec.name has 81 characters; the limit is 80"),
        ("valid_exit_codes", {"default": "x"}, "'x' is no exit code"),
        ("order_by", {"default": "foo"}, "'foo' is not Cores or Memory"),
        ("priority", {"default": "500", "minimum": "1000"}, "1000"),
        ("runtime", {"default": "90", "maximum": "60"}, "allows 60 at most"),
        ("runtime", {"default": "0", "maximum": "60"}, "allows 60 at most"),
        ("project", {"default": "a", "allowed": ("b", "c")}, "allows b, c"),
    ],
)
def test_a_default_that_no_job_can_have_is_refused_with_what_is_wrong(
    name: str, rule: dict[str, object], problem: str
) -> None:
    with pytest.raises(HpcError) as caught:
        checked(name, **rule)

    assert caught.value.reason == "INVALID_FIELD"
    text = str(caught.value)
    assert text.startswith("template.rules[0].default: no job can have it: ")
    assert problem in text
    assert shown(name) in text
