"""Subscribers that keep their cursor, and what they were told."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from hpcsched.common.errors import HpcError
from hpcsched.runtime.front import WatchQuery
from tests.support.head_bench import ANN

if TYPE_CHECKING:
    from tests.support.sim.loop import Program
    from tests.support.sim.simulation import Simulation


class Watcher:
    """One subscriber of all events.

    Attributes:
        told: Number, job, revision, name and changes of each event, in order.
    """

    def __init__(self, sim: Simulation, number: int) -> None:
        self._sim = sim
        self.number = number
        self.told: list[tuple[Any, ...]] = []
        self.cursor = 0
        self.connections = 0
        self.over = False

    async def run(self) -> None:
        """Watch; come back with the cursor when the stream breaks."""
        sim = self._sim
        while not self.over:
            await sim.site.serving()
            program = sim.site.program
            assert program is not None
            self.connections += 1
            patience = 20 + sim.rng.random() * 100
            await self._watch(program, patience)
            await asyncio.sleep(sim.rng.random() * 3)

    async def _watch(self, program: Program, patience: float) -> None:
        """Hear a stream until the head dies, it breaks, or we hang up."""
        sim = self._sim
        queue: asyncio.Queue[Any] = asyncio.Queue()
        head = sim.site.head
        if head is None:
            return

        async def serve() -> None:
            query = WatchQuery(after=self.cursor, nodes=True)
            try:
                async for item in head.watch(ANN, query):
                    if not program.alive:
                        return
                    queue.put_nowait(item)
            except HpcError as refusal:
                floor = sim.site.state.floor_seq
                if refusal.reason == "CURSOR_EXPIRED" and self.cursor < floor:
                    # It was behind, and a job of what it has not seen is forgotten.
                    self.cursor = floor
                    queue.put_nowait(None)
                    return
                sim.complain(f"watch after {self.cursor}: {refusal.reason}")

        task = program.start(serve())
        self._sim.clients.mourn(program, lambda: queue.put_nowait(None))
        self._sim.network.later(
            sim.loop.time() + patience, lambda: queue.put_nowait(None)
        )
        while not self.over:
            item = await queue.get()
            if item is None:
                break
            if not program.alive and sim.rng.random() < 0.5:
                return  # what was on its way is lost with the connection
            self._take(item)
        task.cancel()

    def _take(self, item: Any) -> None:
        for event in item.events:
            if event.seq <= self.cursor:
                self._sim.complain(f"watcher: {event.seq} came after {self.cursor}")
            if event.seq > self._sim.checks.durable:
                self._sim.complain(f"watcher: {event.seq} is not durable")
            self.told.append((event.seq, event.job_id, event.revision, event.name))
            self.cursor = event.seq
        self.cursor = max(self.cursor, item.seq)
