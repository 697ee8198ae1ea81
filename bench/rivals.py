"""What does the same work beside hpcsched.

xargs and a bare spawn loop schedule nothing; HyperQueue comes as a wheel; Slurm is
measured where Debian's packages are installed and a controller answers.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
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


def spawn_loop(count: int, parallel: int = 2) -> float:
    """Return the seconds of threads that only spawn and wait: the floor in Python."""

    def work() -> None:
        for _ in range(count // parallel):
            child = os.posix_spawn("/bin/true", ["/bin/true"], {})
            os.waitpid(child, 0)

    threads = [threading.Thread(target=work) for _ in range(parallel)]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - begin


def slurm(count: int) -> float | None:
    """Return the seconds of a Slurm array of so many; None where there is no Slurm."""
    if shutil.which("sbatch") is None or shutil.which("scontrol") is None:
        return None
    ping = subprocess.run(["scontrol", "ping"], check=False, capture_output=True)  # noqa: S607
    if ping.returncode:
        return None
    array = ["sbatch", "--wait", "--output=/dev/null", f"--array=1-{count}"]
    begin = time.perf_counter()
    done = subprocess.run(
        [*array, "--wrap", "/bin/true"], check=False, capture_output=True
    )
    return None if done.returncode else time.perf_counter() - begin


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
