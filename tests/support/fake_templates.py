"""Job templates of the fake API (tests.support.fake_api)."""
# ruff: noqa: N802 - names come from the protos

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcsched.api.v1 import template_service_pb2 as pb
from hpcsched.common.errors import HpcError

if TYPE_CHECKING:
    from tests.support.fake_api import FakeApi


class FakeTemplates:
    """The templates that a test has put there."""

    def __init__(self, api: FakeApi) -> None:
        self._api = api

    def ListTemplates(self, request: Any, context: Any) -> Any:
        def work() -> Any:
            return pb.ListTemplatesResponse(templates=self._api.templates.values())

        return self._api.answer("ListTemplates", request, context, work)

    def GetTemplate(self, request: Any, context: Any) -> Any:
        def work() -> Any:
            if request.name not in self._api.templates:
                raise HpcError("TEMPLATE_NOT_FOUND", field="name", name=request.name)
            return pb.GetTemplateResponse(template=self._api.templates[request.name])

        return self._api.answer("GetTemplate", request, context, work)

    def SetTemplate(self, request: Any, context: Any) -> Any:
        def work() -> Any:
            found = self._api.templates.setdefault(
                request.template.name, pb.JobTemplate()
            )
            found.CopyFrom(request.template)
            return pb.SetTemplateResponse(template=found)

        return self._api.answer("SetTemplate", request, context, work)

    def DeleteTemplate(self, request: Any, context: Any) -> Any:
        def work() -> Any:
            del self._api.templates[request.name]
            return pb.DeleteTemplateResponse()

        return self._api.answer("DeleteTemplate", request, context, work)
