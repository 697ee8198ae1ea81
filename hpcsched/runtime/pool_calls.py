"""Use cases of pools (api.md 6)."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from hpcsched.common.errors import HpcError
from hpcsched.core.job.codec import pack, unpack
from hpcsched.core.job.spec import DEFAULT_POOL
from hpcsched.core.pools import (
    DEFAULT_WEIGHT,
    check_deletable,
    check_new,
    check_weight,
)
from hpcsched.core.scheduling.shares import guarantees_of
from hpcsched.core.template.codec import encode_template
from hpcsched.core.views import PoolView
from hpcsched.runtime.durable import written
from hpcsched.runtime.template_calls import KIND as TEMPLATES
from hpcsched.runtime.turns import request_row
from hpcsched.store.base import Delta

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcsched.core.caller import Caller
    from hpcsched.core.template.template import Template
    from hpcsched.runtime.front import Request
    from hpcsched.runtime.ledger import Ledgers
    from hpcsched.runtime.mail import Ledger
    from hpcsched.runtime.world import World

KIND: Final = "pool"
"""Of the entries in the store."""


def pools_of(entries: Mapping[tuple[str, str], bytes]) -> dict[str, int]:
    """Return pool to weight from what is stored; Default is always there."""
    stored = {name: body for (kind, name), body in entries.items() if kind == KIND}
    weights = {name: int(unpack(body)["weight"]) for name, body in stored.items()}
    return {DEFAULT_POOL: DEFAULT_WEIGHT, **weights}


class PoolCalls:
    """The part of ``runtime.front.PoolFront``."""

    _world: World
    _ledgers: Ledgers

    async def list_pools(self, caller: Caller) -> Sequence[PoolView]:
        """Return all pools by name."""
        del caller
        return self._pool_views()

    async def get_pool(self, caller: Caller, name: str) -> PoolView:
        """Return one pool.

        Raises:
            HpcError: POOL_NOT_FOUND.
        """
        del caller
        self._require_pool(name)
        return next(view for view in self._pool_views() if view.name == name)

    async def create_pool(
        self, caller: Caller, name: str, weight: int, request: Request
    ) -> PoolView:
        """Make a pool."""
        self._may_change(caller)

        async def act(ledger: Ledger | None) -> None:
            check_new(name, self._world.pools)
            check_weight(weight)
            await self._put(name, weight, ledger)

        await self._ledgers.once(caller, request, act)
        return await self.get_pool(caller, name)

    async def set_pool(
        self, caller: Caller, name: str, weight: int, request: Request
    ) -> PoolView:
        """Change a pool's weight."""
        self._may_change(caller)

        async def act(ledger: Ledger | None) -> None:
            self._require_pool(name)
            check_weight(weight)
            await self._put(name, weight, ledger)

        await self._ledgers.once(caller, request, act)
        return await self.get_pool(caller, name)

    async def delete_pool(
        self, caller: Caller, name: str, request: Request, *, force: bool
    ) -> None:
        """Delete a pool; with ``force`` what uses it is in the Default pool then.

        A job that names a pool which is gone counts as the Default pool's.
        """
        self._may_change(caller)

        async def act(ledger: Ledger | None) -> None:
            self._require_pool(name)
            check_deletable(name)
            users = self._pool_users(name)
            if users and not force:
                raise HpcError("POOL_IN_USE", name=name, users=users)
            moved = {
                one.name: replace(one, pool="", revision=one.revision + 1)
                for one in self._world.settings.templates.values()
                if one.pool == name
            }
            await self._put(name, None, ledger, moved)

        await self._ledgers.once(caller, request, act)

    def _pool_users(self, name: str) -> str:
        """Return in words what uses a pool; empty: nothing."""
        templates = self._world.settings.templates.values()
        users = [f"job template {each.name}" for each in templates if each.pool == name]
        jobs = self._world.jobs.in_pool(name)
        if jobs:
            users.append(f"{len(jobs)} active job{'s' if len(jobs) > 1 else ''}")
        return ", ".join(users)

    def _may_change(self, caller: Caller) -> None:
        caller.require_administrator("change pools")
        if not self._world.settings.pools:
            raise HpcError("POOLS_NOT_ENABLED")

    def _require_pool(self, name: str) -> None:
        if not name:
            raise HpcError("REQUIRED_FIELD", field="name")
        if name not in self._world.pools:
            raise HpcError("POOL_NOT_FOUND", name=name)

    async def _put(
        self,
        name: str,
        weight: int | None,
        ledger: Ledger | None,
        templates: Mapping[str, Template] | None = None,
    ) -> Any:
        """Make a change durable, then let it be in force everywhere."""
        world, moved = self._world, templates or {}
        body = None if weight is None else pack({"weight": weight})
        entries: dict[tuple[str, str], bytes | None] = {(KIND, name): body}
        for one in moved.values():
            entries[TEMPLATES, one.name] = encode_template(one)
        requests = []
        if ledger is not None:
            requests = [request_row(ledger, None, world.clock.wall())]
        await written(world, Delta(entries=entries, requests=requests))
        if moved:
            both = {**world.settings.templates, **moved}
            world.settings = replace(world.settings, templates=both)
        pools = {n: w for n, w in world.pools.items() if n != name}
        world.pools = pools if weight is None else {**pools, name: weight}
        world.jobs.refresh()
        world.scheduler.wake()

    def _pool_views(self) -> list[PoolView]:
        world = self._world
        books = world.scheduler.books
        guarantees = guarantees_of(world.pools.items(), books.ready_cores)
        held: Counter[str] = Counter()
        for pool, cores in books.held_by_pool().items():
            held[world.pool_of(pool)] += cores
        jobs = Counter(world.pool_of(pool) for pool in world.jobs.pools())
        return [
            PoolView(
                name=name,
                weight=weight,
                guarantee=guarantees[name],
                current_allocation=held[name],
                jobs=jobs[name],
            )
            for name, weight in sorted(world.pools.items())
        ]
