"""Job templates on the wire."""

from __future__ import annotations

from typing import Any

import pytest

from hpcsched.api.v1 import template_service_pb2 as pb
from hpcsched.api.v1 import template_service_pb2_grpc
from hpcsched.core.template.template import Rule, Template
from tests.support.fake_front import FakeFront
from tests.support.served import Served, refusal

RULE = Rule(
    default="60", minimum="1", maximum="90", allowed=("60", "90"), required=True
)
TEMPLATE = Template(
    name="t",
    description="d",
    users=("ada",),
    pool="gold",
    rules={"retry_limit": Rule(hidden=True), "runtime": RULE},
    revision=3,
)


@pytest.fixture
def templates(served: Served) -> Any:
    return served.stub(template_service_pb2_grpc.TemplateServiceStub)


async def test_a_template_survives_the_wire_both_ways(
    templates: Any, front: FakeFront
) -> None:
    front.answers["get_template"] = TEMPLATE
    front.answers["set_template"] = TEMPLATE

    shown = (await templates.GetTemplate(pb.GetTemplateRequest(name="t"))).template
    request = pb.SetTemplateRequest(template=shown, create_only=True)
    await templates.SetTemplate(request)

    assert [rule.property for rule in shown.rules] == [
        *("task_execution_failure_retry_limit", "runtime"),
    ]
    assert front.last["template"] == TEMPLATE
    assert front.last["create_only"] is True


async def test_lists_and_deletions_are_passed_on(
    templates: Any, front: FakeFront
) -> None:
    front.answers["list_templates"] = [TEMPLATE, Template(name="u")]
    front.answers["delete_template"] = None

    listed = await templates.ListTemplates(pb.ListTemplatesRequest())
    await templates.DeleteTemplate(pb.DeleteTemplateRequest(name="t"))

    assert [one.name for one in listed.templates] == ["t", "u"]
    assert front.last["name"] == "t"


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ([pb.TemplateRule(property="output")], "TEMPLATE_PROPERTY_UNKNOWN"),
        ([pb.TemplateRule(property="runtime")] * 2, "INVALID_FIELD"),
    ],
)
async def test_rules_that_cannot_be_meant_are_refused(
    rules: list[pb.TemplateRule], reason: str, templates: Any, front: FakeFront
) -> None:
    wanted = pb.JobTemplate(name="t", rules=rules)

    error = await refusal(templates.SetTemplate(pb.SetTemplateRequest(template=wanted)))

    assert error.reason == reason
    assert not front.calls


async def test_a_name_is_required(templates: Any) -> None:
    for call, request in (
        (templates.GetTemplate, pb.GetTemplateRequest()),
        (templates.DeleteTemplate, pb.DeleteTemplateRequest()),
    ):
        assert (await refusal(call(request))).reason == "REQUIRED_FIELD"
