"""What does the same work beside hpcsched: xargs, and HyperQueue's wheel."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

HYPERQUEUE = """
import sys, time
from hyperqueue import LocalCluster, Job
from hyperqueue.cluster import WorkerConfig
count = int(sys.argv[1])
with LocalCluster() as cluster:
    cluster.start_worker(WorkerConfig(cores=2))
    client = cluster.client()
    job = Job()
    for _ in range(count):
        job.program(["/bin/true"])
    begin = time.perf_counter()
    client.wait_for_jobs([client.submit(job)])
    print("SECONDS", time.perf_counter() - begin)
"""


def xargs(count: int, parallel: int = 2) -> float:
    """Return the seconds that xargs takes for so many ``/bin/true``, each a process."""
    words = "\n".join(str(number) for number in range(count))
    begin = time.perf_counter()
    subprocess.run(
        ["/usr/bin/xargs", f"-P{parallel}", "-n1", "/bin/true"],
        input=words,
        text=True,
        check=True,
    )
    return time.perf_counter() - begin


def install_hyperqueue(directory: Path) -> Path | None:
    """Return a Python that can import hyperqueue; None if it cannot be had."""
    python = directory / "bin" / "python"
    if not python.exists():
        made = [sys.executable, "-m", "venv", str(directory)]
        if subprocess.run(made, check=False, capture_output=True).returncode:
            return None
    install = [str(python), "-m", "pip", "install", "--quiet", "hyperqueue"]
    if subprocess.run(install, check=False, capture_output=True).returncode:
        return None
    return python


def hyperqueue(python: Path, count: int, directory: Path) -> float | None:
    """Return the seconds that HyperQueue takes for a job of so many ``/bin/true``."""
    done = subprocess.run(
        [str(python), "-c", HYPERQUEUE, str(count)],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
        cwd=directory,
    )
    for line in done.stdout.splitlines():
        if line.startswith("SECONDS"):
            return float(line.split()[1])
    return None
