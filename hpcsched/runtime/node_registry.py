"""The nodes of the cluster, by name and number."""

from __future__ import annotations

import asyncio
import logging
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from hpcsched.common.errors import HpcError
from hpcsched.runtime.durable import refusal_of, written
from hpcsched.runtime.frames import HeadFrame, Welcome
from hpcsched.runtime.node_actor import NodeActor, Session
from hpcsched.runtime.node_event import NodeEvent
from hpcsched.runtime.node_record import NodeRecord, NodeState
from hpcsched.store.base import Delta

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hpcsched.core.orders import Order
    from hpcsched.core.views import NodeView
    from hpcsched.runtime.frames import AgentLink, Hello
    from hpcsched.runtime.world import World
    from hpcsched.store.base import NodeRow, RequestRow

log = logging.getLogger(__name__)
PROTOCOL: Final = 1
TRANSPORT_BEAT_S: Final = 10.0
LEASE_MS: Final = 600_000
OUTPUT_QUOTA: Final = 1 << 30
NODE_LIMIT: Final = 100_000
CORE_LIMIT: Final = 65535
RETRY_S: Final = 5.0
_NAME: Final = re.compile(r"[\w.-]{1,80}")


class NodeRegistry:
    """Finds nodes, lets them in, and keeps their records."""

    def __init__(self, world: World, term: int) -> None:
        self._world = world
        self._term = term
        self._sessions = 0
        self._by_id: dict[int, NodeActor] = {}
        self._by_name: dict[str, NodeActor] = {}
        self._uses: dict[int, frozenset[int]] = {}
        self._last_id = 0
        self._newest: dict[str, int] = {}
        self._changing: dict[str, asyncio.Lock] = {}

    def restore(self, rows: Iterable[NodeRow]) -> None:
        """Take in stored nodes; none is reachable yet."""
        for row in rows:
            self._adopt(NodeRecord.from_row(row))

    def _adopt(self, record: NodeRecord) -> NodeActor:
        actor = NodeActor(self._world, record)
        self._last_id = max(self._last_id, record.node_id)
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

    def note_uses(self, job_id: int, nodes: frozenset[int], *, evictable: bool) -> None:
        """A job holds something on exactly these nodes.

        Args:
            job_id: The job.
            nodes: Their numbers.
            evictable: It has no business on a node that takes no work (commands have).
        """
        before = self._uses.get(job_id, frozenset())
        if nodes == before:
            return
        if nodes:
            self._uses[job_id] = nodes
        else:
            del self._uses[job_id]
        for node_id in nodes - before:
            self._by_id[node_id].begin_use(job_id, evictable=evictable)
        for node_id in before - nodes:
            actor = self._by_id[node_id]
            actor.jobs.pop(job_id, None)
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
        self._sessions += 1
        number = self._newest[hello.node] = self._sessions
        try:
            async with self._changing.setdefault(hello.node, asyncio.Lock()):
                actor = await self._admit(hello)
            if self._newest[hello.node] != number:
                raise HpcError("STALE_SESSION", node=hello.node)
        finally:
            if hello.node not in self._by_name:
                self._newest.pop(hello.node, None)
                self._changing.pop(hello.node, None)
        rebooted = actor.record.compared_boot_id != hello.boot_id
        beat = min(TRANSPORT_BEAT_S, float(self._world.settings.heartbeat_s))
        session = actor.connect(link, hello, rebooted=rebooted, beat_s=beat)
        welcome = Welcome(
            session=number,
            term=self._term,
            heartbeat_ms=int(beat * 1000),
            lease_ms=LEASE_MS,
            protocol=PROTOCOL,
            cluster_name=self._world.scene.cluster,
            node_id=actor.record.node_id,
            output_quota_bytes=OUTPUT_QUOTA,
        )
        link.send(HeadFrame(welcome=welcome))
        return session

    async def _admit(self, hello: Hello) -> NodeActor:
        """Return the node's actor, with what the Hello says recorded."""
        actor = self._by_name.get(hello.node)
        if actor is None:
            if len(self._by_id) >= NODE_LIMIT:
                raise HpcError("QUEUE_FULL", what="there are too many nodes")
            self._last_id += 1
            now = self._world.clock.wall()
            blank = NodeRecord(node_id=self._last_id, name=hello.node, online_time=now)
            record = blank.learned(hello)
            await written(self._world, Delta(nodes=[record.row()]))
            return self._adopt(record)
        other, session = actor.record.machine_id, actor.session
        alive = session is not None and session.hello.boot_id != hello.boot_id
        if alive and other and other != hello.machine_id:
            raise HpcError("NODE_CONFLICT", node=hello.node)
        record = actor.record.learned(hello)
        if record != actor.record:
            await written(self._world, Delta(nodes=[record.row()]))
            actor.record = record
        return actor

    def compared(self, actor: NodeActor, boot_id: str) -> None:
        """Every job has learned what lives on the node since it booted."""
        if actor.record.compared_boot_id != boot_id:
            self._world.spawn(self._compared(actor, boot_id))

    async def _compared(self, actor: NodeActor, boot_id: str) -> None:
        async with self._changing.setdefault(actor.record.name, asyncio.Lock()):
            record = replace(actor.record, compared_boot_id=boot_id)
            await written(self._world, Delta(nodes=[record.row()]))
            actor.record = record

    def changed(self, actor: NodeActor, name: str, message: str) -> None:
        """Record that a node's reachability changed, and show it once it is durable."""
        record = actor.record
        event = NodeEvent(
            name=name,
            node=record.name,
            state=record.state,
            previous=record.state,
            reachable=actor.reachable,
            message=message,
            time=self._world.clock.wall(),
        )

        def done(seq: int, error: BaseException | None) -> None:
            if error is None:
                self._world.feed.publish([event.view(seq)])
            else:
                log.error("node %s: %s was not recorded: %s", event.node, name, error)

        self._world.store.commit(Delta(events=[event.row()]), done)

    async def set_state(
        self,
        actor: NodeActor,
        state: NodeState,
        reason: str,
        by: str,
        request: RequestRow | None = None,
    ) -> None:
        """Change a node's state, durably; then what it means.

        Raises:
            HpcError: DISK_FULL, OUTCOME_UNKNOWN; then it is as it was.
        """
        async with self._changing.setdefault(actor.record.name, asyncio.Lock()):
            if state is NodeState.DRAINING and not actor.jobs:
                state = NodeState.OFFLINE
            now = self._world.clock.wall()
            record = actor.record.in_state(state, reason, now)
            event = NodeEvent(
                name=f"Node{state.name.capitalize()}",
                node=record.name,
                state=state,
                previous=actor.record.state,
                reachable=actor.reachable,
                message=reason or by,
                time=now,
            )
            delta = Delta(
                events=[event.row()],
                nodes=[record.row()],
                requests=() if request is None else (request,),
            )
            future: asyncio.Future[None] = self._world.loop.create_future()

            def done(seq: int, error: BaseException | None) -> None:
                if error is None:
                    actor.record = record
                    self._world.feed.publish([event.view(seq)])
                    actor.state_changed()
                if future.done():
                    return
                if error is None:
                    future.set_result(None)
                else:
                    future.set_exception(refusal_of(error))

            self._world.store.commit(delta, done)
            await future
        self.look_at_drain(actor)

    def look_at_drain(self, actor: NodeActor) -> None:
        """A draining node without jobs is Offline."""
        if actor.drained:
            self._world.spawn(self._drained(actor))

    async def _drained(self, actor: NodeActor) -> None:
        while actor.drained:
            try:
                reason = actor.record.reason
                await self.set_state(actor, NodeState.OFFLINE, reason, "system")
            except HpcError as error:
                log.warning("node %s: %s; trying again", actor.record.name, error)
                await self._world.clock.sleep(RETRY_S)

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
    if not _NAME.fullmatch(name):
        problem = f"{name!r} is no name of a node: letters, digits, '-', '.', '_'"
        raise HpcError("INVALID_FIELD", field="hello.node", problem=problem)
    if not 1 <= hello.resources.cores <= CORE_LIMIT:
        raise HpcError(
            "OUT_OF_RANGE",
            field="hello.cores",
            value=hello.resources.cores,
            limit=f"1 to {CORE_LIMIT}",
        )
