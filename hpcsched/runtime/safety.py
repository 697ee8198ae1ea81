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
    from collections.abc import Callable, Mapping

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
            self._complain()

    def entries(self) -> Mapping[tuple[str, str], bytes]:
        """Return what is to be kept of the identity."""
        return {_ID: pack(self._world.identity.cluster)}

    def look_at(self, hello: Hello) -> None:
        """Refuse a node that knows of another past; it may begin safe mode.

        Raises:
            HpcError: SAFE_MODE, NODE_OF_ANOTHER_CLUSTER.
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
        if found:
            self._begin(hello, found)
        if world.unsafe:
            raise HpcError("SAFE_MODE", problem=world.unsafe)

    def _begin(self, hello: Hello, found: str) -> None:
        world = self._world
        seen = self._seen.beside(seen_by(hello))
        first = not world.unsafe
        if first:
            world.unsafe = (
                f"the store is older than what node {hello.node} knows: {found}"
            )
        if seen != self._seen:
            self._seen = seen
            body = encode_unsafe(world.unsafe, seen)
            world.store.commit(Delta(entries={(CLUSTER, UNSAFE): body}), _kept)
        if first:
            self._complain()
            world.nodes.part(HpcError("SAFE_MODE", problem=world.unsafe))

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
