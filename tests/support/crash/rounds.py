"""One round: load, blows, peace, and then the books must balance."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hpcsched.client import AsyncClient
from tests.support.crash import ledger, nemesis, work
from tests.support.crash.load import (
    PARAMETER,
    PATIENCE,
    TEMPLATE,
    TEMPLATE_NAME,
    Loader,
)
from tests.support.crash.machine import Hazard
from tests.support.crash.nemesis import Blow
from tests.support.crash.watchers import Watcher, position
from tests.support.history.checker import Violation, check
from tests.support.history.model import ACKED, History
from tests.support.polling import NotReachedError, wait_for_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from tests.support.crash.crew import Crew

HEALED_S = 60.0

#: How soon a service manager starts again what has ended, seconds.
MANAGER_S = 0.5


@dataclass(slots=True, kw_only=True)
class Result:
    """What came of a round.

    Attributes:
        seed: With which it can be drawn again.
        story: The blows, as lines.
        history: All that was seen.
        violations: Promises that were broken.
        ended: Daemons that ended by themselves, with their exit status.
    """

    seed: int
    story: list[str]
    history: History
    violations: list[Violation] = field(default_factory=list)
    ended: list[tuple[str, int]] = field(default_factory=list)

    @property
    def acked(self) -> int:
        return sum(call.outcome == ACKED for call in self.history.calls)

    def __str__(self) -> str:
        runs, told = len(self.history.runs), self.history.watchers
        heard = sum(map(len, told.values()))
        calls, jobs = len(self.history.calls), len(self.history.jobs)
        text = f"seed {self.seed}: {len(self.story)} blows, {calls} calls "
        text += f"({self.acked} acknowledged), {jobs} jobs, "
        if self.ended:
            text += f"ended by themselves: {sorted(self.ended)}, "
        text += f"{runs} runs, {heard} events heard, {len(self.violations)} violations"
        return text


async def begin(crew: Crew, hazard: Hazard | None = None) -> None:
    """Start a cluster whose nodes take work."""
    hazard = hazard or Hazard()
    hazard.prepare(crew)
    for name in crew.started:
        if name.endswith(".front") or name == "head":
            crew.start(name)
    await asyncio.to_thread(crew.wait_ready)
    crew.start_all()
    async with client_of(crew) as client:
        await all_reachable(crew, client)
        await client.nodes.online(crew.nodes)
        if hazard.parameters:
            await client.cluster.set_parameters(hazard.parameters)


def client_of(crew: Crew) -> AsyncClient:
    """Return a client with patience."""
    return AsyncClient(crew.target, patience=PATIENCE)


async def play(
    crew: Crew,
    seed: int,
    seconds: float,
    *,
    every: float = 0.8,
    clients: int = 3,
    hazard: Hazard | None = None,
) -> Result:
    """Play one round on a cluster that runs, and leave it running and idle.

    Args:
        crew: The cluster.
        seed: Of the load and the blows.
        seconds: Of load and blows; what comes after them takes as long as it takes.
        every: From blow to blow on average, seconds.
        clients: How many submit.
        hazard: What befalls the cluster; daemons that are hit by default.
    """
    chance = random.Random(seed)
    place = crew.base / f"round-{seed}"
    work.install(place)
    hazard = hazard or Hazard()
    plan = hazard.draw(chance, crew, seconds, every)
    history = History(losses=hazard.losses(plan))
    result = Result(seed=seed, story=[str(blow) for blow in plan], history=history)
    async with client_of(crew) as client:
        newest = (await client.jobs.list(limit=1)).items
        first = newest[0].id + 1 if newest else 1
        after = await position(client)
        names = ("steady", "hopping")
        watchers = {n: Watcher(crew.target, after) for n in names}
        async with asyncio.TaskGroup() as group:
            following = [
                group.create_task(
                    watcher.follow(random.Random(seed) if name == "hopping" else None)
                )
                for name, watcher in watchers.items()
            ]
            loaders = _loaders(crew, seed, clients, hazard.node_loss)
            await _storm(crew, plan, loaders, seconds, hazard)
            await _settle(crew, client, first, history)
            history.jobs = await ledger.jobs(client, first)
            await _hear_all(watchers, history)
            for task in following:
                task.cancel()
        watchers["historian"] = Watcher(crew.target, after)
        await watchers["historian"].read_backlog()
        history.nodes = await ledger.nodes(client)
        parameters = await client.cluster.parameters([PARAMETER])
        history.parameters = {p.name: p.value for p in parameters}
        templates = {t.name: t for t in await client.templates.list()}
        if TEMPLATE in templates:
            history.parameters[TEMPLATE_NAME] = templates[TEMPLATE].description
    history.calls = [call for loader in loaders for call in loader.calls]
    history.watchers = {name: watcher.told for name, watcher in watchers.items()}
    history.runs = work.read_journal(place / "journal")
    history.leftovers = await _leftovers(crew)
    result.ended, crew.ended = crew.ended, []
    result.violations = check(history)
    if not result.violations:
        result.violations = await _purge(crew, chance, first)
    history.save(place / "history.json")
    (place / "story").write_text("\n".join(result.story))
    return result


async def _purge(crew: Crew, chance: random.Random, first: int) -> list[Violation]:
    """Delete the round's jobs while the head is killed: acknowledged is gone (I1)."""
    loader = _loaders(crew, chance.randrange(10**6), 1)[0]
    blow = Blow(chance.uniform(0, 0.1), nemesis.KILL, ("head",), 0.0)
    began = asyncio.get_running_loop().time()
    async with client_of(crew) as client, asyncio.TaskGroup() as group:
        jobs = [job.id for job in (await client.jobs.list(min_id=first)).items]
        group.create_task(nemesis.carry_out(crew, [blow], began))
        await loader.forget(jobs)
    await loader.close()
    async with client_of(crew) as client:
        await all_reachable(crew, client)
        left = {job.id for job in (await client.jobs.list(min_id=first)).items}
    back = sorted(left & loader.forgotten)
    found = [Violation("I1", f"job {n} was forgotten, and is there") for n in back]
    return found + [Violation("I11", text) for text in loader.refused]


