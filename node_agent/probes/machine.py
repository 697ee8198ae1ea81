"""What the machine is: cores, sockets, memory, system, boot, identity.

Everything is read from files below a root, so that tests have machines of their own.
What cannot be read has a modest answer, never an error: a node must come up.
"""

from __future__ import annotations

import os
import platform
import shlex
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from node_agent.core.hardware import Hardware
from node_agent.probes.cpulist import parse_cpu_list
from node_agent.probes.hardware import probe_hardware

KIB: Final = 1024

ROOT: Final = Path("/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What was found at the start of this program.

    Attributes:
        cores: Hardware threads that this program may use, hence its tasks.
        memory_bytes: Of the machine, or of the control group around us if that is less.
        boot_id: Names this boot of the kernel.
        machine_id: Names this installation; empty where there is none.
    """

    cores: int
    sockets: int
    memory_bytes: int
    os: str
    boot_id: str
    machine_id: str
    hardware: Hardware = field(default_factory=Hardware)

    @staticmethod
    def load() -> float:
        """Return the load of the last minute."""
        try:
            return os.getloadavg()[0]
        except OSError:
            return 0.0


def probe(root: Path = ROOT) -> Machine:
    """Return what this machine is.

    Args:
        root: Where /proc, /sys and /etc are.
    """
    cores = usable_cores(root)
    return Machine(
        cores=len(cores),
        sockets=sockets(root, cores),
        memory_bytes=memory_bytes(root),
        os=os_name(root),
        boot_id=_text(root / "proc/sys/kernel/random/boot_id"),
        machine_id=_text(root / "etc/machine-id"),
        hardware=probe_hardware(root),
    )


def usable_cores(root: Path = ROOT) -> frozenset[int]:
    """Return the logical CPUs that are online and that we may run on."""
    allowed = frozenset(os.sched_getaffinity(0))
    try:
        online = parse_cpu_list(_text(root / "sys/devices/system/cpu/online"))
    except ValueError:
        return allowed
    return (allowed & online) or allowed


def sockets(root: Path, cores: frozenset[int]) -> int:
    """Return over how many sockets the cores are spread; at least one."""
    cpus = root / "sys/devices/system/cpu"
    found = {_text(cpus / f"cpu{n}/topology/physical_package_id") for n in cores}
    return max(1, len(found - {""}))


def memory_bytes(root: Path = ROOT) -> int:
    """Return the memory that tasks may use at the most; 0 if it cannot be told."""
    total = 0
    for line in _text(root / "proc/meminfo").splitlines():
        name, _, rest = line.partition(":")
        if name == "MemTotal" and rest.split():
            with suppress(ValueError):
                total = int(rest.split()[0]) * KIB
    limits = [limit for limit in _memory_limits(root) if limit > 0]
    return min([total, *limits]) if total else min(limits, default=0)


def os_name(root: Path = ROOT) -> str:
    """Return name and version of the system, as its makers write it."""
    for line in _text(root / "etc/os-release").splitlines():
        name, _, value = line.partition("=")
        if name.strip() == "PRETTY_NAME":
            with suppress(ValueError):
                return "".join(shlex.split(value))
    return f"{platform.system()} {platform.release()}"


def _memory_limits(root: Path) -> list[int]:
    """Return the limits of the control groups (version 2) that we are in."""
    limits = []
    for line in _text(root / "proc/self/cgroup").splitlines():
        if not line.startswith("0::/"):
            continue
        top = root / "sys/fs/cgroup"
        group = top / line.removeprefix("0::/")
        while group != top and top in group.parents:
            with suppress(ValueError):
                limits.append(int(_text(group / "memory.max")))
            group = group.parent
    return limits


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
