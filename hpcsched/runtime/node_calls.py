"""Use cases of nodes: ``runtime.front.NodeFront``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from hpcsched.common.errors import HpcError
from hpcsched.core.job.cores import occupied_cores
from hpcsched.core.views import CoreView
from hpcsched.runtime.node_changes import Change
from hpcsched.runtime.node_event import NodeEvent
from hpcsched.runtime.node_record import Affinity, JobTypes, NodeState
from hpcsched.runtime.turns import request_row

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from hpcsched.core.caller import Caller
    from hpcsched.core.job.model import Job
    from hpcsched.core.views import NodeView
    from hpcsched.runtime.front import Request
    from hpcsched.runtime.ledger import Ledgers
    from hpcsched.runtime.mail import Ledger
    from hpcsched.runtime.node_actor import NodeActor
    from hpcsched.runtime.node_front import NodeQuery, NodeUpdate
    from hpcsched.runtime.node_record import NodeRecord
    from hpcsched.runtime.world import World
    from hpcsched.store.base import RequestRow

    Act = Callable[[RequestRow | None], Awaitable[None]]

REASON_LIMIT: Final = 320
LABEL_NAME_LIMIT: Final = 80
LABEL_VALUE_LIMIT: Final = 1024
LABELS: Final = 64
OFFLINE, IDLE, BUSY, DRAINING, RESERVED = range(5)
"""SchedulerCoreState (lifecycle.md 1.4)."""


class NodeCalls:
    """See the module."""

    _world: World
    _ledgers: Ledgers

    async def find_nodes(self, caller: Caller, query: NodeQuery) -> Sequence[NodeView]:
        """Return the nodes that a query chooses, by name.

        Raises:
            HpcError: NODE_NOT_FOUND, NODE_GROUP_NOT_FOUND.
        """
        del caller
        for group in query.groups:
            self._world.groups.require(group)
        return [
            view
            for view in self._world.nodes.views(query.names)
            if set(query.groups).issubset(view.groups)
            if not query.states or view.state in query.states
            if all(
                name in view.labels and value in ("", view.labels[name])
                for name, value in query.labels.items()
            )
        ]

    async def online_nodes(
        self, caller: Caller, names: Sequence[str], request: Request
    ) -> Sequence[NodeView]:
        """Let nodes take work."""
        return await self._set_nodes(caller, names, request, NodeState.ONLINE, "")

    async def offline_nodes(
        self,
        caller: Caller,
        names: Sequence[str],
        request: Request,
        *,
        drain: bool,
        reason: str,
        fenced: bool = False,
    ) -> Sequence[NodeView]:
        """Take nodes out, at once or after what runs there.

        ``fenced``: they are lost, and nothing runs there any more: what is held there
        (node_loss) is run again elsewhere.
        """
        if fenced and drain:
            problem = "not together with drain"
            raise HpcError("INVALID_FIELD", field="fenced", problem=problem)
        if fenced:
            reason = f"fenced: {reason}" if reason else "fenced"
        if len(reason) > REASON_LIMIT:
            length = len(reason)
            raise HpcError(
                "TEXT_TOO_LONG", field="reason", length=length, limit=REASON_LIMIT
            )
        state = NodeState.DRAINING if drain else NodeState.OFFLINE
        return await self._set_nodes(
            caller, names, request, state, reason, fenced=fenced
        )

    async def _set_nodes(
        self,
        caller: Caller,
        names: Sequence[str],
        request: Request,
        state: NodeState,
        reason: str,
        *,
        fenced: bool = False,
    ) -> Sequence[NodeView]:
        caller.require_administrator(f"take nodes {state.name.lower()}")
        actors = self._some_nodes(names, "names")
        nodes = self._world.nodes
        for part, actor in enumerate(actors):

            async def act(row: RequestRow | None, actor: NodeActor = actor) -> None:
                await nodes.set_state(
                    actor, state, reason, caller.user, row, fenced=fenced
                )

            await self._node_once(caller, request, act, part=part)
        return [nodes.view(actor) for actor in actors]

    async def update_nodes(
        self, caller: Caller, names: Sequence[str], update: NodeUpdate, request: Request
    ) -> Sequence[NodeView]:
        """Change what administrators say about nodes; all of them or none."""
        caller.require_administrator("change nodes")
        actors = self._some_nodes(names, "names")
        _check_labels(update.labels)
        job_types = None
        if update.job_types is not None:
            job_types = JobTypes(update.job_types)
        affinity = None if update.affinity is None else Affinity(update.affinity)
        if not update.labels and job_types is None and affinity is None:
            raise HpcError("REQUIRED_FIELD", field="labels, job_types or affinity")

        def updated(before: NodeRecord) -> NodeRecord:
            labels = {**before.labels, **update.labels}
            record = replace(
                before, labels={k: v for k, v in sorted(labels.items()) if v}
            )
            if len(record.labels) > LABELS:
                raise HpcError(
                    "OUT_OF_RANGE",
                    field="labels",
                    value=f"{len(record.labels)} of node {record.name}",
                    limit=f"at most {LABELS}",
                )
            if job_types is not None:
                record = replace(record, job_types=job_types)
            if affinity is not None:
                record = replace(record, affinity=affinity)
            return record

        def decide() -> Change:
            both = [(actor, updated(actor.record)) for actor in actors]
            different = [pair for pair in both if pair[0].record != pair[1]]
            events = [self._told(caller, *pair) for pair in different]
            return Change(records=different, events=events)

        await self._make(caller, request, actors, decide)
        return [self._world.nodes.view(actor) for actor in actors]

    def _told(self, caller: Caller, actor: NodeActor, record: NodeRecord) -> NodeEvent:
        """Return the event of what administrators have said about a node."""
        before = actor.record
        parts = []
        for name in sorted({*before.labels, *record.labels}):
            old, new = before.labels.get(name), record.labels.get(name)
            if old != new:
                parts.append(f"{name}={new}" if new else f"without {name}")
        if record.job_types != before.job_types:
            kinds = [kind.name or "" for kind in JobTypes if kind in record.job_types]
            parts.append(f"takes {', '.join(kinds).lower()} jobs")
        if record.affinity != before.affinity:
            parts.append(f"affinity {record.affinity.name.lower()}")
        return self._event("NodeChanged", caller, actor, ", ".join(parts))

    def _event(
        self, name: str, caller: Caller, actor: NodeActor, message: str
    ) -> NodeEvent:
        state = actor.record.state
        return NodeEvent(
            name=name,
            time=self._world.clock.wall(),
            actor=caller.user,
            node=actor.record.name,
            state=state,
            previous=state,
            reachable=actor.reachable,
            message=message[:REASON_LIMIT],
        )

    async def forget_nodes(
        self, caller: Caller, names: Sequence[str], request: Request
    ) -> None:
        """Forget nodes that are gone for good; all of them or none."""
        caller.require_administrator("forget nodes")
        nodes = self._world.nodes

        async def act(row: RequestRow | None) -> None:
            actors = self._some_nodes(names, "names")

            def decide() -> Change:
                for actor in actors:
                    _check_forgettable(actor)
                records = [(a, replace(a.record, removed=True)) for a in actors]
                events = [self._event("NodeRemoved", caller, a, "") for a in actors]

                def then() -> None:
                    for actor in actors:
                        nodes.drop(actor)

                return Change(records=records, events=events, then=then)

            await nodes.changes.make([a.record.name for a in actors], decide, row)

        await self._node_once(caller, request, act)

    async def cores(self, caller: Caller, name: str) -> Sequence[CoreView]:
        """Return what each core of a node does now.

        Raises:
            HpcError: NODE_NOT_FOUND.
        """
        del caller
        node = self._world.nodes.find(name)
        node_id = node.record.node_id
        held: dict[int, int] = {}
        busy: dict[int, tuple[int, int]] = {}

        def look(job: Job) -> dict[int, tuple[int, int]]:
            return occupied_cores(job, node_id)

        for job_id, cores in self._world.scheduler.held_on(node_id).items():
            held.update(dict.fromkeys(cores, job_id))
            try:
                busy.update(await self._world.jobs.look(job_id, look))
            except HpcError:
                continue  # it has gone in the meantime
        takes = node.record.state is NodeState.ONLINE and node.reachable

        def view(core: int) -> CoreView:
            job_id = held.get(core, 0)
            task = busy.get(core, (0, 0)) if job_id else (0, 0)
            if not job_id:
                state = IDLE if takes else OFFLINE
            elif not takes:
                state = DRAINING if node.reachable else OFFLINE
            else:
                state = BUSY if task[0] else RESERVED
            return CoreView(
                core=core,
                state=state,
                job_id=job_id,
                task_id=task[0],
                instance_id=task[1],
            )

        return [view(core) for core in range(node.record.cores)]

    def _some_nodes(self, names: Sequence[str], field: str) -> list[NodeActor]:
        """Return nodes by name, each once.

        Raises:
            HpcError: REQUIRED_FIELD, NODE_NOT_FOUND.
        """
        if not names:
            raise HpcError("REQUIRED_FIELD", field=field)
        return [self._world.nodes.find(name) for name in dict.fromkeys(names)]

    async def _make(
        self,
        caller: Caller,
        request: Request,
        actors: Sequence[NodeActor],
        decide: Callable[[], Change],
    ) -> None:
        async def act(row: RequestRow | None) -> None:
            names = [actor.record.name for actor in actors]
            await self._world.nodes.changes.make(names, decide, row)

        await self._node_once(caller, request, act)

    async def _node_once(
        self, caller: Caller, request: Request, act: Act, part: int = 0
    ) -> None:
        async def with_row(ledger: Ledger | None) -> Any:
            row = None
            if ledger is not None:
                row = request_row(ledger, None, self._world.clock.wall())
            await act(row)

        await self._ledgers.once(caller, request, with_row, part=part)


def _check_forgettable(actor: NodeActor) -> None:
    problem = ""
    if actor.record.state is not NodeState.OFFLINE:
        problem = f"it is {actor.record.state.name.capitalize()}"
    elif actor.session is not None:
        problem = "it is connected"
    elif actor.jobs:
        jobs = ", ".join(str(job_id) for job_id in sorted(actor.jobs)[:8])
        problem = f"jobs are still there: {jobs}"
    if problem:
        name = actor.record.name
        raise HpcError("NODE_NOT_FORGETTABLE", node=name, problem=problem)


def _check_labels(labels: Mapping[str, str]) -> None:
    for name, value in labels.items():
        if not name.strip() or any(c in name for c in "=,"):
            problem = f"{name!r} is no name of a label: without '=' and ','"
            raise HpcError("INVALID_FIELD", field="labels", problem=problem)
        for what, text, limit in (
            ("CUSTOM_PROPERTY_NAME_TOO_LONG", name, LABEL_NAME_LIMIT),
            ("CUSTOM_PROPERTY_VALUE_TOO_LONG", value, LABEL_VALUE_LIMIT),
        ):
            if len(text) > limit:
                raise HpcError(what, field="labels", length=len(text), limit=limit)
