"""An agent in the test's own process, between a fake supervisor and a fake head."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from hpcsched.common.clock import SystemClock
from node_agent.agent import Agent
from node_agent.config import AgentConfig, build
from node_agent.link.heads import Heads, HeadsConfig
from node_agent.probes.machine import Machine
from node_agent.term import TermFile
from tests.support.seeded_ids import SeededIds

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from hpcsched.common.clock import Clock
    from hpcsched.rpc.credentials import TlsFiles

MACHINE = Machine(
    cores=4,
    sockets=1,
    memory_bytes=1 << 30,
    os="Test 1",
    boot_id="boot-1",
    machine_id="machine-1",
)


def agent_config(folder: Path, *ports: int, **settings: Any) -> AgentConfig:
    token = folder / "token"
    token.write_text("secret-of-node\n")
    given = {
        "dir": str(folder),
        "head": [f"127.0.0.1:{port}" for port in ports] or ["127.0.0.1:1"],
        "token_file": str(token),
        "insecure_loopback": True,
        **settings,
    }
    return build(given, host_name="cn007.example.org", version="1.2")


class RunningAgent:
    """What a test may look at and do."""

    def __init__(
        self, config: AgentConfig, tls: TlsFiles | None, clock: Clock | None
    ) -> None:
        self.clock = clock or SystemClock()
        self.statuses: list[str] = []
        self.agent = Agent(config, MACHINE, self.clock, TermFile(config.dir / "term"))
        self.heads = Heads(
            HeadsConfig(
                heads=config.heads,
                token_file=config.token_file,
                tls=tls,
                authority=config.tls_server_name,
                client="hpc-node-agent/1.2",
            ),
            self.agent,
            self.clock,
            SeededIds(self.clock),
            ready=self.agent.ready,
            term=lambda: self.agent.term,
            on_status=self.statuses.append,
        )
        self.agent.on_interrupt(self.heads.interrupt)


@asynccontextmanager
async def running_agent(
    config: AgentConfig,
    *,
    tls: TlsFiles | None = None,
    clock: Clock | None = None,
) -> AsyncIterator[RunningAgent]:
    """Run an agent; at the end it is killed without a goodbye."""
    running = RunningAgent(config, tls, clock)
    try:
        async with asyncio.TaskGroup() as tasks:
            services = [
                tasks.create_task(running.agent.supervisor.run()),
                tasks.create_task(running.heads.run()),
            ]
            try:
                yield running
            finally:
                for service in services:
                    service.cancel()
    finally:
        running.agent.shelf.close()
