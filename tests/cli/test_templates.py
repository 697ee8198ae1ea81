"""``hpc template``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hpcsched.api.v1 import template_service_pb2 as pb

if TYPE_CHECKING:
    from tests.support.command_line import CommandLine
    from tests.support.fake_api import FakeApi


def rules_of(template: Any) -> dict[str, Any]:
    return {rule.property: rule for rule in template.rules}


def test_create_says_the_rules_of_each_property(hpc: CommandLine, api: FakeApi) -> None:
    options = (
        *("--description", "short runs", "--user", "ada,bob", "--pool", "gold"),
        *("--default", "runtime=15m", "--max", "runtime=1h", "--min", "priority=1000"),
        *("--allow", "project=a,b", "--require", "project", "--read-only", "runtime"),
        *("--hide", "min_cores,runtime"),
    )

    made = hpc("template", "create", "short", *options, "--json").json

    request = api.asked("SetTemplate")[0]
    template, rules = request.template, rules_of(request.template)
    assert (
        request.create_only,
        template.name,
        list(template.users),
        template.pool,
    ) == (
        *(True, "short", ["ada", "bob"]),
        "gold",
    )
    runtime = rules["runtime"]
    assert (runtime.default_value, runtime.maximum) == ("900", "3600")
    assert (runtime.read_only, runtime.hidden, runtime.required) == (True, True, False)
    assert list(rules["project"].allowed_values) == ["a", "b"]
    assert rules["project"].required
    assert rules["priority"].minimum == "1000"
    assert rules["min_cores"].hidden
    assert made["name"] == "short"


def test_modify_changes_what_is_named_and_leaves_the_rest(
    hpc: CommandLine, api: FakeApi
) -> None:
    api.templates["t"] = pb.JobTemplate(
        name="t",
        users=["ada"],
        revision=3,
        rules=[
            pb.TemplateRule(property="runtime", default_value="60", maximum="90"),
            pb.TemplateRule(property="project", required=True),
        ],
    )

    hpc("template", "modify", "t", "--max", "RunTime=2m", "--remove", "Project")
    hpc("template", "modify", "t", "--user", "all")

    first, second = (request.template for request in api.asked("SetTemplate"))
    assert {n: (r.default_value, r.maximum) for n, r in rules_of(first).items()} == {
        "runtime": ("60", "120")
    }
    assert (first.revision, list(first.users), list(second.users)) == (3, ["ada"], [])


def test_a_rule_that_is_not_there_is_not_silently_forgotten(
    hpc: CommandLine, api: FakeApi
) -> None:
    rule = pb.TemplateRule(property="runtime", maximum="90")
    api.templates["t"] = pb.JobTemplate(name="t", rules=[rule])

    result = hpc("template", "modify", "t", "--remove", "runtimes", status=1)

    assert "the template t has no rule of runtimes; it has runtime." in result.err
    assert not api.asked("SetTemplate")


def test_delete_says_what_it_did(hpc: CommandLine, api: FakeApi) -> None:
    api.templates.update({name: pb.JobTemplate(name=name) for name in "abc"})

    result = hpc("template", "delete", "a", "b")

    assert result.out == "template a deleted\ntemplate b deleted\n"
    assert [one.name for one in api.asked("DeleteTemplate")] == ["a", "b"]
    assert hpc("template", "delete", "c", "--quiet").out == "c\n"


def test_list_and_show_are_for_people_and_programs(
    hpc: CommandLine, api: FakeApi
) -> None:
    api.templates["t"] = pb.JobTemplate(
        name="t",
        description="for tests",
        rules=[pb.TemplateRule(property="runtime", maximum="90", read_only=True)],
    )

    assert hpc("template", "list", "-q").out.split() == ["t"]
    assert hpc("template", "list", "--json").json["templates"][0]["name"] == "t"
    assert "for tests" in hpc("template", "list").out
    shown = hpc("template", "show", "t").out
    assert "runtime" in shown
    assert "read-only" in shown
    assert hpc("template", "delete", "t", "--json").out == ""
    assert "t" not in api.templates


@pytest.mark.parametrize(
    "options", [("--default", "runtime"), ("--max", "=5"), ("--max", "runtime=soon")]
)
def test_what_is_no_rule_is_a_usage_error(
    options: tuple[str, ...], hpc: CommandLine
) -> None:
    hpc("template", "create", "t", *options, status=2)
