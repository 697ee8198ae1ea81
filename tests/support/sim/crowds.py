"""Many small jobs of one call, of which some wait on nodes for a core."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from hpcsched.common.errors import HpcError
from tests.support.head_bench import ANN
from tests.support.sim.clients import Unanswered

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    from hpcsched.runtime.front import NewJob
    from tests.support.sim.simulation import Simulation
    from tests.support.sim.workload import Workload


class Crowds:
    """Submits them, and meddles with a few."""

    def __init__(self, sim: Simulation, load: Workload) -> None:
        self._sim = sim
        self._load = load
        # By dice of their own: what a seed tells otherwise stays as it was.
        self._die = random.Random(f"crowds of {sim.seed}")
        self._crowds = self._die.choice(sim.size.crowds)
        self._flock_die = random.Random(f"flocks of {sim.seed}")
        self._flocks = self._flock_die.choice(sim.size.flocks)

    @property
    def about(self) -> set[str]:
        """What there is of it in this seed."""
        counts = {"crowd": self._crowds, "flock": self._flocks}
        return {name for name, count in counts.items() if count}

    def all(self, seconds: float) -> Iterator[Coroutine[None, None, None]]:
        """Yield what is to be run for so long."""
        for _ in range(self._crowds):
            yield self._crowd(seconds)
        for _ in range(self._flocks):
            yield self._flock(seconds)

    async def _crowd(self, seconds: float) -> None:
        """Submit many small jobs at once, of which some wait on nodes for a core."""
        await asyncio.sleep(self._die.random() * seconds)
        new = self._load.kinds.crowd(self._die)
        names = [one.spec.name for one in new]
        self._load.names += names
        ids = await self._submit(f"submit {names[0]} and more", new)
        if not ids:
            return
        self._load.numbers.update(zip(names, ids, strict=True))
        for job_id in self._die.sample(ids, 3):
            await asyncio.sleep(self._die.random() * 0.02)
            await self._load.meddle_with(self._die)(job_id)

    async def _submit(self, what: str, new: list[NewJob]) -> list[int]:
        """Return the numbers of new jobs; none: there was no answer, or a refusal."""
        request = self._sim.clients.request(what)
        try:
            ids = await self._sim.clients.call(
                what,
                lambda head: head.submit_jobs(ANN, new, request, validate_only=False),
            )
        except Unanswered:
            return []
        except HpcError:
            self._load.refused.update(one.spec.name for one in new)
            return []
        return list(map(int, ids))

    async def _flock(self, seconds: float) -> None:
        """Submit equal small jobs in one call; they pass nodes asleep, many at once."""
        die = self._flock_die
        await asyncio.sleep(die.random() * seconds)
        new = self._load.kinds.equal(die)
        name, count = new.spec.name, die.randint(*self._sim.size.flock)
        self._load.names.append(name)
        self._load.asked[name] = count
        ids = await self._submit(f"submit {name}", [new] * count)
        if not ids:
            return
        self._load.numbers[name] = ids[0]
        self._load.lots[ids[0]] = ids
        for job_id in die.sample(ids, min(die.choice((0, 1, 4)), count)):
            await asyncio.sleep(die.random() * 0.03)
            await self._load.meddle_with(die)(job_id)
