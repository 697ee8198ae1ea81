"""TemplateService: job templates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcsched.api.v1 import template_service_pb2 as pb
from hpcsched.api.v1 import template_service_pb2_grpc
from hpcsched.common.errors import HpcError
from hpcsched.core.template.properties import KINDS, find, shown
from hpcsched.core.template.template import Rule, Template
from hpcsched.services.gate import caller
from hpcsched.services.requests import not_negative, request_of

if TYPE_CHECKING:
    from hpcsched.runtime.front import ClusterFront


class TemplateService(template_service_pb2_grpc.TemplateServiceServicer):
    """See the proto."""

    def __init__(self, front: ClusterFront) -> None:
        self._front = front

    async def ListTemplates(
        self, request: pb.ListTemplatesRequest, context: Any
    ) -> pb.ListTemplatesResponse:
        templates = await self._front.list_templates(caller())
        return pb.ListTemplatesResponse(templates=map(template_message, templates))

    async def GetTemplate(
        self, request: pb.GetTemplateRequest, context: Any
    ) -> pb.GetTemplateResponse:
        if not request.name:
            raise HpcError("REQUIRED_FIELD", field="name")
        found = await self._front.get_template(caller(), request.name)
        return pb.GetTemplateResponse(template=template_message(found))

    async def SetTemplate(
        self, request: pb.SetTemplateRequest, context: Any
    ) -> pb.SetTemplateResponse:
        made = await self._front.set_template(
            caller(),
            template_of(request.template),
            request_of(request),
            create_only=request.create_only,
        )
        return pb.SetTemplateResponse(template=template_message(made))

    async def DeleteTemplate(
        self, request: pb.DeleteTemplateRequest, context: Any
    ) -> pb.DeleteTemplateResponse:
        if not request.name:
            raise HpcError("REQUIRED_FIELD", field="name")
        name, once = request.name, request_of(request)
        await self._front.delete_template(caller(), name, once)
        return pb.DeleteTemplateResponse()


def template_message(template: Template) -> pb.JobTemplate:
    """Return a template as it is shown."""
    return pb.JobTemplate(
        name=template.name,
        description=template.description,
        users=template.users,
        pool=template.pool,
        rules=[
            pb.TemplateRule(
                property=shown(name),
                default_value=rule.default,
                minimum=rule.minimum,
                maximum=rule.maximum,
                allowed_values=rule.allowed,
                required=rule.required,
                read_only=rule.read_only,
                hidden=rule.hidden,
            )
            for name, rule in sorted(template.rules.items())
            if name in KINDS
        ],
        revision=template.revision,
    )


def template_of(message: pb.JobTemplate) -> Template:
    """Return a template as it was sent; what it says is not checked.

    Raises:
        HpcError: INVALID_FIELD, TEMPLATE_PROPERTY_UNKNOWN, OUT_OF_RANGE.
    """
    rules: dict[str, Rule] = {}
    for at, rule in enumerate(message.rules):
        name = find(rule.property)
        if name in rules:
            problem = f"{shown(name)} has two rules"
            raise HpcError(
                "INVALID_FIELD", field=f"template.rules[{at}]", problem=problem
            )
        rules[name] = Rule(
            default=rule.default_value if rule.HasField("default_value") else None,
            minimum=rule.minimum if rule.HasField("minimum") else None,
            maximum=rule.maximum if rule.HasField("maximum") else None,
            allowed=tuple(rule.allowed_values),
            required=rule.required,
            read_only=rule.read_only,
            hidden=rule.hidden,
        )
    return Template(
        name=message.name,
        description=message.description,
        users=tuple(message.users),
        pool=message.pool,
        rules=rules,
        revision=not_negative(message.revision, "template.revision"),
    )
