"""Use cases of the cluster and its parameters."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from hpcsched.common.errors import HpcError
from hpcsched.core.parameters import PARAMETERS, find, parse
from hpcsched.core.settings import Settings
from hpcsched.core.views import ClusterView
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

RECONNECT_MS: Final = 100


class ClusterCalls:
    """The part of ``runtime.front.ClusterFront`` about parameters and totals."""

    _world: World
    _ledgers: Ledgers
    _texts: dict[str, str]
    _version: str
    _start_time: float
    _term: int

    async def cluster(self, caller: Caller) -> ClusterView:
        """Return totals."""
        del caller
        nodes: Counter[str] = Counter()
        cores = busy = 0
        for actor in self._world.nodes:
            nodes["total"] += 1
            if not actor.reachable:
                nodes["unreachable"] += 1
            elif actor.ready:
                nodes["ready"] += 1
            nodes[actor.record.state.name.lower()] += 1
            cores += actor.record.cores
            busy += self._world.scheduler.cores_in_use(actor.record.node_id)
        return ClusterView(
            name=self._world.scene.cluster,
            version=self._version,
            start_time=self._start_time,
            term=self._term,
            nodes=dict(nodes),
            cores_total=cores,
            cores_busy=busy,
            job_counts=await self._world.store.job_counts(),
            last_seq=self._world.feed.last,
        )

    async def parameters(
        self, caller: Caller, names: Sequence[str]
    ) -> Sequence[tuple[str, str, str, str]]:
        """Return (name, value, default, description) by name."""
        del caller
        chosen = [find(name) for name in names] if names else list(PARAMETERS)
        return [
            (p.name, self._texts.get(p.name, p.default), p.default, p.description)
            for p in sorted(chosen, key=lambda p: p.name)
        ]

    async def set_parameters(
        self, caller: Caller, values: Mapping[str, str], request: Request
    ) -> Sequence[tuple[str, str, str, str]]:
        """Set parameters, all or none; an empty value restores the default."""
        caller.require_administrator("set cluster parameters")
        if not values:
            raise HpcError("REQUIRED_FIELD", field="values")
        chosen: dict[str, str | None] = {}
        for name, text in values.items():
            parameter = find(name)
            if text:
                parse(parameter, text)
            chosen[parameter.name] = text or None

        async def act(ledger: Ledger | None) -> Any:
            rows = []
            if ledger is not None:
                rows = [request_row(ledger, None, self._world.clock.wall())]
            await written(self._world, Delta(parameters=chosen, requests=rows))
            for name, text in chosen.items():
                if text is None:
                    self._texts.pop(name, None)
                else:
                    self._texts[name] = text
            self._obey(Settings.from_texts(self._texts))

        await self._ledgers.once(caller, request, act)
        return await self.parameters(caller, list(chosen))

    def _obey(self, settings: Settings) -> None:
        """Let new settings be in force everywhere at once."""
        before, self._world.settings = self._world.settings, settings
        self._world.jobs.refresh()
        if before.heartbeat_s != settings.heartbeat_s:
            # Agents learn their interval when they connect.
            self._world.nodes.goodbye(retry_ms=RECONNECT_MS)
