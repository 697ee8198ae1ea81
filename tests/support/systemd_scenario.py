"""Runs inside a booted systemd: installs the units, loads them, restarts each.

Prints one JSON object of facts; tests/systemd says what must be true of them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

PROJECT = Path(sys.argv[1])
sys.path.insert(0, str(PROJECT))

from tests.support.polling import NotReachedError, wait_for  # noqa: E402

VENV = Path(sys.argv[2])
HPC = VENV / "bin" / "hpc"
UNITS = ("hpcschedd", "hpc-task-supervisor", "hpc-node-agent")
RAN = Path("/tmp/ran")  # noqa: S108  a tmpfs of this namespace
DEADLINE_S = 60.0
#: What a unit must not hide when the checkout or its Python lies there.
RELAXED = {
    "ProtectHome=read-only": ("/root", "/home"),
    "PrivateTmp=no": ("/tmp", "/var/tmp"),  # noqa: S108
}


def run(*command: str, check: bool = True) -> str:
    """Return what a command prints."""
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if check and done.returncode:
        problem = f"{command}: status {done.returncode}: {done.stderr[-2000:]}"
        raise RuntimeError(problem)
    return done.stdout.strip()


def hpc(*arguments: str, check: bool = True) -> str:
    """Return what ``hpc`` prints."""
    return run(str(HPC), *arguments, check=check)


def journal(unit: str) -> str:
    """Return the end of a unit's journal."""
    return run("journalctl", "-u", unit, "-n", "30", "--no-pager", check=False)


def until(what: str, true: Callable[[], object]) -> None:
    """Wait until a condition holds, or say what did not happen."""
    try:
        wait_for(true, DEADLINE_S, what=what)
    except NotReachedError:
        for unit in UNITS:
            sys.stderr.write(journal(unit))
        raise


def install() -> None:
    """Put units, users and configuration in place, as the guide says."""
    Path("/opt").mkdir(exist_ok=True)
    Path("/opt/hpcsched").symlink_to(VENV)
    for unit in (PROJECT / "systemd").glob("*.service"):
        shutil.copy(unit, "/etc/systemd/system")
    interpreter = Path(sys.executable).resolve()
    for folder in [*interpreter.parents, *PROJECT.parents]:
        if not folder.stat().st_mode & 0o001:
            folder.chmod(0o755)  # the overlay's: a home is closed to daemons
    places = (interpreter, PROJECT, VENV)
    relaxed = [
        line
        for line, folders in RELAXED.items()
        if any(p.is_relative_to(folder) for p in places for folder in folders)
    ]
    for name in UNITS if relaxed else ():
        extra = Path(f"/etc/systemd/system/{name}.service.d")
        extra.mkdir()
        (extra / "here.conf").write_text("\n".join(["[Service]", *relaxed, ""]))
    for kind, how in (("sysusers", []), ("tmpfiles", ["--create"])):
        source = PROJECT / "systemd" / f"{kind}.d" / "hpcsched.conf"
        Path(f"/etc/{kind}.d").mkdir(exist_ok=True)
        shutil.copy(source, f"/etc/{kind}.d")
        run(f"systemd-{kind}", *how, f"/etc/{kind}.d/hpcsched.conf")
    Path("/etc/hpcsched/hpcschedd.toml").write_text(
        '[listen]\nclients = "127.0.0.1:7470"\nagents = "127.0.0.1:7471"\n'
        "insecure_loopback = true\n[tokens]\n"
        'admin_file = "/var/lib/hpcsched/admin.token"\n'
        'node_file = "/var/lib/hpcsched/node.token"\n'
    )
    node = (PROJECT / "systemd" / "examples" / "node.toml").read_text()
    node = node.replace("head01:7471", "127.0.0.1:7471")
    plain = "insecure_loopback = true\ncores = 4"
    node = node.replace('ca = "/etc/hpcsched/ca.crt"', plain)
    Path("/etc/hpcsched/node.toml").write_text(node)
    run("systemctl", "daemon-reload")


def start_unit(unit: str) -> None:
    """Start a unit, or show its journal."""
    try:
        run("systemctl", "start", unit)
    except RuntimeError:
        sys.stderr.write(journal(unit))
        raise


