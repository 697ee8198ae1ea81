"""What befalls machines: networks that are cut, disks that are full, clocks that jump.

Each hazard prepares a cluster before its first start, draws its own blows, says what
they excuse, and leaves the machine as it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.crash import nemesis
from tests.support.crash.nemesis import Blow

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from tests.support.crash.crew import Crew

FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")


class Hazard:
    """Daemons that are hit, and nothing else: what the other hazards begin with.

    Attributes:
        name: As the command line calls it.
        tools: Programs that it needs.
        keeps: The files of a failed round are gone with what was prepared.
        node_loss: JobSpec.node_loss of the round's jobs, by name.
        parameters: Cluster parameters to set before the first round.
    """

    name = "daemons"
    tools: tuple[str, ...] = ()
    keeps = False
    node_loss = "NODE_LOSS_UNSPECIFIED"
    parameters: dict[str, str] = {}  # noqa: RUF012 - nobody changes it

    def problem(self) -> str:
        """Return why this machine cannot do it; empty if it can."""
        missing = [tool for tool in self.tools if shutil.which(tool) is None]
        if missing:
            return f"missing here: {', '.join(missing)}"
        return "root is needed" if self.tools and os.geteuid() else ""

    def prepare(self, crew: Crew) -> None:
        """Make ready what the cluster needs before its first start."""

    def draw(
        self, chance: random.Random, crew: Crew, seconds: float, every: float
    ) -> list[Blow]:
        """Return the blows of a round."""
        return nemesis.draw(chance, crew.nodes, seconds, every=every)

    def losses(self, plan: Sequence[Blow]) -> set[str]:
        """Return what the blows excuse."""
        return nemesis.losses([b for b in plan if b.kind in nemesis.KINDS])

    async def strike(self, crew: Crew, blow: Blow) -> None:
        """Carry out a blow, and undo it after its pause."""
        await nemesis.strike(crew, blow)

    def clean(self, crew: Crew) -> None:
        """Undo what was prepared; everything has ended."""


class _Machine(Hazard):
    """Blows of its own kind at times, those on daemons at others."""

    own: tuple[tuple[str, tuple[str, ...]], ...] = ()
    shortest = 0.1
    longest = 2.0

    def draw(
        self, chance: random.Random, crew: Crew, seconds: float, every: float
    ) -> list[Blow]:
        plan = nemesis.draw(chance, crew.nodes, seconds, every=3 * every)
        at = chance.uniform(0.1, every)
        while at < seconds:
            kind, who = chance.choice(self.own)
            node = chance.choice(crew.nodes)
            targets = tuple(name.replace("n.", f"{node}.") for name in who)
            plan.append(
                Blow(at, kind, targets, chance.uniform(self.shortest, self.longest))
            )
            at += chance.uniform(0.2, 2 * every) + self.longest / 2
        return sorted(plan, key=lambda blow: blow.at)


class Disk(_Machine):
    """The disk of the head, or of a node, is full for a while."""

    name = "disk"
    keeps = True
    tools = ("mount", "umount", "fallocate")
    own = (("fill", ("head",)), ("fill", ("head",)), ("fill", ("n.node",)))
    size_mib = 600

    def prepare(self, crew: Crew) -> None:
        for place in self._places(crew):
            place.mkdir(mode=0o700)
            options = f"size={self.size_mib}m,mode=0700"
            _run("mount", "-t", "tmpfs", "-o", options, "crash", str(place))

    def losses(self, plan: Sequence[Blow]) -> set[str]:
        full = {
            f"{name} is full"
            for blow in plan
            for name in blow.targets
            if blow.kind == "fill" and name.endswith(".node")
        }
        return super().losses(plan) | full

    async def strike(self, crew: Crew, blow: Blow) -> None:
        if blow.kind != "fill":
            await nemesis.strike(crew, blow)
            return
        (name,) = blow.targets
        place = crew.state if name == "head" else crew.base / name.partition(".")[0]
        filler = place / "filler"
        free = os.statvfs(place)
        size = max(0, free.f_bavail * free.f_frsize - (1 << 20))
        try:
            # Others write meanwhile: nearly all at once, and then to the last byte.
            with contextlib.suppress(subprocess.CalledProcessError):
                await _run_async("fallocate", "-l", str(max(1, size)), str(filler))
            with contextlib.suppress(OSError), filler.open("ab", buffering=0) as file:
                while True:
                    file.write(bytes(4096))
            await asyncio.sleep(blow.pause)
        finally:
            filler.unlink(missing_ok=True)

    def clean(self, crew: Crew) -> None:
        for place in self._places(crew):
            subprocess.run(["umount", "-l", str(place)], check=False)

    def _places(self, crew: Crew) -> list[Path]:
        return [crew.state, *(crew.base / node for node in crew.nodes)]


class Clocks(_Machine):
    """The wall clock of a machine jumps; what measures durations does not."""

    name = "clock"
    own = (
        ("hour", ("head",)),
        ("day", ("head",)),
        ("hour", ("n.agent",)),
        ("hour", ("head", "n1.agent", "n2.agent")),
    )
    shortest = 1.2
    longest = 3.0
    jumps = {"hour": (3600, -3600), "day": (86400, -86400)}  # noqa: RUF012 - as above

    def problem(self) -> str:
        return "" if FAKETIME.exists() else f"there is no {FAKETIME}"

    def prepare(self, crew: Crew) -> None:
        for name in crew.started:
            file = crew.base / f"clock.{name}"
            file.write_text("+0\n")
            crew.extra[name] = {
                "LD_PRELOAD": str(FAKETIME),
                "FAKETIME_TIMESTAMP_FILE": str(file),
                # Looking at the file at each call would take a core of its own.
                "FAKETIME_CACHE_DURATION": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            }

    async def strike(self, crew: Crew, blow: Blow) -> None:
        if blow.kind not in self.jumps:
            await nemesis.strike(crew, blow)
            return
        forth, back = self.jumps[blow.kind]
        seconds = forth if blow.pause > (self.shortest + self.longest) / 2 else back
        for name in blow.targets:
            _set_clock(crew, name, seconds)
        await asyncio.sleep(blow.pause)
        for name in blow.targets:
            _set_clock(crew, name, 0)


def _set_clock(crew: Crew, name: str, seconds: int) -> None:
    file = crew.base / f"clock.{name}"
    draft = crew.base / f"clock.{name}.new"
    draft.write_text(f"{seconds:+d}\n")
    draft.replace(file)


class Sync(_Machine):
    """A disk of the head fails to sync: the head must end, with status 74.

    It is started again when its store was written anew (``Crew.start``).
    """

    name = "fsync"
    tools = ("strace",)
    own = (("EIO", ("head",)),)
    longest = 0.5

    async def strike(self, crew: Crew, blow: Blow) -> None:
        if blow.kind != "EIO":
            await nemesis.strike(crew, blow)
            return
        pid = crew.pid("head")
        if pid is None:
            return
        rule = "inject=fdatasync,fsync:error=EIO:when=1"
        words = ["strace", "-f", "-qq", "-o", "/dev/null", "-p", str(pid)]
        tracer = await asyncio.create_subprocess_exec(
            *words, "-e", "trace=fdatasync,fsync", "-e", rule,
            stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            async with asyncio.timeout(5):
                await tracer.wait()  # it ends with the head
        except TimeoutError:
            tracer.terminate()
            await tracer.wait()


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


async def _run_async(*words: str) -> None:
    await asyncio.to_thread(_run, *words)
