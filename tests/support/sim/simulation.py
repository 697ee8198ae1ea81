"""One run: a cluster, its users, what goes wrong, and what must be true anyway."""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import random
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.sim.audit import Audit
from tests.support.sim.checks import Checks, ViolationError
from tests.support.sim.clients import Clients
from tests.support.sim.clocks import Machine
from tests.support.sim.endchecks import EndChecks
from tests.support.sim.headdisk import MemoryDisk
from tests.support.sim.lives import life_of
from tests.support.sim.loop import DeadlockError, SimLoop
from tests.support.sim.nemesis import Nemesis
from tests.support.sim.network import Network
from tests.support.sim.programs import HeadSite, NodeSite
from tests.support.sim.sizes import WHOLE, Size
from tests.support.sim.sqldisk import SqlDisk
from tests.support.sim.sqlwriter import InjectedError
from tests.support.sim.stores import MEMORY
from tests.support.sim.story import Story
from tests.support.sim.tightness import tight
from tests.support.sim.vigil import Vigil
from tests.support.sim.watchers import Watcher
from tests.support.sim.workload import Workload

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from hpcsched.store.memory_state import MemoryState
    from tests.support.sim.headdisk import HeadDisk
    from tests.support.sim.host import Process

MOST_STEPS = 3_000_000
#: Once in so many runs it is looked for what any of them has left.
THOROUGH = 20
_RUNS = itertools.count(1)


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What became of a run.

    Attributes:
        problem: The promise that was broken; empty: none.
        kinds: Kinds of faults that were enabled.
        hours: Simulated cluster-hours: the cluster's, not each node's.
        asked: How often each operation of the head was called.
    """

    seed: int
    problem: str
    kinds: tuple[str, ...]
    hours: float
    steps: int
    hash: str
    faults: dict[str, int] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    calls: int = 0
    starts: int = 0
    store: str = MEMORY
    size: str = WHOLE.name
    commits: int = 0
    asked: dict[str, int] = field(default_factory=dict)

    def again(self, without: Collection[str] = ()) -> str:
        """Return how to run the same once more."""
        arguments = f"--size {self.size} --store {self.store}"
        if without:
            arguments += f" --without {','.join(without)}"
        return f"again: make sim SEED={self.seed} ARGS='{arguments}'"


class Errors(logging.Handler):
    """Faults that the product caught and logged: in a run they are failures."""

    def __init__(self, found: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._found = found

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and not isinstance(error, InjectedError):
            self._found.append(f"{record.getMessage()}: {error!r}")


class Simulation:
    """See the module.

    Attributes:
        quiet_s: When everything has ended, what is on its way has so long to arrive.
        quick_restarts: Programs that died are started again at once.
    """

    def __init__(
        self,
        seed: int,
        folder: Path,
        *,
        trace: bool = False,
        store: str = MEMORY,
        load: type[Workload] = Workload,
        size: Size = WHOLE,
    ) -> None:
        self.seed = seed
        self.size = size
        self.rng = random.Random(seed)
        self.loop = SimLoop(random.Random(self.rng.getrandbits(64)))
        self.story = Story(self.loop, trace=trace)
        self.network = Network(self.loop, random.Random(self.rng.getrandbits(64)))
        self.checks = Checks(self)
        machine = Machine(self.loop, "head")
        chance = random.Random(self.rng.getrandbits(64))
        disk: HeadDisk = (
            MemoryDisk(self.loop, chance)
            if store == MEMORY
            else SqlDisk(self.loop, chance, folder / "head")
        )
        self.site = HeadSite(self.loop, self.network, machine, disk, chance)
        self.site.on_commit = self._committed
        self.site.on_death = self._head_died
        self.clients = Clients(self.loop, self.site, self.rng, self.story)
        self.nodes: list[NodeSite] = []
        for number in range(self.rng.randint(*size.nodes)):
            self._add_node(f"n{number}", folder)
        terms = {node.name: node.disk for node in self.nodes}
        self.network.term_of = lambda name: terms[name].term
        self.vigil = Vigil(self)
        self.workload = load(self)
        self.nemesis = Nemesis(self)
        self.audit = Audit(self)
        self.watchers = [Watcher(self, n) for n in range(2)]
        self.heartbeat_s = self.rng.choice(size.heartbeats)
        self.quiet_s = size.quiet_s
        self.quick_restarts = False

    def _add_node(self, name: str, folder: Path) -> None:
        node = NodeSite(
            self.loop,
            self.network,
            random.Random(self.rng.getrandbits(64)),
            name=name,
            cores=self.rng.randint(1, 4),
            folder=folder / name,
        )
        node.host.plan = lambda key, words: life_of(self.seed, key, words)
        node.on_agent_death = lambda: self._soon(0.5, lambda: self._start_agent(node))
        node.supervisor.on_death = lambda: self._soon(
            0.2, lambda: self._start_spawner(node)
        )
        node.host.on_start = lambda process: self._started(node, process)
        node.host.on_end = lambda process: self.nemesis.moment("exit", node)
        node.supervisor.on_report = lambda text: self.checks.reported(node, text)
        self.nodes.append(node)

    def _started(self, node: NodeSite, process: Process) -> None:
        self.checks.started(process)
        self.nemesis.moment("start", node)

    def _committed(self, state: MemoryState) -> None:
        self.checks.committed(state)
        self.nemesis.moment("commit", None)

    @property
    def silence_s(self) -> float:
        """How long a node may be silent before it counts as lost, seconds."""
        return max(3.0 * self.heartbeat_s, 3.0)

    def complain(self, what: str) -> None:
        self.loop.failures.append(what)

    def chosen(self, only: Collection[str] | None, without: Collection[str]) -> Any:
        """Return the kinds of faults of this seed: some, by chance."""
        kinds, many = self.nemesis.kinds, self.size.faults
        if many is None:
            kinds = [one for one in kinds if self.rng.random() < 0.3]
        else:
            kinds = self.rng.sample(kinds, self.rng.randint(*many))
        if only is not None:
            kinds = [one for one in kinds if one in only]
        return [one for one in kinds if one not in without]

    async def live(self, kinds: list[str]) -> None:
        """Live the whole run."""
        least, more = self.size.seconds
        seconds = least + self.rng.random() * more
        self.site.start()
        async with asyncio.TaskGroup() as tasks:
            for node in self.nodes:
                node.start()
            keepers = [tasks.create_task(one.run()) for one in self.watchers]
            keepers.append(tasks.create_task(self.audit.run()))
            await self.workload.set_up()
            harm = tasks.create_task(self.nemesis.run(kinds, seconds))
            await self.workload.run(seconds)
            await harm
            self.story.tell("everything is healed")
            self.nemesis.heal()
            self.audit.healed()
            for node in self.nodes:
                await self.workload.online(node.name)
            await self.workload.let_go()
            await self.audit.until_rest()
            self.story.tell("everything has ended")
            await asyncio.sleep(self.quiet_s)
            await EndChecks(self).run()
            for keeper in keepers:
                keeper.cancel()

    # What a service manager does

    def _head_died(self) -> None:
        self._soon(1.0, self._start_head)

    def _start_head(self) -> None:
        program = self.site.program
        if program is not None and not program.alive:
            self.story.tell("the head is started again")
            self.site.start()

    def _start_agent(self, node: NodeSite) -> None:
        if not node.off and node.program is not None and not node.program.alive:
            self.story.tell(f"{node.name}: the agent is started again")
            node.start_agent()

    def _start_spawner(self, node: NodeSite) -> None:
        if not node.off and not node.supervisor.alive:
            self.story.tell(f"{node.name}: the spawner is started again")
            node.supervisor.start()

    def _soon(self, share: float, start: Callable[[], None]) -> None:
        pause = self._restart_pause() * share
        self.network.later(self.loop.time() + pause, start)

    def _restart_pause(self) -> float:
        if self.quick_restarts:
            return 0.2
        if self.rng.random() < 0.15:
            return self.rng.random() * self.size.restart_s
        return self.rng.random() * 5.0


def simulate(
    seed: int,
    *,
    only: Collection[str] | None = None,
    without: Collection[str] = (),
    trace: bool = False,
    store: str = MEMORY,
    plan: Mapping[int, str] | None = None,
    keep: Path | None = None,
    load: type[Workload] = Workload,
    size: Size = WHOLE,
    set_up: Callable[[Simulation], None] = lambda _: None,
) -> Outcome:
    """Run one seed; never raises for what it finds.

    Args:
        seed: Decides everything that happens.
        only: Kinds of faults that may be among those of the seed; None: all.
        without: Kinds of faults that it does not get.
        trace: Print everything as it happens.
        store: MEMORY or SQLITE.
        plan: At which commits the head dies, and where (stores.PLACES).
        keep: Where the files of the store are to be left.
        load: What users and administrators do.
        size: How much of everything there is.
        set_up: Told of the simulation before it begins.
    """
    folder = Path(tempfile.mkdtemp(prefix="sim", dir=_scratch()))
    was_enabled = gc.isenabled()
    gc.disable()
    if not next(_RUNS) % THOROUGH:
        gc.collect()
    gc.freeze()  # the modules: looking through them takes a fifth of a run
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    sim = Simulation(seed, folder, trace=trace, store=store, load=load, size=size)
    sim.site.faults.plan.update(plan or {})
    set_up(sim)
    loop = sim.loop
    root.handlers = [Errors(loop.failures)]
    root.setLevel(logging.ERROR)
    problem = ""
    kinds: list[str] = []
    try:
        kinds = sim.chosen(only, without)
        sim.story.tell(f"seed {seed}: {len(sim.nodes)} nodes, faults: {kinds}")
        loop.most_steps = MOST_STEPS
        loop.on_trouble = sim.checks.trouble
        with tight(wanted="tight-limits" in kinds):
            loop.run_until_complete(sim.live(kinds))
    except (ViolationError, DeadlockError) as error:
        problem = str(error) or repr(error)
    except BaseExceptionGroup as group:
        problem = _first(group)
    finally:
        if problem:
            sim.story.tell(f"BROKEN {problem}")
        outcome = Outcome(
            seed=seed,
            problem=problem,
            kinds=tuple(kinds),
            hours=loop.time() / 3600,
            steps=loop.steps,
            hash=sim.story.hash,
            faults=dict(sim.story.faults),
            lines=sim.story.lines,
            calls=sim.clients.calls,
            starts=sum(len(node.host.all) for node in sim.nodes),
            store=store,
            size=size.name,
            asked=dict(sim.clients.asked),
            commits=sim.site.faults.commits,
        )
        disk, nodes = sim.site.disk, sim.nodes
        del sim
        loop.bury()
        gc.unfreeze()
        for node in nodes:
            node.supervisor.bury()
        disk.close(keep)
        root.handlers, root.level = handlers, level
        shutil.rmtree(folder, ignore_errors=True)
        if was_enabled:
            gc.enable()
    return outcome


def _scratch() -> str | None:
    shared = Path("/dev/shm")  # noqa: S108  memory, where there is some
    return str(shared) if shared.is_dir() else None


def _first(group: BaseExceptionGroup[BaseException]) -> str:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, (ViolationError, DeadlockError)):
        return str(error)
    import traceback  # noqa: PLC0415

    lines = traceback.format_exception(error)
    return "harness: " + "".join(lines[-4:])
