"""What goes wrong: each run has some kinds of faults, and none has all (swarm)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tests.support.sim.network import DOWN, UP

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.support.sim.programs import NodeSite
    from tests.support.sim.simulation import Simulation


class Nemesis:
    """See the module."""

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim
        self._rng = sim.rng
        self.healing = False
        self._group: asyncio.TaskGroup | None = None
        self._target: NodeSite | None = None
        self.acts: dict[str, Callable[[], Awaitable[None]]] = {
            "cut": self._cut,
            "one-way": self._one_way,
            "break": self._break,
            "slow-network": self._slow_network,
            "kill-head": self._kill_head,
            "fuse-head": self._fuse_head,
            "freeze-head": self._freeze_head,
            "second-head": self._second_head,
            "commit-lost": self._commit_lost,
            "commit-unanswered": self._commit_unanswered,
            "disk-full": self._disk_full,
            "disk-broken": self._disk_broken,
            "disk-slow": self._disk_slow,
            "kill-agent": self._kill_agent,
            "fuse-agent": self._fuse_agent,
            "freeze-agent": self._freeze_agent,
            "kill-spawner": self._kill_spawner,
            "wound-spawner": self._wound_spawner,
            "kill-supervisor": self._kill_supervisor,
            "freeze-spawner": self._freeze_spawner,
            "power": self._power,
            "suspend": self._suspend,
            "wall-jump": self._wall_jump,
            "ambush": self._ambush,
            "plug": self._plug,
        }
        self._ambushes: dict[str, list[str]] = {}
        self.standing = {
            "drift": self._drift,
            "late-timers": self._late_timers,
            "lost-calls": self._lost_calls,
            "doubled-calls": self._doubled_calls,
            "late-answers": self._late_answers,
            "impatient": self._impatient,
            "tight-limits": self._tight_limits,
        }

    @property
    def kinds(self) -> list[str]:
        return [*self.acts, *self.standing]

    async def run(self, kinds: list[str], seconds: float) -> None:
        """Do harm for so long."""
        for kind in kinds:
            if kind in self.standing:
                self.standing[kind]()
        acts = [kind for kind in kinds if kind in self.acts]
        if not acts:
            return
        loop = self._sim.loop
        end = loop.time() + seconds
        least, more = self._sim.size.fault_s
        mean = least + self._rng.random() * more
        async with asyncio.TaskGroup() as tasks:
            self._group = tasks
            while True:
                await asyncio.sleep(self._rng.expovariate(1 / mean))
                if loop.time() > end:
                    self._group = None
                    return
                tasks.create_task(self._act(self._rng.choice(acts)))

    async def _act(self, kind: str) -> None:
        await self.acts[kind]()

    def heal(self) -> None:
        """Nothing is wrong any more."""
        sim = self._sim
        self.healing = True
        sim.network.slow = 1.0
        sim.loop.lateness = (0.0, 0.0)
        sim.clients.lossy = sim.clients.impatient = 0.0
        sim.clients.doubled = sim.clients.late = 0.0
        faults = sim.site.faults
        faults.slow = (0.0, 0.0)
        faults.full = faults.breaks = faults.lost = faults.unanswered = False
        faults.plan.clear()
        for program in (sim.site.program, *(one for _, one in sim.site.elders)):
            if program is not None:
                program.fuse = -1
                program.thaw()
        for node in sim.nodes:
            sim.network.heal(node.name)
            if node.program is not None:
                node.program.fuse = -1
                node.program.thaw()
            spawner = node.supervisor.spawner
            if spawner is not None:
                spawner.wounds = -1
                spawner.program.thaw()

    def _fault(self, kind: str, what: str = "") -> None:
        self._sim.story.fault(kind, what)

    def _node(self) -> NodeSite:
        target, self._target = self._target, None
        if target is not None:
            return target
        return self._rng.choice(self._sim.nodes)

    async def _pause(self, most: float) -> None:
        """Wait; mostly shortly, sometimes longer than a node may be silent."""
        silence = self._sim.silence_s
        most *= self._sim.size.harm
        drawn = self._rng.random()
        if drawn < 0.5:
            seconds = self._rng.random() * most * 0.1
        elif drawn < 0.8:
            seconds = silence * (0.9 + 0.6 * self._rng.random())
        else:
            seconds = self._rng.random() * most
        await asyncio.sleep(seconds)

    # The network

    async def _cut(self) -> None:
        node = self._node().name
        self._fault("cut", node)
        self._sim.network.cut(node, UP, DOWN)
        await self._pause(200.0)
        self._sim.story.tell(f"{node} is connected again")
        self._sim.network.heal(node)

    async def _one_way(self) -> None:
        node = self._node().name
        way = self._rng.choice((UP, DOWN))
        self._fault("one-way", f"{node} {'up' if way == UP else 'down'}")
        self._sim.network.cut(node, way)
        await self._pause(200.0)
        self._sim.story.tell(f"{node} is connected again")
        self._sim.network.heal(node)

    async def _break(self) -> None:
        node = self._node().name
        for session in self._sim.network.of(node):
            agent = self._rng.random() < 0.7
            head = not agent or self._rng.random() < 0.5
            self._fault("break", f"{node} agent={agent} head={head}")
            self._sim.network.break_off(session, agent=agent, head=head)

    async def _slow_network(self) -> None:
        self._fault("slow-network")
        self._sim.network.slow = 10 ** (1 + 3 * self._rng.random())
        await self._pause(60.0)
        self._sim.network.slow = 1.0

    # The head

    async def _kill_head(self) -> None:
        program = self._sim.site.program
        if program is not None and program.alive:
            self._fault("kill-head")
            program.kill()

    async def _fuse_head(self) -> None:
        program = self._sim.site.program
        if program is not None and program.alive:
            program.fuse = self._rng.randint(0, 60)
            self._fault("fuse-head", str(program.fuse))

    async def _freeze_head(self) -> None:
        program = self._sim.site.program
        if program is not None and program.alive and not program.frozen:
            self._fault("freeze-head")
            program.freeze()
            await self._pause(120.0)
            self._sim.story.tell("the head goes on")
            program.thaw()

    async def _second_head(self) -> None:
        """Somebody takes the lock away from a head, and starts another one."""
        site = self._sim.site
        if site.head is None or site.program is None or not site.program.alive:
            return
        old = site.program
        asleep = self._rng.random() < 0.7
        self._fault("second-head", "beside a frozen one" if asleep else "")
        if asleep:
            old.freeze()
            await self._pause(10.0)
        if old is site.program and old.alive:
            site.usurp()
        if asleep:
            await self._pause(120.0)
            self._sim.story.tell(f"{old.name} goes on")
            old.thaw()

    async def _commit_lost(self) -> None:
        self._fault("commit-lost")
        self._sim.site.faults.lost = True

    async def _commit_unanswered(self) -> None:
        self._fault("commit-unanswered")
        self._sim.site.faults.unanswered = True

    async def _disk_full(self) -> None:
        self._fault("disk-full")
        self._sim.site.faults.full = True
        await self._pause(60.0)
        self._sim.site.faults.full = False

    async def _disk_broken(self) -> None:
        self._fault("disk-broken")
        self._sim.site.faults.breaks = True

    async def _disk_slow(self) -> None:
        self._fault("disk-slow")
        self._sim.site.faults.slow = (0.2, 5.0)
        await self._pause(60.0)
        self._sim.site.faults.slow = (0.0, 0.0)

    # Nodes

    async def _kill_agent(self) -> None:
        node = self._node()
        if not node.off and node.program is not None and node.program.alive:
            self._fault("kill-agent", node.name)
            node.kill_agent()

    async def _fuse_agent(self) -> None:
        node = self._node()
        if not node.off and node.program is not None and node.program.alive:
            node.program.fuse = self._rng.randint(0, 60)
            self._fault("fuse-agent", node.name)

    async def _freeze_agent(self) -> None:
        program = self._node().program
        if program is not None and program.alive and not program.frozen:
            self._fault("freeze-agent", program.name)
            program.freeze()
            await self._pause(200.0)
            program.thaw()

    async def _kill_spawner(self) -> None:
        node = self._node()
        if not node.off and node.supervisor.spawner is not None:
            self._fault("kill-spawner", node.name)
            node.supervisor.kill()

    async def _wound_spawner(self) -> None:
        node = self._node()
        spawner = node.supervisor.spawner
        if not node.off and spawner is not None:
            spawner.wounds = self._rng.randint(0, 8)
            self._fault("wound-spawner", f"{node.name} {spawner.wounds}")

    async def _kill_supervisor(self) -> None:
        node = self._node()
        if not node.off and node.supervisor.spawner is not None:
            self._fault("kill-supervisor", node.name)
            node.supervisor.kill(reaper=True)

    async def _freeze_spawner(self) -> None:
        spawner = self._node().supervisor.spawner
        if spawner is not None and not spawner.program.frozen:
            self._fault("freeze-spawner", spawner.program.name)
            spawner.program.freeze()
            await self._pause(100.0)
            spawner.program.thaw()

    async def _power(self) -> None:
        node = self._node()
        if node.off:
            return
        self._fault("power", node.name)
        node.power_off()
        await self._pause(200.0)
        self._sim.story.tell(f"{node.name} boots")
        node.power_on()

    async def _suspend(self) -> None:
        node = self._node()
        if node.off:
            return
        programs: list[Any] = [node.program, node.supervisor.program]
        self._fault("suspend", node.name)
        boots = node.machine.boots
        node.machine.suspend()
        for program in programs:
            program.freeze()
        await self._pause(200.0)
        if node.machine.boots == boots:
            node.machine.resume()
        for program in programs:
            program.thaw()

    # At the worst moment

    async def _ambush(self) -> None:
        """Wait for something to happen, and strike within the next moments."""
        kinds = ["kill-head", "kill-agent", "kill-spawner", "kill-supervisor"]
        kinds += ["power", "break", "cut", "wound-spawner", "fuse-agent", "fuse-head"]
        kinds += ["power", "kill-agent"]
        for _ in range(3):
            moment = self._rng.choice(("start", "exit", "commit"))
            self._ambushes.setdefault(moment, []).append(self._rng.choice(kinds))

    async def _plug(self) -> None:
        """Pull a node's plug just when a process has started there."""
        self._ambushes.setdefault("start", []).append("short-power")

    async def _short_power(self) -> None:
        node = self._node()
        if not node.off:
            node.power_off()
            await asyncio.sleep(self._rng.random() * 0.8 * self._sim.silence_s)
            self._sim.story.tell(f"{node.name} boots")
            node.power_on()

    def moment(self, moment: str, node: NodeSite | None) -> None:
        """Something has happened."""
        waiting = self._ambushes.get(moment)
        if not waiting or self.healing or self._rng.random() < 0.7:
            return
        kind = waiting.pop()
        quick = kind == "short-power"
        self._fault("ambush", f"{kind} at a {moment}")
        delay = self._rng.random() * self._rng.choice((0.002, 0.02, 0.3))
        if quick:
            delay = self._rng.random() * 0.001
        later = self._sim.loop.time() + delay
        self._sim.network.later(later, lambda: self._strike(kind, node))

    def _strike(self, kind: str, node: NodeSite | None) -> None:
        if self.healing or self._group is None:
            return
        self._target = node
        act = self._short_power() if kind == "short-power" else self._act(kind)
        self._group.create_task(act)

    # Clocks

    async def _wall_jump(self) -> None:
        machines = [self._sim.site.machine, *(n.machine for n in self._sim.nodes)]
        machine = self._rng.choice(machines)
        seconds = self._rng.choice((-3600, -10, 10, 3600)) * self._rng.random()
        self._fault("wall-jump", f"{machine.name} {seconds:.1f} s")
        machine.wall_offset += seconds

    def _drift(self) -> None:
        self._fault("drift", "each node's clock has a speed of its own")
        for node in self._sim.nodes:
            node.machine.set_rate(1 + (self._rng.random() - 0.5) * 0.02)

    def _late_timers(self) -> None:
        self._fault("late-timers", "")
        self._sim.loop.lateness = (0.05, 0.5)

    def _lost_calls(self) -> None:
        self._fault("lost-calls", "")
        self._sim.clients.lossy = 0.3

    def _doubled_calls(self) -> None:
        self._fault("doubled-calls", "")
        self._sim.clients.doubled = 0.3

    def _late_answers(self) -> None:
        self._fault("late-answers", "")
        self._sim.clients.late = 0.3

    def _tight_limits(self) -> None:
        self._fault("tight-limits", "of what the head keeps, reads and writes at once")

    def _impatient(self) -> None:
        self._fault("impatient", "")
        self._sim.clients.impatient = 0.3
