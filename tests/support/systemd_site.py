"""A site inside a booted systemd: installed by the guide, and what is done to it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.guide import commands
from tests.support.polling import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

PROJECT = Path(__file__).resolve().parents[2]
GUIDE = PROJECT / "docs/guide/install.md"
#: Where the test mounts the interpreter, its packages and the wheel.
PYTHON, PACKAGES, WHEELS = Path("/opt/python"), Path("/opt/packages"), "/opt/wheels"

HEAD, SUPERVISOR, AGENT = UNITS = (
    "hpcschedd",
    "hpc-task-supervisor",
    "hpc-node-agent",
)
SHUTDOWN = "hpc-node-shutdown"
CONFIG = Path("/etc/hpcsched/hpcschedd.toml")
NODE_CONFIG = Path("/etc/hpcsched/node.toml")
CORES = 4
DEADLINE_S = 60.0
WATCHDOG_S = 6


def run(*command: str, check: bool = True) -> str:
    """Return what a command prints."""
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if check and done.returncode:
        problem = f"{command}: status {done.returncode}: {done.stderr[-2000:]}"
        raise RuntimeError(problem)
    return done.stdout.strip()


def show_journals() -> None:
    """Print the end of each unit's journal for whoever reads the test's log."""
    for unit in (*UNITS, SHUTDOWN):
        text = run("journalctl", "-u", unit, "-n", "40", "--no-pager", check=False)
        sys.stderr.write(f"{text}\n")


def until(what: str, true: Callable[[], object], seconds: float = DEADLINE_S) -> None:
    """Wait until a condition holds, or say what did not happen."""
    wait_for(true, seconds, what=what)


# -- installing


def install() -> None:
    """Do what the guide says, section by section, on this one machine."""
    _make_interpreter_public()
    _shorten_watchdogs()
    place = Path("/srv/site")
    place.mkdir(parents=True)
    os.chdir(place)
    (wheel,) = Path(WHEELS).glob("hpcsched-*.whl")
    named = commands(GUIDE, "1.")[1].split()[-1]
    Path(named).symlink_to(wheel)
    _type("1.")
    site = "/opt/hpcsched/lib/python{}.{}/site-packages".format(*sys.version_info)
    Path(site, "dependencies.pth").write_text(f"{PACKAGES}\n")
    _type("2.")
    _type("3.")
    _type("4.")
    _use_administrator()
    _type("5.")
    with NODE_CONFIG.open("a") as file:
        file.write(f"cores = {CORES}\n")
    systemctl("restart", AGENT)


def _type(section: str) -> None:
    """Type a section's commands into one shell, and have it stop at the first error."""
    environment = {
        **os.environ,
        "PATH": f"{PYTHON}/bin:{os.environ['PATH']}",
        # The dependencies are there already, and no index is.
        "PIP_NO_DEPS": "1",
        "PIP_NO_INDEX": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    script = "\n".join(["set -euo pipefail", *commands(GUIDE, section)])
    done = subprocess.run(
        ["bash", "-c", script],
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"section {section}: {done.stdout}{done.stderr}")


def _make_interpreter_public() -> None:
    """Let daemons load an interpreter that may come from a developer's home."""
    Path("/etc/ld.so.conf.d/test-python.conf").write_text(f"{PYTHON}/lib\n")
    run("ldconfig")


def _shorten_watchdogs() -> None:
    """Have systemd lose its patience within seconds; nothing else is changed."""
    for unit in UNITS:
        folder = Path(f"/etc/systemd/system/{unit}.service.d")
        folder.mkdir(parents=True)
        text = f"[Service]\nWatchdogSec={WATCHDOG_S}\n"
        (folder / "watchdog.conf").write_text(text)


def _use_administrator() -> None:
    os.environ["HPC_ADDRESS"] = "head01"
    os.environ["HPC_CA"] = "/etc/hpcsched/ca.crt"
    os.environ["HPC_TOKEN_FILE"] = "/var/lib/hpcsched/admin.token"  # noqa: S105


# -- units


def systemctl(*arguments: str) -> str:
    """Carry out a verb of systemctl."""
    return run("systemctl", *arguments)


def value_of(unit: str, name: str) -> str:
    """Return a property of a unit."""
    return systemctl("show", "-p", name, "--value", unit)


def main_pid(unit: str) -> int:
    """Return a unit's main process."""
    return int(value_of(unit, "MainPID"))


def states() -> dict[str, str]:
    """Return what each unit is."""
    return {unit: value_of(unit, "ActiveState") for unit in UNITS}


def spawner() -> int:
    """Return the spawner's process id."""
    return int(run("pgrep", "-x", "hpc-spawner"))


# -- the cluster


def hpc(*arguments: str, check: bool = True) -> str:
    """Return what ``hpc`` prints."""
    return run("hpc", *arguments, check=check)


def hpc_json(*arguments: str) -> Any:
    """Return what ``hpc --json`` prints, as values."""
    return json.loads(hpc("--json", *arguments))


def submit(*arguments: str) -> str:
    """Return the id of a new job that works in /tmp."""
    return hpc("submit", "--workdir", "/tmp", *arguments)  # noqa: S108


def wait_until_node_is_ready() -> None:
    """Wait until the head has the node again."""
    until(
        "the node's contact", lambda: hpc_json("node", "list")["nodes"][0]["reachable"]
    )