def start() -> None:
    """Start the units in the order that a new site would."""
    run("ip", "link", "set", "lo", "up", check=False)
    start_unit("hpcschedd")
    secret = Path("/var/lib/hpcsched/node.token").read_text()
    token = Path("/etc/hpcsched/node.token")
    token.write_text(secret)
    shutil.chown(token, "hpcsched-node")
    token.chmod(0o400)
    start_unit("hpc-task-supervisor")
    start_unit("hpc-node-agent")
    os.environ["HPC_ADDRESS"] = "127.0.0.1:7470"
    os.environ["HPC_TOKEN_FILE"] = "/var/lib/hpcsched/admin.token"  # noqa: S105
    joined = lambda: "Online" in hpc("node", "list", check=False)  # noqa: E731
    until("the node's first contact", joined)


def submit(*arguments: str) -> str:
    """Return the id of a new job that works in /tmp."""
    return hpc("submit", "--workdir", "/tmp", *arguments)  # noqa: S108


def sweep(count: int) -> str:
    """Return the id of a sweep whose elements say that they ran."""
    RAN.write_text("")
    RAN.chmod(0o666)
    line = f"echo * >> {RAN}; sleep 0.1"
    return submit("--array", f"1-{count}", "--shell", line)


def done(job: str) -> int:
    """Return how many elements of a job have finished."""
    return int(json.loads(hpc("--json", "job", "show", job))["task_counts"]["finished"])


def has_done(job: str, count: int) -> bool:
    """Have so many elements of a job finished?"""
    return done(job) >= count


def main_pid(unit: str) -> int:
    """Return a unit's main process."""
    return int(run("systemctl", "show", "-p", "MainPID", "--value", unit))


def outcome(job: str) -> dict[str, object]:
    """Wait for a sweep and return what became of it."""
    hpc("job", "wait", job, "--timeout", "60s", check=False)
    tasks = json.loads(hpc("--json", "task", "list", job, "--elements"))["tasks"]
    ran = Counter(RAN.read_text().split())
    return {
        "state": json.loads(hpc("--json", "job", "show", job))["state"],
        "states": sorted({task["state"] for task in tasks}),
        "exit_codes": sorted({task.get("exit_code", -1) for task in tasks}),
        "elements": len(ran),
        "most_runs": max(ran.values(), default=0),
    }


def main() -> None:
    """Do all of it."""
    facts: dict[str, object] = {}
    install()
    start()
    sleeper = submit("--", "sleep", "300")
    until("the sleeper", lambda: run("pgrep", "-x", "sleep", check=False))
    pid = run("pgrep", "-ox", "sleep")
    facts["task_user"] = run("ps", "-o", "user:32=", "-p", pid)
    for name, strike in (
        ("restart", lambda unit: run("systemctl", "restart", unit)),
        ("kill", lambda unit: os.kill(main_pid(unit), 9)),
    ):
        job = sweep(150)
        for number, unit in enumerate(UNITS, start=1):
            until("progress", partial(has_done, job, 20 * number))
            strike(unit)
            until("the head to answer", lambda: hpc("cluster", "info", check=False))
        facts[name] = outcome(job)
        facts[f"active_after_{name}"] = [
            run("systemctl", "is-active", unit, check=False) for unit in UNITS
        ]
    facts["sleeper_survived"] = Path(f"/proc/{pid}").exists()
    run("systemctl", "stop", "hpc-node-agent")
    facts["sleeper_survived_agent_stop"] = Path(f"/proc/{pid}").exists()
    run("systemctl", "start", "hpc-node-agent")
    hpc("job", "cancel", sleeper, "--message", "enough")
    hpc("job", "wait", sleeper, "--timeout", "30s", check=False)
    facts["sleeper"] = json.loads(hpc("--json", "job", "show", sleeper))
    facts["sleeper_gone"] = not Path(f"/proc/{pid}").exists()
    echo = ["--", "sh", "-c", "echo it works"]
    facts["output"] = hpc("run", "--workdir", "/tmp", *echo)  # noqa: S108
    sys.stdout.write(json.dumps(facts) + "\n")


main()
