"""What people want to know of a machine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """What was found at the start of this program.

    Attributes:
        cpu_mhz: Highest clock of the processors, MHz; 0: not known.
        gpu_info: A text per GPU.
        addresses: Of the network interfaces, as ``NAME ADDRESS``, without loopback.
        dns_suffix: Domain of the host name.
    """

    kernel: str = ""
    architecture: str = ""
    cpu_model: str = ""
    cpu_mhz: int = 0
    gpu_info: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    dns_suffix: str = ""
