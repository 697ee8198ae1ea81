"""Calls about job templates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcsched.api.v1 import template_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcsched.client.api import Caller


class Templates:
    """Job templates; only administrators change them."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Caller) -> None:
        self._connection = connection

    async def list(self) -> Sequence[pb.JobTemplate]:
        """Return all templates by name."""
        request = pb.ListTemplatesRequest()
        answer = await self._connection.call(
            lambda s: s.templates.ListTemplates, request
        )
        return answer.templates

    async def get(self, name: str) -> pb.JobTemplate:
        """Return a template."""
        request = pb.GetTemplateRequest(name=name)
        answer = await self._connection.call(lambda s: s.templates.GetTemplate, request)
        return answer.template

    async def set(
        self,
        template: pb.JobTemplate,
        *,
        create_only: bool = False,
        request_id: str = "",
    ) -> pb.JobTemplate:
        """Make a template, or replace one as a whole."""
        request = pb.SetTemplateRequest(
            template=template,
            create_only=create_only,
            request_id=request_id or self._connection.ids.uuid(),
        )
        answer = await self._connection.call(lambda s: s.templates.SetTemplate, request)
        return answer.template

    async def delete(self, name: str, *, request_id: str = "") -> None:
        """Delete a template; jobs that exist keep their values."""
        request = pb.DeleteTemplateRequest(
            name=name, request_id=request_id or self._connection.ids.uuid()
        )
        await self._connection.call(lambda s: s.templates.DeleteTemplate, request)
