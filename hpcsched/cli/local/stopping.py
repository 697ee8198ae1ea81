"""Stopping a local cluster: its tasks end, its state stays."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from hpcsched.cli.local.processes import SUPERVISOR, Processes, command_of
from hpcsched.cli.local.supervisor_link import shut_down
from hpcsched.cli.problems import note

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcsched.cli.local.layout import Layout
    from hpcsched.common.clock import Clock

#: Head and agents stop within moments; then they are killed.
STOP_S: Final = 10.0

#: For a supervisor that is just starting its spawner again, seconds.
CONNECT_S: Final = 5.0
CONNECT_PAUSE_S: Final = 0.05


async def stop(layout: Layout, clock: Clock, *, grace_s: float) -> Sequence[str]:
    """End all processes of a cluster, tasks included; return what was running.

    First the head, so that nothing is started again elsewhere; then the agents; then
    the supervisors end their tasks. What became of those is in the supervisors'
    journals, and told to the head after the next start.

    Args:
        layout: Of the cluster.
        clock: For patience.
        grace_s: Between the tasks' signal and their kill.
    """
    processes = Processes(layout)
    running = [name for name in processes.names() if processes.is_running(name)]
    await processes.stop("head", clock, patience_s=STOP_S)
    names = processes.names()
    async with asyncio.TaskGroup() as tasks:
        for name in names:
            if name.endswith(".agent"):
                tasks.create_task(processes.stop(name, clock, patience_s=STOP_S))
    async with asyncio.TaskGroup() as tasks:
        for name in names:
            if name.endswith(".supervisor"):
                tasks.create_task(
                    _stop_supervisor(layout, processes, name, clock, grace_s)
                )
    layout.stopped()
    return running


async def _stop_supervisor(
    layout: Layout, processes: Processes, name: str, clock: Clock, grace_s: float
) -> None:
    node = name.removesuffix(".supervisor")
    if not processes.is_running(name):
        # Its tasks may have outlived it: a new one finds them, and ends them.
        directory = str(layout.node(node))
        command = command_of(SUPERVISOR, "--dir", directory, "--node", node)
        processes.start(name, SUPERVISOR, command)
    deadline = clock.mono() + CONNECT_S
    while True:
        try:
            await shut_down(layout.socket(node), grace_s=grace_s)
        except TimeoutError:
            note(f"node {node}: not all tasks ended within {grace_s:g} s")
            break
        except OSError as error:
            if clock.mono() > deadline:
                note(f"node {node}: its supervisor cannot be told to stop: {error}")
                break
            await clock.sleep(CONNECT_PAUSE_S)
        else:
            break
    if await processes.wait_gone(name, clock, STOP_S):
        processes.forget(name)
        return
    await processes.stop(name, clock, patience_s=STOP_S)
