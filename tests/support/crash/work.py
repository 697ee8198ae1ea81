"""The tasks of a campaign: each writes itself into a journal of its node.

The line of the start comes first of all and the line of the end last, each one write
with O_APPEND. A lock per element, held for as long as any process of the attempt lives,
tells a later attempt that it is not alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf import duration_pb2

from hpcsched.api.v1 import job_pb2, task_pb2
from tests.support.history.model import Run

if TYPE_CHECKING:
    import random
    from pathlib import Path

SCRIPT = r"""#!/bin/bash
# JOURNAL KIND VALUE
node=${CCP_NODES#* }; node=${node%% *}
who="$HPC_TASK $HPC_ATTEMPT $node $$"
exec 9>>"$1/lock.$HPC_TASK"
flock -n 9 || echo "O $who" >>"$1/journal"
cores=${CCP_COREIDS// /,}
echo "S $who ${cores:--}" >>"$1/journal"
code=$(($3 % 3))
case $2 in
nap) sleep "0.0$(($3 % 7))" ;;
long) sleep 0.4 ;;
deaf) trap '' TERM; sleep 0.8 ;;
polite) trap 'code=1' TERM; sleep 0.4 & wait ;;
fork) sleep 60 </dev/null >/dev/null 2>&1 & ;;
esac
echo "E $who $code" >>"$1/journal"
exit $code
"""

#: From the cancel signal to the kill.
GRACE = duration_pb2.Duration(seconds=1)

#: Exit codes that count as success, of every job; 2 is a failure.
VALID = (0, 1)

TIDY = (task_pb2.TASK_TYPE_NODE_PREP, task_pb2.TASK_TYPE_NODE_RELEASE)

KINDS = ("quick", "quick", "quick", "nap", "nap", "polite", "fork", "long", "deaf")


def install(place: Path) -> None:
    """Put the script and an empty journal into a directory."""
    place.mkdir(exist_ok=True)
    (place / "task").write_text(SCRIPT)
    (place / "journal").touch()


def job(name: str, **more: Any) -> job_pb2.JobSpec:
    """Return a job without tasks."""
    valid = ",".join(map(str, VALID))
    return job_pb2.JobSpec(name=name, valid_exit_codes=valid, **more)


def task(place: Path, kind: str, value: int | str, **more: Any) -> task_pb2.TaskSpec:
    """Return a task of a kind; ``value`` modulo 3 is its exit code."""
    words = ["/bin/bash", str(place / "task"), str(place), kind, str(value)]
    return task_pb2.TaskSpec(
        arguments=words, work_directory=str(place), grace_period=GRACE, **more
    )


def random_job(place: Path, name: str, chance: random.Random) -> job_pb2.JobSpec:
    """Return a job of the mixed load."""
    most = chance.choice((1, 2, 4))
    spec = job(name, min_cores=1, max_cores=most)
    if chance.random() < 0.25:
        for tidy in TIDY:
            value = 3 * chance.randrange(9)
            how = chance.choice(("quick", "nap"))
            spec.tasks.append(task(place, how, value, type=tidy))
    for _ in range(chance.choice((1, 1, 2))):
        kind = chance.choice(KINDS)
        if chance.random() < 0.5:
            sweep = {"end_value": chance.randint(2, 12)}
            if kind in ("deaf", "long", "polite"):
                sweep["end_value"] = chance.randint(2, 4)
            spec.tasks.append(task(place, kind, "*", **sweep))
        else:
            spec.tasks.append(task(place, kind, chance.randrange(30)))
    return spec


def sizes(spec: job_pb2.JobSpec) -> list[int]:
    """Return how many elements each task has; 0 where the nodes decide."""
    return [0 if t.type in TIDY else max(1, t.end_value) for t in spec.tasks]


def read_journal(path: Path) -> list[Run]:
    """Return the runs that a journal tells of."""
    runs: dict[tuple[str, str, str], Run] = {}
    overlapped = set()
    for number, line in enumerate(path.read_text().splitlines(), 1):
        kind, tag, attempt, node, pid, *rest = line.split(" ")
        job_id, task_id, element = map(int, tag.split("."))
        name = (tag, attempt, pid)
        if kind == "O":
            overlapped.add(name)
        elif kind == "S":
            cores = () if rest[0] == "-" else tuple(map(int, rest[0].split(",")))
            runs[name] = Run(
                key=(job_id, task_id, element),
                attempt=int(attempt),
                node=node,
                cores=cores,
                pid=int(pid),
                began=number,
                overlapped=name in overlapped,
            )
        else:
            runs[name].ended, runs[name].code = number, int(rest[0])
    return list(runs.values())
