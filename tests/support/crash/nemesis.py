"""Who is hit when: drawn from a seed before the round begins, so it can be told."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Coroutine, Sequence
    from typing import Any

    from tests.support.crash.crew import Crew

KINDS = KILL, STOP, RESTART, UPGRADE = "kill", "freeze", "restart", "upgrade"

#: What is done to whom, and how often relative to the others. n: a node drawn anew.
BLOWS = (
    (KILL, ("head",), 8),
    (KILL, ("n.agent",), 5),
    (KILL, ("n.spawner",), 4),
    (KILL, ("n.reaper",), 3),
    (KILL, ("n.front",), 2),
    (KILL, ("head", "n1.agent", "n2.agent"), 2),
    (KILL, ("head", "n1.spawner", "n2.spawner"), 1),
    (KILL, ("head", "n1.agent", "n2.agent", "n1.spawner", "n2.spawner"), 1),
    (KILL, ("n.reaper", "n.spawner"), 1),
    (STOP, ("head",), 2),
    (STOP, ("n.agent",), 2),
    (STOP, ("n.spawner",), 1),
    (STOP, ("n.reaper",), 1),
    (RESTART, ("head",), 3),
    (RESTART, ("n.agent",), 2),
    (RESTART, ("n.front",), 2),
    (UPGRADE, ("n.front",), 3),
    (RESTART, ("head", "n1.agent", "n2.agent", "n1.front", "n2.front"), 1),
)

#: Two blows on a node within this time count as one, seconds: nobody who knew an exit
#: status may be left.
TOGETHER_S = 4.0

#: Those of a node who can know the exit status of a task.
WITNESSES = ("reaper", "spawner", "front")


@dataclass(frozen=True, slots=True)
class Blow:
    """Something that is done to daemons.

    Attributes:
        at: From the start of the round, seconds.
        kind: kill, freeze, restart or upgrade.
        targets: Names of processes.
        pause: Until they are started again, or go on, seconds.
    """

    at: float
    kind: str
    targets: tuple[str, ...]
    pause: float

    def __str__(self) -> str:
        what = f"{self.kind} {', '.join(self.targets)}"
        return f"{self.at:6.2f} s {what}, {self.pause:.2f} s"


def draw(
    chance: random.Random, nodes: Sequence[str], seconds: float, *, every: float
) -> list[Blow]:
    """Return the blows of a round, in order of time."""
    plan = []
    at = chance.uniform(0.05, every)
    kinds = [(kind, who) for kind, who, weight in BLOWS for _ in range(weight)]
    while at < seconds:
        kind, who = chance.choice(kinds)
        node = chance.choice(nodes)
        targets = tuple(name.replace("n.", f"{node}.") for name in who)
        most = 2.5 if kind == STOP else 0.4
        plan.append(
            Blow(at, kind, targets, chance.choice((0, chance.uniform(0, most))))
        )
        at += chance.uniform(0.05, 2 * every)
    return plan


def losses(plan: Sequence[Blow]) -> set[str]:
    """Return why exit statuses may honestly be unknown after these blows."""
    found = set()
    hit: dict[str, list[tuple[float, str]]] = {}
    for blow in plan:
        for name in blow.targets:
            node, _, part = name.partition(".")
            if part in WITNESSES and blow.kind != STOP:
                hit.setdefault(node, []).append((blow.at, part))
    for node, blows in hit.items():
        for at, part in blows:
            near = {p for t, p in blows if abs(t - at) < TOGETHER_S} | {part}
            if "reaper" in near and len(near) > 1:
                found.add(f"{' and '.join(sorted(near))} of {node}")
    return found


async def strike(crew: Crew, blow: Blow) -> None:
    """Carry out a blow, and undo it after its pause."""
    if blow.kind == UPGRADE:
        for name in blow.targets:
            crew.signal(name, signal.SIGHUP)
        return
    number = {KILL: signal.SIGKILL, STOP: signal.SIGSTOP, RESTART: signal.SIGTERM}
    crew.down.update(blow.targets)
    hit = [(name, crew.signal(name, number[blow.kind])) for name in blow.targets]
    if blow.kind == STOP:
        await asyncio.sleep(blow.pause)
        for name, _ in hit:
            crew.signal(name, signal.SIGCONT)
        crew.down.difference_update(blow.targets)
        return
    for name, pid in hit:
        await asyncio.to_thread(crew.wait_gone, name, pid)
    await asyncio.sleep(blow.pause)
    for name in set(blow.targets) & set(crew.started):
        crew.start(name)
    crew.down.difference_update(blow.targets)


async def carry_out(
    crew: Crew,
    plan: Sequence[Blow],
    began: float,
    how: Callable[[Crew, Blow], Coroutine[Any, Any, None]] = strike,
) -> None:
    """Strike at the times of the plan, or as soon after them as the last allows.

    Blows on machines last, and those on daemons fall meanwhile.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as group:
        for blow in plan:
            await asyncio.sleep(max(0.0, began + blow.at - loop.time()))
            if blow.kind in KINDS:
                await how(crew, blow)
            else:
                group.create_task(how(crew, blow))
