"""Safe mode: a head that nodes know to be on another store looks, and touches nothing.

Nodes are not connected, no silent node is lost, nothing is started or stopped; jobs and
events can be read. It is kept in the store, so that a restart does not end it, and ends
when an operator says what is right (``hpcschedd --accept-rollback``, or the right state
directory).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from hpcsched.common.errors import HpcError
from hpcsched.core.job.codec import pack, unpack
from hpcsched.runtime.identity import Identity, is_foreign, rolled_back, seen_by
from hpcsched.store.base import Delta
from hpcsched.store.progress import (
    CLUSTER,
    UNSAFE,
    Progress,
    decode_unsafe,
    encode_unsafe,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from hpcsched.runtime.frames import Hello
    from hpcsched.runtime.world import World
    from hpcsched.store.base import ClusterState

log = logging.getLogger(__name__)
_ID = (CLUSTER, "id")


class Safety:
    """Looks at what nodes say of the past."""

    def __init__(self, world: World, state: ClusterState, next_job: Callable[[], int]):
        """Begin with what the store has.

        Args:
            world: Its ``identity`` and ``unsafe`` are set.
            state: Of the store, as this head found it.
            next_job: Returns the number of the next job.
        """
        self._world = world
        self._next_job = next_job
        self._seen = Progress()
        self._told: set[str] = set()
        self._claims: dict[str, str] = {}
        self._seen_of: dict[str, Progress] = {}
        self._agree: set[str] = set()
        self._since = 0.0
        self._is_sure = False
        self._welcomed: set[str] = set()
        term = state.counters.get("term", 0) + 1
        kept = state.entries.get(_ID)
        world.identity = Identity(
            cluster=world.ids.uuid() if kept is None else unpack(kept),
            run=world.ids.uuid(),
            term=term,
            found=Progress(term=term, next_job=next_job(), last_seq=state.last_seq),
        )
        body = state.entries.get((CLUSTER, UNSAFE))
        if body is not None:
            problem, self._seen = decode_unsafe(body)
            world.unsafe = problem
            self._is_sure = True
            self._complain()

    def entries(self) -> Mapping[tuple[str, str], bytes]:
        """Return what is to be kept of the identity."""
        return {_ID: pack(self._world.identity.cluster)}

    def look_at(self, hello: Hello) -> None:
        """Refuse a node that knows of another past; it may begin safe mode.

        Raises:
            HpcError: SAFE_MODE, NODE_OF_ANOTHER_CLUSTER, NODE_KNOWS_MORE.
        """
        world = self._world
        if is_foreign(world.identity, hello, self._next_job()):
            refusal = HpcError("NODE_OF_ANOTHER_CLUSTER", node=hello.node)
            if hello.node not in self._told:
                self._told.add(hello.node)
                count = len(hello.live)
                log.error("%s: %d attempts. %s", refusal, count, refusal.hint)
            raise refusal
        found = rolled_back(world.identity, hello, self._next_job())
        if found and hello.node not in self._welcomed:
            self._agree.discard(hello.node)
            self._claims[hello.node] = found
            self._seen_of[hello.node] = seen_by(hello)
        elif hello.cluster == world.identity.cluster:
            self._agree.add(hello.node)
            self._claims.pop(hello.node, None)
            self._seen_of.pop(hello.node, None)
        self._weigh()
        if world.unsafe:
            raise HpcError("SAFE_MODE", problem=world.unsafe)
        if found:
            refusal = HpcError("NODE_KNOWS_MORE", node=hello.node, problem=found)
            world.alarms.sound(hello.node, f"{refusal}. {refusal.hint}")
            raise refusal

    def welcomed(self, node: str) -> None:
        """A node was let in: what it says of the past from now on is no evidence.

        It knows this head since then, and says so when it comes again.
        """
        self._welcomed.add(node)

    def _weigh(self) -> None:
        """Believe the nodes that claim more if they are more than those that do not.

        One node alone cannot stop a cluster (RELIABILITY T4): while nobody has spoken
        against it, the head waits, and it is believed for good after 90 s or with a
        second one. Names that the store does not know have no voice where it knows any.
        """
        world = self._world
        known = [name for name in self._claims if self._has_voice(name)]
        against = sum(map(self._has_voice, self._agree))
        if self._is_sure:
            self._learn(known)
        elif len(known) <= against:
            self._go_on()
        else:
            now = world.clock.mono()
            settings = world.settings
            patience = float(settings.heartbeat_s * settings.inactivity)
            if not world.unsafe:
                self._since = now
                name = known[0]
                text = f"the store is older than what node {name} knows: "
                world.unsafe = text + self._claims[name]
                self._complain()
                world.nodes.part(HpcError("SAFE_MODE", problem=world.unsafe))
            waited = now - self._since >= patience
            if len(known) > 1 or len(world.nodes) <= 1 or waited:
                self._is_sure = True
                self._learn(known)

    def _has_voice(self, name: str) -> bool:
        nodes = self._world.nodes
        return not len(nodes) or nodes.node(name) is not None

    def _go_on(self) -> None:
        """The node that claimed more stands alone: it is in error, not the store."""
        world = self._world
        if not world.unsafe:
            return
        world.unsafe = ""
        log.error("safe mode is over: other nodes know no more than the store")
        world.nodes.forgive(world.clock.mono() - self._since)

    def _learn(self, names: Iterable[str]) -> None:
        """Keep how far the cluster had come, as nodes know it."""
        seen = self._seen
        for name in names:
            seen = seen.beside(self._seen_of[name])
        if seen != self._seen:
            self._seen = seen
            body = encode_unsafe(self._world.unsafe, seen)
            delta = Delta(entries={(CLUSTER, UNSAFE): body})
            self._world.store.commit(delta, _kept)

    def _complain(self) -> None:
        refusal = HpcError("SAFE_MODE", problem=self._world.unsafe)
        log.critical(
            "%s. Nothing is started or stopped, tasks run on. %s",
            refusal,
            refusal.hint,
        )


def _kept(_: int, error: BaseException | None) -> None:
    if error is not None:
        log.error("safe mode was not recorded: %s", error)
