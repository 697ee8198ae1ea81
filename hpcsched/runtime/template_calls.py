"""Use cases of job templates."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from hpcsched.common.errors import HpcError
from hpcsched.core.template.checking import check_defaults
from hpcsched.core.template.codec import decode_template, encode_template
from hpcsched.core.template.template import DEFAULT, Template, check_template
from hpcsched.runtime.durable import written
from hpcsched.runtime.turns import request_row
from hpcsched.store.base import Delta

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcsched.core.caller import Caller
    from hpcsched.runtime.front import Request
    from hpcsched.runtime.ledger import Ledgers
    from hpcsched.runtime.mail import Ledger
    from hpcsched.runtime.world import World

KIND: Final = "template"
TEMPLATE_LIMIT: Final = 1000


def stored_templates(
    entries: Mapping[tuple[str, str], bytes],
) -> dict[str, Template]:
    """Return the templates that the store has, and the default one."""
    found = {
        name: decode_template(name, body)
        for (kind, name), body in entries.items()
        if kind == KIND
    }
    found.setdefault(DEFAULT, Template(name=DEFAULT))
    return found


class TemplateCalls:
    """The part of ``runtime.front.ClusterFront`` about templates."""

    _world: World
    _ledgers: Ledgers

    async def list_templates(self, caller: Caller) -> Sequence[Template]:
        """Return all templates by name."""
        del caller
        templates = self._world.settings.templates
        return [templates[name] for name in sorted(templates)]

    async def get_template(self, caller: Caller, name: str) -> Template:
        """Return a template.

        Raises:
            HpcError: TEMPLATE_NOT_FOUND.
        """
        del caller
        return self._template(name)

    async def set_template(
        self, caller: Caller, template: Template, request: Request, *, create_only: bool
    ) -> Template:
        """Make a template, or replace one as a whole.

        Raises:
            HpcError: PERMISSION_DENIED, TEMPLATE_EXISTS, TEMPLATE_CHANGED, or what
                ``check_template`` and ``check_defaults`` refuse.
        """
        caller.require_administrator("change job templates")
        wanted = check_template(template)
        check_defaults(wanted, self._world.settings)

        async def act(ledger: Ledger | None) -> Any:
            templates = self._world.settings.templates
            known = templates.get(wanted.name)
            revision = 0 if known is None else known.revision
            if known is not None and create_only:
                raise HpcError("TEMPLATE_EXISTS", name=wanted.name)
            if template.revision and template.revision != revision:
                raise HpcError(
                    "TEMPLATE_CHANGED",
                    name=wanted.name,
                    revision=revision,
                    expected=template.revision,
                )
            if known is None and len(templates) >= TEMPLATE_LIMIT:
                limit = f"at most {TEMPLATE_LIMIT} templates"
                raise HpcError(
                    "OUT_OF_RANGE", field="template", value=wanted.name, limit=limit
                )
            self._check_pool(wanted.pool)
            new = replace(wanted, revision=revision + 1)
            await self._put_template(new.name, new, ledger)

        await self._ledgers.once(caller, request, act)
        return self._template(wanted.name)

    async def delete_template(
        self, caller: Caller, name: str, request: Request
    ) -> None:
        """Delete a template; jobs that exist keep their values.

        Raises:
            HpcError: PERMISSION_DENIED, TEMPLATE_NOT_FOUND, TEMPLATE_IS_DEFAULT.
        """
        caller.require_administrator("delete job templates")

        async def act(ledger: Ledger | None) -> Any:
            self._template(name)
            if name == DEFAULT:
                raise HpcError("TEMPLATE_IS_DEFAULT", name=name)
            await self._put_template(name, None, ledger)

        await self._ledgers.once(caller, request, act)

    def _template(self, name: str) -> Template:
        found = self._world.settings.templates.get(name)
        if found is None:
            raise HpcError("TEMPLATE_NOT_FOUND", field="name", name=name)
        return found

    def _check_pool(self, pool: str) -> None:
        """Refuse a pool that is not there."""
        if pool and pool not in self._world.pools:
            raise HpcError("POOL_NOT_FOUND", name=pool)

    async def _put_template(
        self, name: str, template: Template | None, ledger: Ledger | None
    ) -> None:
        world = self._world
        body = None if template is None else encode_template(template)
        rows = []
        if ledger is not None:
            rows = [request_row(ledger, None, world.clock.wall())]
        await written(world, Delta(entries={(KIND, name): body}, requests=rows))
        templates = dict(world.settings.templates)
        if template is None:
            templates.pop(name, None)
        else:
            templates[name] = template
        world.settings = replace(world.settings, templates=templates)
