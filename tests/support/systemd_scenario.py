"""Runs inside a booted systemd: installs the site, loads it, strikes each unit.

Writes a JSON object of facts to the file in its argument; tests/systemd says what must
be true of them.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.support.systemd_site import (
    AGENT,
    CONFIG,
    HEAD,
    SHUTDOWN,
    SUPERVISOR,
    UNITS,
    hpc,
    hpc_json,
    install,
    main_pid,
    run,
    show_journals,
    spawner,
    states,
    submit,
    systemctl,
    until,
    value_of,
    wait_until_node_is_ready,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

KEPT = Path(sys.argv[1]).parent
#: Where root and tasks write: /tmp is sticky, and the kernel protects its files.
SHARED = Path("/srv/shared")
RAN = SHARED / "ran"
ELEMENTS = 120

#: A task that says goodbye, slowly, when it is told to end.
POLITE = (
    "trap 'sleep 0.5; echo ended >>{0}; exit 3' TERM; echo up >{0}; "
    "while :; do sleep 0.05; done"
)


# -- load


def sweep() -> str:
    """Return the id of a sweep whose elements say that they ran."""
    RAN.write_text("")
    RAN.chmod(0o666)
    line = f"echo * >> {RAN}; sleep 0.1; exit $(( CCP_TASKINSTANCEID % 2 ))"
    exits = ("--valid-exit", "0,1")
    return submit("--array", f"1-{ELEMENTS}", *exits, "--shell", line)


def has_done(job: str, count: int) -> bool:
    """Have so many elements of a job finished?"""
    return int(hpc_json("job", "show", job)["task_counts"]["finished"]) >= count


def outcome(job: str) -> dict[str, object]:
    """Wait for a sweep and return what became of it."""
    hpc("job", "wait", job, "--timeout", "60s", check=False)
    tasks = hpc_json("task", "list", job, "--elements")["tasks"]
    ran = Counter(RAN.read_text().split())
    wrong = [
        task["instance_id"]
        for task in tasks
        if task.get("exit_code") != task["instance_id"] % 2
    ]
    return {
        "state": hpc_json("job", "show", job)["state"],
        "states": sorted({task["state"] for task in tasks}),
        "wrong_exit_codes": wrong,
        "elements": len(ran),
        "most_runs": max(ran.values(), default=0),
        "ran_again": [story(job, name) for name, runs in ran.items() if runs > 1],
    }


def story(job: str, element: str) -> dict[str, object]:
    """Return what the head was told of an element that should have run once."""
    return {
        "element": hpc_json("task", "show", f"{job}.1.{element}"),
        "events": hpc("--json", "events", "--job", job).splitlines(),
    }


def strike(strikes: Iterable[tuple[str, Callable[[], object]]]) -> dict[str, object]:
    """Strike unit after unit while a sweep runs; return what became of it."""
    job = sweep()
    for number, (_, act) in enumerate(strikes, start=1):
        until("progress", partial(has_done, job, 15 * number))
        act()
        until("the head's answer", lambda: hpc("cluster", "info", check=False))
    facts = outcome(job)
    until("all units", lambda: set(states().values()) == {"active"})
    return facts


# -- the parts


def sleeper_of(job: str) -> int:
    """Return the process of a job's only task, which is the only sleep of 300 s."""
    until("the sleeper", lambda: run("pgrep", "-fx", "sleep 300", check=False))
    if not has_started(job):
        until("its start", lambda: has_started(job))
    return int(run("pgrep", "-fx", "sleep 300"))


def has_started(job: str) -> bool:
    """Does a task of the job run?"""
    return int(hpc_json("job", "show", job)["task_counts"]["running"]) > 0


def inherited(pid: int) -> dict[str, Any]:
    """Return what a task has from the supervisor's unit."""
    process = Path(f"/proc/{pid}")
    lines = (process / "status").read_text().splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    limits = (process / "limits").read_text().splitlines()
    return {
        "user": run("ps", "-o", "user:32=", "-p", str(pid)),
        "capabilities": [status[name] for name in ("CapEff", "CapPrm", "CapAmb")],
        "oom_score_adj": (process / "oom_score_adj").read_text().strip(),
        "descriptors": next(li for li in limits if "open files" in li).split()[3],
        "sees_our_mounts": (process / "ns/mnt").readlink()
        == Path("/proc/1/ns/mnt").readlink(),
        "variables": sorted(
            word.partition(b"=")[0].decode()
            for word in (process / "environ").read_bytes().split(b"\0")
            if word.startswith((b"NOTIFY", b"WATCHDOG", b"INVOCATION", b"JOURNAL"))
        ),
    }


def restarts() -> dict[str, object]:
    """Restart every unit under load, and have the supervisor take on new code."""
    verbs = [("restart", unit) for unit in UNITS] + [("reload", SUPERVISOR)]
    return strike((verb[1], partial(systemctl, *verb)) for verb in verbs)


def kills() -> dict[str, object]:
    """Kill every unit's main process under load, and the spawner."""
    victims: list[tuple[str, Callable[[], int]]] = [
        (unit, partial(main_pid, unit)) for unit in UNITS
    ]
    victims.append(("spawner", spawner))
    return strike(
        (name, lambda find=find: os.kill(find(), signal.SIGKILL))  # type: ignore[misc]
        for name, find in victims
    )


