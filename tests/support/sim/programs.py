"""The head and the agents as programs that start, run and die."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcsched.common.errors import HpcError
from hpcsched.runtime.head import Head
from hpcsched.services.agents import AgentService
from node_agent.agent import Agent
from node_agent.config import AgentConfig
from node_agent.link.dialing import HeadsConfig
from node_agent.link.heads import Heads
from node_agent.probes.machine import Machine as MachineFacts
from tests.support.seeded_ids import SeededIds
from tests.support.sim.clocks import Machine, SimClock
from tests.support.sim.disk import NodeDisk
from tests.support.sim.host import Host
from tests.support.sim.loop import PROGRAM, Program, SimLoop
from tests.support.sim.network import SimDialer
from tests.support.sim.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpcsched.store.memory_state import MemoryState
    from tests.support.sim.headdisk import HeadDisk
    from tests.support.sim.network import Network
    from tests.support.sim.stores import StoreFaults

GIB = 1 << 30


class HeadSite:
    """The machine of the head: its disk, and one head after the other.

    Attributes:
        head: The one that serves, None while there is none.
        on_commit: Told after each transaction.
    """

    def __init__(
        self,
        loop: SimLoop,
        network: Network,
        machine: Machine,
        disk: HeadDisk,
        rng: random.Random,
    ) -> None:
        self.loop = loop
        self.network = network
        self.machine = machine
        self.disk = disk
        self.rng = rng
        self.clock = SimClock(machine)
        self.head: Head | None = None
        self.program: Program | None = None
        self.starts = 0
        self.last_term = 0
        self.served_since = 0.0
        self.on_commit: Callable[[MemoryState], None] = lambda _: None
        self.elders: list[tuple[Head, Program]] = []
        self.on_elder: Callable[[str], None] = lambda _: None
        self.on_end: Callable[[str], None] = lambda _: None
        self.on_death: Callable[[], None] = lambda: None
        self._waiters: list[asyncio.Future[None]] = []

    @property
    def state(self) -> MemoryState:
        """What is durable."""
        return self.disk.state

    @property
    def faults(self) -> StoreFaults:
        """What is wrong with the disk."""
        return self.disk.faults

    def start(self) -> None:
        """Start a head on what the disk has."""
        self.starts += 1
        program = self.program = Program(self.loop, f"head/{self.starts}")
        program.on_death = lambda: self._died(program)
        program.start(self._live(program))

    async def _live(self, program: Program) -> None:
        store = self.disk.open(program, lambda _: program.kill(), self.on_commit)
        head = Head(
            store=store,
            clock=self.clock,
            ids=SeededIds(self.clock, self.rng.getrandbits(32)),
            name="sim",
            version="1",
            boot_id=self.clock.machine.boot_id,
        )
        try:
            await head.recover()
        except HpcError as error:
            self.on_end(f"the head cannot start: {error}")
            program.kill()
            await asyncio.sleep(0)
        if head._term <= self.last_term:
            self.loop.failures.append(f"I14: term {head._term} after {self.last_term}")
        self.last_term = head._term
        self.network.service = AgentService(head, self.clock)
        living = program.start(head.run())
        await asyncio.sleep(0)
        while not head.serving:  # noqa: ASYNC110  it is virtual time
            await asyncio.sleep(0.001)
        self.network.head = program
        self.head = head
        self.served_since = self.loop.time()
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
        await living

    async def serving(self) -> Head:
        """Return the head once there is one."""
        while self.head is None:
            waiter = self.loop.create_future()
            self._waiters.append(waiter)
            await waiter
        return self.head

    def usurp(self) -> None:
        """Start another head beside the one that lives: its lock was taken away."""
        if self.head is not None and self.program is not None:
            self.elders.append((self.head, self.program))
            self.head = None
            self.start()

    def someone(self) -> tuple[Head, Program] | None:
        """Return a head that takes calls; now and then one that is out of date."""
        self.elders = [one for one in self.elders if one[1].alive]
        if self.elders and self.rng.random() < 0.3:
            return self.rng.choice(self.elders)
        if self.head is None or self.program is None or not self.program.alive:
            return None
        return self.head, self.program

    def _died(self, program: Program) -> None:
        self.disk.left(program)
        self.network.head_died(program)
        if program is not self.program:
            self.on_elder("an older head has ended")
            return
        self.head = None
        self.on_end("head died")
        self.on_death()


class NodeSite:
    """One node: a machine with host, disk, supervisor and agent."""

    def __init__(
        self,
        loop: SimLoop,
        network: Network,
        rng: random.Random,
        *,
        name: str,
        cores: int,
        folder: Path,
    ) -> None:
        self.loop = loop
        self.network = network
        self.rng = rng
        self.name = name
        self.cores = cores
        self.machine = Machine(loop, name)
        self.host = Host(loop, self.machine, rng, name, cores)
        self.disk = NodeDisk(folder, rng)
        self.supervisor = Supervisor(loop, self.host, self.disk, rng)
        self.program: Program | None = None
        self.agent: Agent | None = None
        self.agent_starts = 0
        self.on_agent_death: Callable[[], None] = lambda: None
        self.off = False

    def start(self) -> None:
        self.supervisor.start()
        self.start_agent()

    def start_agent(self) -> None:
        self.agent_starts += 1
        program = self.program = Program(self.loop, f"{self.name}/agent")
        program.on_death = self._agent_died
        program.start(self._serve())

    async def _serve(self) -> None:
        config = AgentConfig(
            dir=Path("/sim"),
            heads=(),
            token_file=Path("/sim/token"),
            name=self.name,
            cores=self.cores,
            groups=(),
            ca=None,
            insecure_loopback=True,
            tls_server_name="",
            supervisor_socket=Path(self.supervisor.socket),
            output_dir=Path("/sim/output"),
            log_level="info",
            version="1",
        )
        clock = SimClock(self.machine)
        term: Any = SimTerm(self.disk)
        agent = self.agent = Agent(config, self._facts(), clock, term)
        heads = Heads(
            HeadsConfig(
                heads=("head",),  # type: ignore[arg-type]
                token_file=config.token_file,
                tls=None,
                authority="",
                client="sim",
            ),
            agent,
            clock,
            SeededIds(clock, self.rng.getrandbits(32)),
            ready=agent.ready,
            term=lambda: agent.term,
            on_status=lambda _: None,
            dialer=SimDialer(self.network, self.name),
        )
        agent.on_interrupt(heads.interrupt)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(agent.supervisor.run())
            tasks.create_task(heads.run())

    def _facts(self) -> MachineFacts:
        return QuietMachine(
            cores=self.cores,
            sockets=1,
            memory_bytes=4 * GIB,
            os="sim",
            boot_id=self.machine.boot_id,
            machine_id=f"machine-{self.name}",
        )

    def _agent_died(self) -> None:
        agent, self.agent = self.agent, None
        if agent is not None:
            wire: Any = agent.supervisor._wire
            if wire is not None and wire._transport is not None:
                wire._transport.died()
        self.network.agent_died(self.name, silent=self.off)
        self.on_agent_death()

    def kill_agent(self) -> None:
        if self.program is not None:
            self.program.kill()

    def power_off(self) -> None:
        """The machine stops at once; what is not synced is gone."""
        self.off = True
        self.kill_agent()
        self.host.power_off()
        self.supervisor.kill(reaper=True)
        self.disk.power_cut()

    def power_on(self) -> None:
        self.machine.reboot()
        self.off = False
        self.start()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class QuietMachine(MachineFacts):
    """A machine whose load does not depend on ours."""

    @staticmethod
    def load() -> float:
        return 0.0


class SimTerm:
    """The file of the highest term, on the node's disk."""

    def __init__(self, disk: NodeDisk) -> None:
        self._disk = disk

    @property
    def value(self) -> int:
        return self._disk.term

    def raise_to(self, term: int) -> None:
        self._disk.term = max(self._disk.term, term)


_ = PROGRAM
