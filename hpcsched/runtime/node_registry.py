"""The nodes of the cluster, by name and number."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from hpcsched.common.errors import HpcError
from hpcsched.runtime.frames import HeadFrame, Welcome
from hpcsched.runtime.node_actor import NodeActor
from hpcsched.runtime.node_admission import (
    PROTOCOL,
    admission,
    check_hello,
    declared_groups,
)
from hpcsched.runtime.node_changes import Change, NodeChanges
from hpcsched.runtime.node_event import SYSTEM, NodeEvent, agent_of
from hpcsched.runtime.node_record import NodeRecord, NodeState
from hpcsched.store.base import Delta

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from hpcsched.core.orders import Order
    from hpcsched.core.scheduling.snapshot import NodeFree
    from hpcsched.core.views import NodeView
    from hpcsched.runtime.frames import AgentLink, Hello
    from hpcsched.runtime.node_session import Session
    from hpcsched.runtime.world import World
    from hpcsched.store.base import NodeRow, RequestRow

log = logging.getLogger(__name__)
TRANSPORT_BEAT_S: Final = 10.0
LEASE_MS: Final = 600_000
OUTPUT_QUOTA: Final = 1 << 30
NODE_LIMIT: Final = 100_000
RETRY_S: Final = 5.0


class NodeRegistry:
    """Finds nodes, lets them in, and keeps their records."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._sessions = 0
        self._by_id: dict[int, NodeActor] = {}
        self._by_name: dict[str, NodeActor] = {}
        self._uses: dict[int, frozenset[int]] = {}
        self._last_id = 0
        self._newest: dict[str, int] = {}
        self.changes = NodeChanges(world)

    def restore(self, rows: Iterable[NodeRow]) -> None:
        """Take in stored nodes; none is reachable yet."""
        for row in rows:
            record = NodeRecord.from_row(row)
            if record.removed:
                self._last_id = max(self._last_id, record.node_id)
                self._world.scene.node_names[record.node_id] = record.name
            else:
                self._register(NodeActor(self._world, record))

    def _register(self, actor: NodeActor) -> None:
        record = actor.record
        self._last_id = max(self._last_id, record.node_id)
        self._by_id[record.node_id] = actor
        self._by_name[record.name] = actor
        self._world.scene.node_names[record.node_id] = record.name

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

    def drop(self, actor: NodeActor) -> None:
        """A node has been forgotten; its number keeps its name."""
        record = actor.record
        del self._by_id[record.node_id], self._by_name[record.name]
        self._newest.pop(record.name, None)
        self._world.scheduler.forget_node(record.node_id)
        self._world.connections.forget(record.node_id)

    def node(self, name: str) -> NodeFree | None:
        """Return what is known of a node by name (``core.scheduling.inventory``)."""
        actor = self._by_name.get(name)
        return None if actor is None else actor.record.idle()

    def nodes(self) -> Iterator[NodeFree]:
        """Return what is known of each node."""
        return (actor.record.idle() for actor in self._by_id.values())

    def has_group(self, name: str) -> bool:
        """Is there such a node group?"""
        return self._world.groups.known(name)

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
        if nodes is before or nodes == before:
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
            actor.usages.forget_job(job_id)
            self.look_at_drain(actor)

    def outgrown(self, node_id: int, job_id: int) -> None:
        """A job holds cores that the node has no longer: it leaves the node."""
        actor = self._by_id[node_id]
        unit = "core" if actor.record.cores == 1 else "cores"
        why = f"node {actor.record.name} came back with {actor.record.cores} {unit}"
        actor.evict(job_id, why)

    async def connect(
        self, hello: Hello, link: AgentLink, *, token_node: str
    ) -> Session:
        """Accept a node's stream (runtime.frames.AgentFront)."""
        check_hello(hello, token_node)
        self._world.safety.look_at(hello)
        self._sessions += 1
        number = self._newest[hello.node] = self._sessions
        try:
            actor = await self._admit(hello)
            if self._newest[hello.node] != number:
                raise HpcError("STALE_SESSION", node=hello.node)
        finally:
            if hello.node not in self._by_name:
                self._newest.pop(hello.node, None)
                self.changes.forget(hello.node)
        rebooted = actor.record.compared_boot_id != hello.boot_id
        beat = min(TRANSPORT_BEAT_S, float(self._world.settings.heartbeat_s))
        session = actor.connect(link, hello, rebooted=rebooted, beat_s=beat)
        identity = self._world.identity
        welcome = Welcome(
            session=number,
            term=identity.term,
            heartbeat_ms=int(beat * 1000),
            lease_ms=LEASE_MS,
            protocol=PROTOCOL,
            cluster_name=self._world.scene.cluster,
            node_id=actor.record.node_id,
            output_quota_bytes=OUTPUT_QUOTA,
            cluster=identity.cluster,
            run=identity.run,
        )
        link.send(HeadFrame(welcome=welcome))
        self._world.safety.welcomed(hello.node)
        self._world.connections.note(actor.record.node_id)
        return session

    async def _admit(self, hello: Hello) -> NodeActor:
        """Return the node's actor, with what the Hello says recorded."""

        def decide() -> Change:
            actor = self._by_name.get(hello.node)
            if actor is not None:
                return admission(self._world, actor, hello, new=False)
            actor = NodeActor(self._world, self._blank(hello.node))
            change = admission(self._world, actor, hello, new=True)
            groups_known = change.then

            def then() -> None:
                if groups_known is not None:
                    groups_known()
                self._register(actor)

            change.then = then
            return change

        known = all(map(self._world.groups.known, declared_groups(hello)))
        # Whoever makes groups takes turns with all that do.
        names = [hello.node] if known else ["", hello.node]
        await self.changes.make(names, decide)
        return self._by_name[hello.node]

    def _blank(self, name: str) -> NodeRecord:
        """Return the record of a node that joins; its number is never used again.

        Raises:
            HpcError: QUEUE_FULL.
        """
        if len(self._by_id) >= NODE_LIMIT:
            raise HpcError("QUEUE_FULL", what="there are too many nodes")
        self._last_id += 1
        now = self._world.clock.wall()
        return NodeRecord(
            node_id=self._last_id, name=name, join_time=now, online_time=now
        )

    def compared(self, actor: NodeActor, boot_id: str) -> None:
        """Every job has learned what lives on the node since it booted."""

        def decide() -> Change:
            record = replace(actor.record, compared_boot_id=boot_id)
            return Change(records=[(actor, record)])

        if actor.record.compared_boot_id != boot_id:
            self._world.spawn(self.changes.make([actor.record.name], decide))

    def reach_changed(self, actor: NodeActor, name: str, message: str) -> None:
        """Record that a node is reachable or no longer, and show it once durable."""
        record = actor.record
        event = NodeEvent(
            name=name,
            time=self._world.clock.wall(),
            actor=agent_of(record.name) if actor.reachable else SYSTEM,
            node=record.name,
            state=record.state,
            previous=record.state,
            reachable=actor.reachable,
            message=message,
        )

        def done(seq: int, error: BaseException | None) -> None:
            if error is None:
                self._world.feed.publish([event.view(seq)])
                return
            log.error("node %s: %s was not recorded: %s", event.node, name, error)
            clock = self._world.clock
            clock.call_at(clock.mono() + RETRY_S, again)

        def again() -> None:
            if actor.reachable == event.reachable and not actor.record.removed:
                self.reach_changed(actor, name, message)

        self._world.store.commit(Delta(events=[event.row()]), done)

    async def set_state(
        self,
        actor: NodeActor,
        state: NodeState,
        reason: str,
        by: str,
        request: RequestRow | None = None,
        *,
        fenced: bool = False,
    ) -> None:
        """Change a node's state, durably; then what it means.

        One that is in this state, or Offline when it is to be drained, stays as it is:
        no transition, no time of one. Another reason is noted.

        Raises:
            HpcError: DISK_FULL, OUTCOME_UNKNOWN; NODE_NOT_LOST: it cannot be fenced;
                then it is as it was.
        """

        def decide() -> Change:
            before = actor.record
            if fenced and not actor.known_lost:
                raise HpcError("NODE_NOT_LOST", node=before.name)
            to = state
            if to is NodeState.DRAINING and not actor.busy:
                to = NodeState.OFFLINE
            if to is NodeState.DRAINING and before.state is NodeState.OFFLINE:
                to = NodeState.OFFLINE
            now = self._world.clock.wall()
            known = reason in {"", before.reason} and fenced <= before.fenced
            if to is before.state and known:
                return Change()
            # Nobody waited for what ran there: that is forced (IsForcedOffline).
            forced = state is NodeState.OFFLINE and by != SYSTEM and actor.busy
            record = before.in_state(to, reason, now, forced=forced, fenced=fenced)
            name = f"Node{to.name.capitalize()}"
            if to is before.state:
                record = replace(before, reason=reason, fenced=record.fenced)
                name = "NodeChanged"
            event = NodeEvent(
                name=name,
                time=now,
                actor=by,
                node=record.name,
                state=to,
                previous=before.state,
                reachable=actor.reachable,
                message=reason,
            )
            return Change(records=[(actor, record)], events=[event])

        await self.changes.make([actor.record.name], decide, request)
        self.look_at_drain(actor)

    def drain(self, actor: NodeActor, reason: str) -> None:
        """Take a node with a trouble of its own out of use, as soon as that can be."""

        async def work() -> None:
            while actor.record.state is NodeState.ONLINE:
                try:
                    log.error("node %s is drained: %s", actor.record.name, reason)
                    await self.set_state(actor, NodeState.DRAINING, reason, SYSTEM)
                except HpcError as error:
                    log.warning("node %s: %s; trying again", actor.record.name, error)
                    await self._world.clock.sleep(RETRY_S)

        self._world.spawn(work())

    def look_at_drain(self, actor: NodeActor) -> None:
        """A draining node without jobs is Offline."""
        if actor.drained:
            self._world.spawn(self._drained(actor))

    async def _drained(self, actor: NodeActor) -> None:
        while actor.drained:
            try:
                reason = actor.record.reason
                await self.set_state(actor, NodeState.OFFLINE, reason, SYSTEM)
            except HpcError as error:
                log.warning("node %s: %s; trying again", actor.record.name, error)
                await self._world.clock.sleep(RETRY_S)

    def check(self) -> None:
        """Look for silent nodes; in safe mode all are, and none is lost."""
        if self._world.unsafe:
            return
        settings = self._world.settings
        limit = float(settings.heartbeat_s * settings.inactivity)
        remote = float(settings.heartbeat_s * settings.inactivity_remote)
        for actor in self._by_id.values():
            actor.check(remote if actor.record.is_remote else limit)

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
        view = actor.record.view(
            reachable=actor.reachable,
            heard=actor.heard_wall,
            cores_in_use=scheduler.cores_in_use(node_id),
            jobs=tuple(sorted(actor.jobs)),
            running=actor.running,
            load=actor.load,
        )
        return replace(view, orphans=actor.orphans) if actor.orphans else view

    def part(self, error: HpcError) -> None:
        """End every session: safe mode has begun."""
        for actor in self._by_id.values():
            if actor.session is not None:
                actor.break_off(actor.session, error)

    def goodbye(self, retry_ms: int) -> None:
        """Tell every agent that the head is about to stop."""
        for actor in self._by_id.values():
            if actor.session is not None:
                actor.session.link.send(HeadFrame(goodbye_retry_ms=retry_ms))
