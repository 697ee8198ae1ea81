"""Starting a local cluster, or whatever of it is not running."""

from __future__ import annotations

import contextlib
import getpass
import math
import os
import socket
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from hpcsched.cli.local.layout import Layout, Plan, load, save
from hpcsched.cli.local.processes import (
    AGENT,
    HEAD,
    LOOK_S,
    SUPERVISOR,
    Processes,
    command_of,
)
from hpcsched.cli.problems import ProblemError
from hpcsched.cli.settings import last_up_path
from hpcsched.rpc.addresses import parse_address

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from hpcsched.common.clock import Clock

#: From the start of the head until it serves, and until all nodes are there, seconds.
PATIENCE_S: Final = 60.0
#: How long the head waits for the port that it had.
SAME_S: Final = 5.0

#: Most nodes that make sense on one machine.
MOST_NODES: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A local cluster that takes work.

    Attributes:
        address: Of its head.
        token_file: File with an administrator's token.
        directory: Its DIR.
        nodes: Names of its nodes.
    """

    address: str
    token_file: Path
    directory: Path
    nodes: Sequence[str]

    def as_dict(self) -> dict[str, object]:
        """Return what ``hpc up --json`` prints."""
        return {
            "address": self.address,
            "token_file": str(self.token_file),
            "dir": str(self.directory),
            "nodes": list(self.nodes),
        }


def plan_for(
    known: Plan | None,
    *,
    nodes: int | None,
    cores: int | None,
    cgroup: str | None = None,
) -> Plan:
    """Return what the cluster is to be made of.

    Args:
        known: What it was made of before; it can grow, and keeps what it has.
        nodes: How many; None for as many as before, at first one.
        cores: Of each node; None for as many as before, at first all of the machine.
        cgroup: Whether supervisors that are started give tasks a cgroup each; None for
            what was said before.

    Raises:
        ProblemError: the cluster has more nodes, or its nodes have other cores.
    """
    before = {} if known is None else dict(known.nodes)
    wanted = nodes or len(before) or 1
    if wanted < len(before):
        raise ProblemError(
            "CLUSTER_LARGER",
            f"the cluster has {len(before)} nodes already",
            hint="hpc node offline takes nodes out; --dir makes another cluster",
            nodes=len(before),
        )
    for name, count in before.items():
        if cores is not None and cores != count:
            raise ProblemError(
                "CLUSTER_DIFFERS",
                f"node {name} of this cluster has {count} cores",
                hint="--dir makes another cluster",
                node=name,
                cores=count,
            )
    each = cores or next(iter(before.values()), os.cpu_count() or 1)
    names = (f"n{number}" for number in range(1, wanted + 1))
    plan = known or Plan(nodes={})
    return replace(
        plan,
        nodes={name: before.get(name, each) for name in names},
        cgroup=cgroup or plan.cgroup,
    )


class Starter:
    """Starts one cluster."""

    def __init__(self, layout: Layout, clock: Clock) -> None:
        self._layout = layout
        self._clock = clock
        self.processes = Processes(layout)

    async def start(self, plan: Plan) -> Running:
        """Start whatever is not running; return once the cluster takes work.

        Raises:
            ProblemError: something did not start; the message has its log's end.
        """
        for name in plan.nodes:
            self._start_supervisor(name, plan.cgroup)
        plan = await self._start_head(plan)
        self._layout.save_plan(plan)
        for name, cores in plan.nodes.items():
            await self._start_agent(plan, name, cores)
        await self._wait_for_nodes(plan)
        self._layout.save_plan(replace(plan, joined=tuple(plan.nodes)))
        return Running(
            address=plan.address,
            token_file=self._layout.admin_token,
            directory=self._layout.root,
            nodes=tuple(plan.nodes),
        )

    def _start_supervisor(self, node: str, cgroup: str) -> None:
        name = f"{node}.supervisor"
        if not self.processes.is_running(name):
            directory = self._layout.node(node)
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            command = command_of(
                SUPERVISOR,
                *("--dir", str(directory)),
                *("--node", node),
                *(() if cgroup == "auto" else ("--cgroup", cgroup)),
            )
            self.processes.start(name, SUPERVISOR, command)

    async def _start_head(self, plan: Plan) -> Plan:
        """Return the plan with the addresses at which the head serves."""
        if not self.processes.is_running("head"):
            self._layout.head_is_gone()
            command = command_of(
                HEAD,
                *("--state-dir", str(self._layout.head)),
                *("--listen", await self.same_address(plan.address)),
                *("--agent-listen", await self.same_address(plan.agent_address)),
                "--insecure-loopback",
                *("--ready-file", str(self._layout.ready_file)),
                *("--bootstrap-admin-token", str(self._layout.admin_token), _user()),
                *("--bootstrap-node-token", str(self._layout.node_token)),
            )
            self.processes.start("head", HEAD, command)
        deadline = self._clock.mono() + PATIENCE_S
        while (found := load_addresses(self._layout.ready_file)) is None:
            self._check_alive("head", deadline)
            await self._clock.sleep(LOOK_S)
        return replace(plan, address=found[0], agent_address=found[1])

    async def same_address(self, address: str) -> str:
        """Return where to listen: where clients go on asking, if it gets free soon.

        What has the port for a moment is mostly the connection of somebody who asks
        there: while nobody listens the kernel may have chosen it for them.
        """
        deadline = self._clock.mono() + SAME_S
        while (found := free_or_any(address)) != address and address:
            if self._clock.mono() > deadline:
                break
            await self._clock.sleep(LOOK_S)
        return found

    async def _start_agent(self, plan: Plan, node: str, cores: int) -> None:
        name = f"{node}.agent"
        command = command_of(
            AGENT,
            *("--dir", str(self._layout.node(node))),
            *("--head", plan.agent_address),
            *("--token-file", str(self._layout.node_token)),
            *("--name", node, "--cores", str(cores)),
            "--insecure-loopback",
        )
        if self.processes.is_running(name):
            record = self.processes.get(name)
            if record is not None and record.command == command:
                return
            # It looks for the head where the head is no more.
            await self.processes.stop(name, self._clock, patience_s=10.0)
        self.processes.start(name, AGENT, command)

    async def _wait_for_nodes(self, plan: Plan) -> None:
        """Wait until every node is reachable and those that are new take work."""
        from hpcsched.api.v1 import node_pb2
        from hpcsched.cli.settings import Settings, open_client

        settings = Settings(
            address=plan.address,
            token_file=str(self._layout.admin_token),
            ca="",
            cert="",
            key="",
            rpc_timeout_s=PATIENCE_S,
        )
        online = node_pb2.Node.STATE_ONLINE
        asked: set[str] = set()
        deadline = self._clock.mono() + PATIENCE_S
        async with open_client(settings) as client:
            while True:
                found = {node.name: node for node in (await client.nodes.list()).items}
                there = {name for name in plan.nodes if name in found}
                new = {n for n in there - asked if n not in plan.joined}
                idle = sorted(n for n in new if found[n].state != online)
                if idle:
                    await client.nodes.online(idle)
                asked |= new
                if len(there) == len(plan.nodes) and not idle:
                    missing = [n for n in plan.nodes if not found[n].reachable]
                    if not missing:
                        return
                for name in plan.nodes:
                    self._check_alive(f"{name}.supervisor")
                    self._check_alive(f"{name}.agent")
                self._check_alive("head")
                for name in plan.nodes:
                    if name not in found or not found[name].reachable:
                        self._check_alive(f"{name}.agent", deadline)
                await self._clock.sleep(LOOK_S)

    def _check_alive(self, name: str, deadline: float = math.inf) -> None:
        """See that a process still runs and that there is still time.

        Raises:
            ProblemError: otherwise, with the end of the process's log.
        """
        late = self._clock.mono() > deadline
        if self.processes.is_running(name) and not late:
            return
        what = f"is not ready after {PATIENCE_S:g} s" if late else "ended at once"
        log = self._layout.log(name)
        raise ProblemError(
            "START_FAILED",
            f"{name} {what}; the end of {log}: {self.processes.tail(name) or 'empty'}",
            hint=f"the whole log is {log}",
            process=name,
            log=log,
        )


def load_addresses(path: Path) -> tuple[str, str] | None:
    """Return the head's addresses for clients and agents; None before it serves."""
    found = load(path)
    if not isinstance(found, dict):
        return None
    return str(found["address"]), str(found["agent_address"])


def free_or_any(address: str) -> str:
    """Return the address of the last time if it is free, else any free port."""
    anything = "127.0.0.1:0"
    if not address:
        return anything
    known = parse_address(address, 0)
    with contextlib.closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((known.host, known.port))
        except OSError:
            return anything
    return address


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no entry in the user database
        return f"uid-{os.getuid()}"


def remember(running: Running, environ: Mapping[str, str]) -> None:
    """Make this cluster the one that ``hpc`` talks to by default."""
    path = last_up_path(environ)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    save(path, running.as_dict())
