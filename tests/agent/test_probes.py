"""What a machine is, from its files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from node_agent.probes.cpulist import parse_cpu_list
from node_agent.probes.hardware import (
    addresses_v4,
    addresses_v6,
    gpus,
    probe_hardware,
    processors,
)
from node_agent.probes.machine import (
    memory_bytes,
    os_name,
    probe,
    sockets,
    usable_cores,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("", set()),
        ("\n", set()),
        ("0", {0}),
        ("0-2,8\n", {0, 1, 2, 8}),
        ("0-7:2/4", {0, 1, 4, 5}),
        ("3,1", {1, 3}),
    ],
)
def test_a_cpu_list_names_logical_cpus(text: str, ids: set[int]) -> None:
    assert parse_cpu_list(text) == ids


@pytest.mark.parametrize(
    "text", ["x", "1-", "3-1", "0-9:0/4", "0-9:5/4", "1,,2", "-1", "0-99999999999"]
)
def test_what_is_no_cpu_list_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a list of CPUs"):
        parse_cpu_list(text)


def put(root: Path, path: str, text: str) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_cores_are_those_that_are_online_and_allowed(tmp_path: Path) -> None:
    mine = os.sched_getaffinity(0)
    put(tmp_path, "sys/devices/system/cpu/online", f"{min(mine)},60000")
    assert usable_cores(tmp_path) == {min(mine)}
    put(tmp_path, "sys/devices/system/cpu/online", "garbage")

    assert usable_cores(tmp_path) == mine


def test_sockets_are_counted_over_the_usable_cores(tmp_path: Path) -> None:
    for core, package in ((0, 0), (1, 0), (2, 1)):
        path = f"sys/devices/system/cpu/cpu{core}/topology/physical_package_id"
        put(tmp_path, path, f"{package}\n")

    assert sockets(tmp_path, frozenset({0, 1, 2})) == 2
    assert sockets(tmp_path, frozenset({0, 1})) == 1
    assert sockets(tmp_path / "none", frozenset({0})) == 1


def test_memory_is_what_the_control_group_leaves(tmp_path: Path) -> None:
    put(tmp_path, "proc/meminfo", "MemTotal:   1000 kB\nMemFree: 5 kB\n")
    assert memory_bytes(tmp_path) == 1000 * 1024
    put(tmp_path, "proc/self/cgroup", "0::/a/b\n")
    put(tmp_path, "sys/fs/cgroup/a/b/memory.max", "max\n")
    put(tmp_path, "sys/fs/cgroup/a/memory.max", "4096\n")

    assert memory_bytes(tmp_path) == 4096
    assert memory_bytes(tmp_path / "none") == 0


def test_the_system_is_called_what_its_makers_call_it(tmp_path: Path) -> None:
    put(tmp_path, "etc/os-release", 'ID=x\nPRETTY_NAME="Some Linux 12 (thing)"\n')

    assert os_name(tmp_path) == "Some Linux 12 (thing)"
    assert os_name(tmp_path / "none").startswith("Linux")


def test_this_machine_can_be_probed() -> None:
    machine = probe()

    assert machine.cores == len(os.sched_getaffinity(0))
    assert machine.memory_bytes > 1 << 20
    assert machine.load() >= 0


def test_processors_are_known_by_model_and_highest_clock(tmp_path: Path) -> None:
    put(tmp_path, "proc/cpuinfo", "model name\t: Fast  CPU\ncpu MHz\t: 1200.6\n")
    assert processors(tmp_path) == ("Fast CPU", 1201)
    path = "sys/devices/system/cpu/cpu3/cpufreq/cpuinfo_max_freq"
    put(tmp_path, path, "3500000\n")
    assert processors(tmp_path) == ("Fast CPU", 3500)
    put(tmp_path, path, "garbage")
    put(tmp_path, "proc/cpuinfo", "cpu MHz: nan\ncpu MHz: inf\n")

    assert processors(tmp_path) == ("", 0)
    assert processors(tmp_path / "none") == ("", 0)


def test_gpus_are_found_by_their_drivers(tmp_path: Path) -> None:
    assert gpus(tmp_path) == ()
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        put(tmp_path, f"dev/{name}", "")
    assert gpus(tmp_path) == ("NVIDIA GPU", "NVIDIA GPU")
    put(tmp_path, "proc/driver/nvidia/gpus/0000:01/information", "Model:  A100\nX: 1")
    put(tmp_path, "sys/class/kfd/kfd/topology/nodes/0/gpu_id", "0\n")
    put(tmp_path, "sys/class/kfd/kfd/topology/nodes/1/gpu_id", "4711\n")
    put(tmp_path, "sys/class/kfd/kfd/topology/nodes/1/name", "MI300\n")

    assert gpus(tmp_path) == ("A100", "AMD MI300")


def test_addresses_that_lead_nowhere_are_left_out(tmp_path: Path) -> None:
    lines = (
        "00000000000000000000000000000001 01 80 10 80       lo",
        "fe800000000000000000000000000001 02 40 20 80     eth0",
        "20010db8000000000000000000000007 02 40 00 80     eth0",
        "garbage",
        "zz 1 2 3 4 eth1",
    )
    put(tmp_path, "proc/net/if_inet6", "\n".join(lines))

    assert addresses_v6(tmp_path) == ("eth0 2001:db8::7",)


def test_addresses_are_found_without_a_socket_that_the_unit_forbids(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse() -> None:
        raise OSError(97, "Address family not supported by protocol")

    monkeypatch.setattr("socket.if_nameindex", refuse)

    assert not any(one.startswith("lo ") for one in addresses_v4())
    assert list(addresses_v4(tmp_path)) == []
    assert probe_hardware().addresses is not None


def test_this_machine_has_an_architecture_and_a_kernel() -> None:
    found = probe_hardware()

    assert found.architecture == os.uname().machine
    assert found.kernel == os.uname().release
    assert all(len(address.split()) == 2 for address in found.addresses)
