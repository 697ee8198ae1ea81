"""Use cases of the cluster as a whole."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from hpcsched.core.views import ClusterView

if TYPE_CHECKING:
    from hpcsched.core.caller import Caller
    from hpcsched.runtime.ledger import Ledgers
    from hpcsched.runtime.world import World


class ClusterCalls:
    """The part of ``runtime.front.ClusterFront`` about the whole."""

    _world: World
    _ledgers: Ledgers
    _version: str
    _start_time: float
    _term: int

    async def cluster(self, caller: Caller) -> ClusterView:
        """Return totals."""
        del caller
        nodes: Counter[str] = Counter()
        cores = busy = idle = sockets = 0
        for actor in self._world.nodes:
            record = actor.record
            used = self._world.scheduler.cores_in_use(record.node_id)
            nodes["total"] += 1
            if not actor.reachable:
                nodes["unreachable"] += 1
            elif actor.ready:
                nodes["ready"] += 1
            nodes[record.state.name.lower()] += 1
            cores += record.cores
            sockets += record.sockets
            busy += used
            idle += record.cores - used if actor.ready else 0
        return ClusterView(
            name=self._world.scene.cluster,
            version=self._version,
            start_time=self._start_time,
            term=self._term,
            nodes=dict(nodes),
            cores_total=cores,
            cores_busy=busy,
            cores_idle=idle,
            sockets=sockets,
            task_counts=self._world.tally.counts,
            restore_mode=self._world.settings.restore_mode,
            job_counts=await self._world.store.job_counts(),
            last_seq=self._world.feed.last,
            head=self._world.scene.head,
            safe_mode=self._world.unsafe,
            disk_problem=self._world.full,
            jobs_set_aside=len(self._world.apart),
            alarms=self._world.alarms.texts(),
            loop_lag_ms=int(self._world.lag.worst_s * 1000),
        )