def hang() -> dict[str, object]:
    """Freeze head, agent and spawner; return how often systemd started each unit."""
    job = sweep()
    before = {unit: int(value_of(unit, "NRestarts")) for unit in UNITS}
    until("progress", partial(has_done, job, 15))
    for pid in (spawner(), main_pid(AGENT), main_pid(HEAD)):
        os.kill(pid, signal.SIGSTOP)

    def restarted() -> dict[str, int]:
        return {u: int(value_of(u, "NRestarts")) - before[u] for u in UNITS}

    until("the watchdogs", lambda: all(restarted().values()))
    until("all units", lambda: set(states().values()) == {"active"})
    return {"restarts": restarted(), **outcome(job)}


def misconfigure() -> dict[str, object]:
    """Break the head's configuration and restart it; return what the unit is then."""
    good = CONFIG.read_text()
    CONFIG.write_text(good + "[listen]\n")
    run("systemctl", "restart", HEAD, check=False)
    found: dict[str, object] = {
        "state": value_of(HEAD, "ActiveState"),
        "status": value_of(HEAD, "ExecMainStatus"),
        "sub_state": value_of(HEAD, "SubState"),
    }
    CONFIG.write_text(good)
    systemctl("restart", HEAD)
    return found


def stop_node(pid: int) -> dict[str, bool]:
    """Stop agent and supervisor; does the task go on?"""
    systemctl("stop", AGENT)
    after_agent = Path(f"/proc/{pid}").exists()
    systemctl("stop", SUPERVISOR)
    after_supervisor = Path(f"/proc/{pid}").exists()
    systemctl("start", SUPERVISOR, AGENT)
    wait_until_node_is_ready()
    return {"agent": after_agent, "supervisor": after_supervisor}


def outputs() -> dict[str, str]:
    """Return what the head serves of a private file and of users' files."""
    found = {"private": hpc("run", "--workdir", "/tmp", "--", "echo", "it works")}  # noqa: S108
    home = Path("/home/user")
    home.mkdir(mode=0o755, parents=True)
    run("chown", "hpcsched-task", str(home))
    for path in (home / "out", Path("/tmp/out")):  # noqa: S108
        job = submit("--stdout", str(path), "--", "echo", str(path))
        hpc("job", "wait", job, "--timeout", "30s")
        found[str(path)] = hpc("job", "output", job, check=False)
    job = submit("--shell", "cd && touch written && pwd")
    hpc("job", "wait", job, "--timeout", "30s", check=False)
    found["home"] = hpc("job", "output", job, check=False)
    return found


def polite_task(path: Path) -> str:
    """Start a task that writes to the file when it is told to end; return its job."""
    path.write_text("")
    path.chmod(0o666)
    job = submit("--no-rerunnable", "--shell", POLITE.format(path))
    until("the task", path.read_text)
    until("its start", lambda: has_started(job))
    return job


def go_down() -> dict[str, Any]:
    """Do to the node what the machine's shutdown does, and look at it from the head."""
    refused = run("sh", "-c", f"systemctl stop {SHUTDOWN} 2>&1 || true")
    state = value_of(SHUTDOWN, "ActiveState")
    told = SHARED / "told"
    job = polite_task(told)
    target = Path("/run/systemd/system/going-down.target")
    target.write_text(f"[Unit]\nConflicts={SHUTDOWN}.service\n")
    systemctl("daemon-reload")
    systemctl("start", target.name)
    until("the task's end", lambda: "ended" in told.read_text())
    hpc("job", "wait", job, "--timeout", "30s", check=False)
    task = hpc_json("task", "show", f"{job}.1")
    # The supervisor has ended itself and is started again, with the unit that it wants.
    until(
        "the units",
        lambda: {*states().values(), value_of(SHUTDOWN, "ActiveState")} == {"active"},
    )
    wait_until_node_is_ready()
    return {
        "refused": refused,
        "state_before": state,
        "told": told.read_text().split(),
        "reason": task.get("end_reason"),
        "exit_code": task.get("exit_code"),
        "state": task["state"],
    }


def main() -> None:
    """Do all of it; the machine goes down after it, with a task on it."""
    facts: dict[str, object] = {}
    install()
    SHARED.mkdir()
    wait_until_node_is_ready()
    sleeper = submit("--", "sleep", "300")
    pid = sleeper_of(sleeper)
    facts["inherited"] = inherited(pid)
    facts["restart"] = restarts()
    facts["kill"] = kills()
    facts["hang"] = hang()
    facts["misconfigured"] = misconfigure()
    facts["survived"] = {"all": Path(f"/proc/{pid}").exists(), **stop_node(pid)}
    hpc("job", "cancel", sleeper, "--message", "enough")
    hpc("job", "wait", sleeper, "--timeout", "30s", check=False)
    facts["sleeper"] = hpc_json("job", "show", sleeper)
    facts["sleeper_gone"] = not Path(f"/proc/{pid}").exists()
    facts["outputs"] = outputs()
    facts["going_down"] = go_down()
    polite_task(KEPT / "last")
    Path(sys.argv[1]).write_text(json.dumps(facts))


try:
    main()
except BaseException:
    show_journals()
    raise
