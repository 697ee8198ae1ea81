"""The nodes of the cluster, by name and number."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from hpcsched.common.errors import HpcError
from hpcsched.core.job.codec import pack
from hpcsched.core.views import EventView
from hpcsched.runtime.frames import HeadFrame, Welcome
from hpcsched.runtime.node_actor import NodeActor, Session
from hpcsched.runtime.node_record import NodeRecord, NodeState
from hpcsched.store.base import Delta, EventRow, RequestRow

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable, Sequence

    from hpcsched.core.orders import Order
    from hpcsched.core.views import NodeView
    from hpcsched.runtime.frames import AgentLink, Hello
    from hpcsched.runtime.world import World
    from hpcsched.store.base import NodeRow

_log = logging.getLogger(__name__)
PROTOCOL: Final = 1
TRANSPORT_BEAT_S: Final = 10.0
LEASE_MS: Final = 600_000
OUTPUT_QUOTA: Final = 1 << 30
NODE_LIMIT: Final = 100_000


class NodeRegistry:
    """Finds nodes, lets them in, and keeps their records."""

    def __init__(self, world: World, term: int) -> None:
        self._world = world
        self._term = term
        self._sessions = 0
        self._by_id: dict[int, NodeActor] = {}
        self._by_name: dict[str, NodeActor] = {}
        self._uses: dict[int, frozenset[int]] = {}

    def restore(self, rows: Iterable[NodeRow]) -> None:
        """Take in stored nodes; none is reachable yet."""
        for row in rows:
            self._adopt(NodeRecord.from_row(row))

    def _adopt(self, record: NodeRecord) -> NodeActor:
        actor = NodeActor(self._world, record)
        self._by_id[record.node_id] = actor
        self._by_name[record.name] = actor
        self._world.scene.node_names[record.node_id] = record.name
        return actor

    def __iter__(self) -> Any:
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)

    def find(self, name: str) -> NodeActor:
        """Return a node by name.

        Raises:
            HpcError: NODE_NOT_FOUND.
        """
        actor = self._by_name.get(name)
        if actor is None:
            raise HpcError("NODE_NOT_FOUND", node=name)
        return actor

    def known(self, name: str) -> bool:
        """Is there such a node?"""
        return name in self._by_name

    def by_id(self, node_id: int) -> NodeActor | None:
        """Return a node by number."""
        return self._by_id.get(node_id)

    def send(self, node_id: int, order: Order) -> None:
        """Send an order to a node."""
        actor = self._by_id.get(node_id)
        if actor is not None:
            actor.send(order)

    def note_uses(self, job_id: int, nodes: frozenset[int]) -> None:
        """A job holds something on exactly these nodes."""
        before = self._uses.get(job_id, frozenset())
        if nodes == before:
            return
        if nodes:
            self._uses[job_id] = nodes
        else:
            del self._uses[job_id]
        for node_id in nodes - before:
            self._by_id[node_id].jobs.add(job_id)
        for node_id in before - nodes:
            actor = self._by_id[node_id]
            actor.jobs.discard(job_id)
            if actor.record.state is NodeState.DRAINING:
                self.look_at_drain(actor)

    async def connect(
        self, hello: Hello, link: AgentLink, *, token_node: str
    ) -> Session:
        """Accept a node's stream (runtime.frames.AgentFront)."""
        if token_node not in ("*", hello.node):
            raise HpcError(
                "PERMISSION_DENIED", user=token_node, operation=f"join as {hello.node}"
            )
        if not hello.protocol_min <= PROTOCOL <= hello.protocol_max:
            raise HpcError(
                "PROTOCOL_MISMATCH",
                low=hello.protocol_min,
                high=hello.protocol_max,
                ours=PROTOCOL,
            )
        _check(hello)
        actor = self._by_name.get(hello.node)
        rebooted = False
        if actor is None:
            if len(self._by_id) >= NODE_LIMIT:
                raise HpcError("QUEUE_FULL", what="too many nodes")
            node_id = max(self._by_id, default=0) + 1
            now = self._world.clock.wall()
            actor = self._adopt(
                NodeRecord(node_id=node_id, name=hello.node, online_time=now)
            )
        else:
            other = actor.record.machine_id
            alive = (
                actor.session is not None
                and actor.session.hello.boot_id != hello.boot_id
            )
            if alive and other and other != hello.machine_id:
                raise HpcError("NODE_CONFLICT", node=hello.node)
            rebooted = (
                bool(actor.record.boot_id) and actor.record.boot_id != hello.boot_id
            )
        if actor.record.learn(hello):
            await self._commit(Delta(nodes=[actor.record.row()]))
        session = actor.connect(link, hello, rebooted=rebooted)
        self._sessions += 1
        beat = min(TRANSPORT_BEAT_S, float(self._world.settings.heartbeat_s))
        link.send(
            HeadFrame(
                welcome=Welcome(
                    session=self._sessions,
                    term=self._term,
                    heartbeat_ms=int(beat * 1000),
                    lease_ms=LEASE_MS,
                    protocol=PROTOCOL,
                    cluster_name=self._world.scene.cluster,
                    node_id=actor.record.node_id,
                    output_quota_bytes=OUTPUT_QUOTA,
                )
            )
        )
        return session

    async def _commit(self, delta: Delta) -> int:
        future: asyncio.Future[int] = self._world.loop.create_future()

        def done(seq: int, error: BaseException | None) -> None:
            if not future.done():
                if error is None:
                    future.set_result(seq)
                else:
                    future.set_exception(HpcError("DISK_FULL"))

        self._world.store.commit(delta, done)
        return await future

    def changed(
        self, actor: NodeActor, previous: NodeState, name: str, by: str = "system"
    ) -> None:
        """Record a change of a node and show it once it is durable."""
        delta = self._delta(actor, previous, name, by, None)
        self._world.store.commit(delta, self._shown(actor, previous, name, by))

    def _delta(
        self,
        actor: NodeActor,
        previous: NodeState,
        name: str,
        by: str,
        request: RequestRow | None,
    ) -> Delta:
        record = actor.record
        change = (int(actor.reachable), (), int(record.state), int(previous))
        body = pack(
            {
                "n": name,
                "a": f"node:{record.name}",
                "t": record.reason or by,
                "c": [change],
            }
        )
        row = EventRow(
            job_id=0, revision=0, time=self._world.clock.wall(), owner="", body=body
        )
        requests = [] if request is None else [request]
        return Delta(events=[row], nodes=[record.row()], requests=requests)

    def _shown(self, actor: NodeActor, previous: NodeState, name: str, by: str) -> Any:
        record = actor.record
        state, reachable, now = record.state, actor.reachable, self._world.clock.wall()
        message = record.reason or by

        def done(seq: int, error: BaseException | None) -> None:
            if error is not None:
                _log.error(
                    "node %s: its change was not recorded: %s", record.name, error
                )
                return
            view = EventView(
                seq=seq,
                job_id=0,
                revision=0,
                time=now,
                owner="",
                name=name,
                actor=f"node:{record.name}",
                message=message,
                node=record.name,
                node_state=(int(state), int(previous)),
                node_reachable=reachable,
            )
            self._world.feed.publish([view])

        return done

    async def set_state(
        self,
        actor: NodeActor,
        state: NodeState,
        reason: str,
        by: str,
        request: RequestRow | None = None,
    ) -> None:
        """Change a node's state, durably.

        Raises:
            HpcError: DISK_FULL.
        """
        record = actor.record
        previous = record.state
        record.previous_state, record.state, record.reason = previous, state, reason
        now = self._world.clock.wall()
        if state is NodeState.ONLINE:
            record.online_time = now
        elif state is NodeState.OFFLINE:
            record.offline_time = now
        name = f"Node{state.name.capitalize()}"
        delta = self._delta(actor, previous, name, by, request)
        shown = self._shown(actor, previous, name, by)
        future: asyncio.Future[None] = self._world.loop.create_future()

        def done(seq: int, error: BaseException | None) -> None:
            shown(seq, error)
            if future.done():
                return
            if error is None:
                future.set_result(None)
            else:
                record.state = previous
                future.set_exception(HpcError("DISK_FULL"))

        self._world.store.commit(delta, done)
        actor.state_changed()
        await future

    def look_at_drain(self, actor: NodeActor) -> None:
        """A draining node without jobs is Offline."""
        if actor.record.state is NodeState.DRAINING and not actor.jobs:
            self._world.spawn(self._drained(actor))

    async def _drained(self, actor: NodeActor) -> None:
        if actor.record.state is NodeState.DRAINING and not actor.jobs:
            reason = actor.record.reason
            await self.set_state(actor, NodeState.OFFLINE, reason, "system")

    def check(self) -> None:
        """Look for silent nodes."""
        settings = self._world.settings
        limit = float(settings.heartbeat_s * settings.inactivity)
        for actor in self._by_id.values():
            actor.check(limit)

    def forgive(self, seconds: float) -> None:
        """The head was not listening for so long: no node is silent because of that."""
        for actor in self._by_id.values():
            actor.forgive(seconds)

    def views(self, names: Sequence[str]) -> list[NodeView]:
        """Return nodes by name; all without names.

        Raises:
            HpcError: NODE_NOT_FOUND.
        """
        chosen = (
            [self.find(name) for name in names] if names else list(self._by_id.values())
        )
        return [self.view(one) for one in sorted(chosen, key=lambda a: a.record.name)]

    def view(self, actor: NodeActor) -> NodeView:
        """Return one node as it is shown."""
        scheduler = self._world.scheduler
        node_id = actor.record.node_id
        return actor.record.view(
            reachable=actor.reachable,
            heard=actor.heard_wall,
            cores_in_use=scheduler.cores_in_use(node_id),
            jobs=tuple(sorted(actor.jobs)),
            running=actor.running,
        )

    def goodbye(self, retry_ms: int) -> None:
        """Tell every agent that the head is about to stop."""
        for actor in self._by_id.values():
            if actor.session is not None:
                actor.session.link.send(HeadFrame(goodbye_retry_ms=retry_ms))


def _check(hello: Hello) -> None:
    name = hello.node
    if not name or len(name) > 80 or not all(c.isalnum() or c in "-._" for c in name):  # noqa: PLR2004
        problem = f"{name!r} is no name of a node (letters, digits, '-', '.', '_', at most 80)"
        raise HpcError("INVALID_FIELD", field="hello.node", problem=problem)
    if not 1 <= hello.resources.cores <= 65535:  # noqa: PLR2004
        raise HpcError(
            "OUT_OF_RANGE",
            field="hello.cores",
            value=hello.resources.cores,
            limit="1 to 65535",
        )
