"""What people want to know of a machine: system, processors, GPUs, addresses.

Read from files below a root like the rest of the probes; what cannot be read is left
out.
"""

from __future__ import annotations

import fcntl
import ipaddress
import platform
import re
import socket
import struct
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from node_agent.core.hardware import Hardware

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path("/")
_SIOCGIFADDR: Final = 0x8915
_INTERFACE_NAME: Final = 15
_GPU_DEVICE: Final = re.compile(r"nvidia\d+")


def probe_hardware(root: Path = ROOT) -> Hardware:
    """Return what this machine is made of.

    Args:
        root: Where /proc, /sys and /dev are.
    """
    model, mhz = processors(root)
    return Hardware(
        kernel=platform.release(),
        architecture=platform.machine(),
        cpu_model=model,
        cpu_mhz=mhz,
        gpu_info=gpus(root),
        addresses=(*addresses_v4(root), *addresses_v6(root)),
        dns_suffix=socket.gethostname().partition(".")[2],
    )


def processors(root: Path = ROOT) -> tuple[str, int]:
    """Return the model of the processors, and their highest clock in MHz."""
    model, mhz = "", 0
    for line in _text(root / "proc/cpuinfo").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Processor") and not model:
            model = " ".join(value.split())
        elif name.strip() == "cpu MHz":
            with suppress(ValueError, OverflowError):
                mhz = max(mhz, round(float(value)))
    for file in (root / "sys/devices/system/cpu").glob(
        "cpu[0-9]*/cpufreq/cpuinfo_max_freq"
    ):
        with suppress(ValueError):
            mhz = max(mhz, int(_text(file)) // 1000)
    return model, max(0, mhz)


def gpus(root: Path = ROOT) -> tuple[str, ...]:
    """Return a text for each GPU: its model where the driver tells it."""
    models = []
    for file in sorted((root / "proc/driver/nvidia/gpus").glob("*/information")):
        found = re.search(r"^Model:\s*(.+)$", _text(file), re.MULTILINE)
        models.append(found[1].strip() if found else "NVIDIA GPU")
    if not models:
        with suppress(OSError):
            devices = (root / "dev").iterdir()
            count = sum(1 for one in devices if _GPU_DEVICE.fullmatch(one.name))
            models = ["NVIDIA GPU"] * count
    for file in sorted((root / "sys/class/kfd/kfd/topology/nodes").glob("*/gpu_id")):
        if _text(file) not in ("", "0"):  # 0: the entry of a processor
            name = _text(file.parent / "name")
            models.append(f"AMD {name}" if name else "AMD GPU")
    return tuple(models)


def addresses_v6(root: Path = ROOT) -> tuple[str, ...]:
    """Return the IPv6 addresses of interfaces; link-local ones say nothing."""
    found = []
    for line in _text(root / "proc/net/if_inet6").splitlines():
        with suppress(ValueError):
            text, _, _, _, _, name = line.split()
            address = ipaddress.IPv6Address(int(text, 16))
            if not (address.is_loopback or address.is_link_local):
                found.append(f"{name} {address}")
    return tuple(sorted(found))


def addresses_v4(root: Path = ROOT) -> Iterator[str]:
    """Yield the first IPv4 address of each interface.

    Their names are read from /sys: asking the kernel takes a netlink socket, which the
    agent's unit does not let it have.
    """
    try:
        names = sorted(one.name for one in (root / "sys/class/net").iterdir())
    except OSError:
        return
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        for name in names:
            asked = struct.pack("256s", name[:_INTERFACE_NAME].encode())
            try:
                answer = fcntl.ioctl(one.fileno(), _SIOCGIFADDR, asked)
            except OSError:
                continue  # it has none
            address = ipaddress.IPv4Address(answer[20:24])
            if not address.is_loopback:
                yield f"{name} {address}"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