def _loaders(
    crew: Crew, seed: int, clients: int, node_loss: str = "NODE_LOSS_UNSPECIFIED"
) -> list[Loader]:
    place = crew.base / f"round-{seed}"
    return [
        Loader(
            f"r{seed}c{number}",
            crew.target,
            place,
            random.Random(f"{seed} {number}"),
            node_loss=node_loss,
        )
        for number in range(clients)
    ]


async def _storm(
    crew: Crew,
    plan: Sequence[Blow],
    loaders: list[Loader],
    seconds: float,
    hazard: Hazard,
) -> None:
    began = asyncio.get_running_loop().time()
    async with _managed(crew), asyncio.TaskGroup() as group:
        group.create_task(nemesis.carry_out(crew, plan, began, hazard.strike))
        for number, loader in enumerate(loaders):
            group.create_task(loader.run(seconds, parameters=number == 0))
    for loader in loaders:
        await loader.close()


@asynccontextmanager
async def _managed(crew: Crew) -> AsyncIterator[None]:
    """Start daemons that end by themselves, as a service manager does."""

    async def manage() -> None:
        while True:
            await asyncio.sleep(MANAGER_S)
            crew.revive()

    async with asyncio.TaskGroup() as group:
        manager = group.create_task(manage())
        try:
            yield
        finally:
            manager.cancel()


async def _settle(
    crew: Crew, client: AsyncClient, first: int, history: History
) -> None:
    """Start and thaw everything, and wait until the work is done."""
    crew.thaw()
    crew.start_all()
    await all_reachable(crew, client)
    await ledger.until_ended(client, first)


async def all_reachable(crew: Crew, client: AsyncClient) -> None:
    async def reachable() -> bool:
        crew.start_all()  # a daemon that gave up by itself
        found = {
            node.name for node in (await client.nodes.list()).items if node.reachable
        }
        return found >= set(crew.nodes)

    await wait_for_async(reachable, HEALED_S, what="all nodes reachable")


async def _hear_all(watchers: dict[str, Watcher], history: History) -> None:
    """Give watchers the time to hear the last event of each job."""

    def complete() -> bool:
        return all(
            watcher.has(job.job_id, job.revision)
            for watcher in watchers.values()
            for job in history.jobs.values()
        )

    try:
        await wait_for_async(complete, 15.0, what="watchers that have heard all")
    except NotReachedError:
        return  # the checker tells what they have missed


async def _leftovers(crew: Crew) -> list[str]:
    """Return what lives of tasks; what is being killed right now has a moment."""
    try:
        await wait_for_async(lambda: not crew.tasks(), 10.0)
    except NotReachedError:
        return [f"{pid} {line}" for pid, line in crew.tasks().items()]
    return []
