"""P11 and P12: one pass of the scheduler, and a cold command line."""

from __future__ import annotations

import math
import resource
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from bench.cluster import HPC
from bench.figures import Figure, at_most, percentile
from bench.scheduling import Scene
from hpcsched.core.scheduling.plan import propose
from hpcsched.core.scheduling.snapshot import Policy

if TYPE_CHECKING:
    from bench.site import Site


def pass_s(nodes: int, jobs: int, repeats: int) -> float:
    """Return the best seconds of a pass with a tenth of the nodes free."""
    scene = Scene(nodes, jobs).free(*range(1, max(2, nodes // 10)))
    times = []
    for _ in range(repeats + 1):
        begin = time.perf_counter()
        propose(scene.snapshot(), Policy(preemption="Graceful"))
        times.append(time.perf_counter() - begin)
    return min(times[1:])


async def p11(site: Site) -> list[Figure]:
    """A pass over 10,000 queued jobs and 1,000 nodes, and how it grows."""
    repeats = max(3, site.runs)
    whole = pass_s(1_000, 10_000, repeats)
    tenfold = pass_s(10_000, 100_000, repeats)
    exponent = math.log10(tenfold / whole)
    allowed = math.log10(10 * math.log(100_000) / math.log(10_000))
    what = "a pass, 10,000 jobs x 1,000 nodes, a tenth free"
    return [
        at_most("P11", what, whole * 1e3, 50, "ms"),
        at_most(
            *("P11", "exponent of its growth to ten times that", exponent),
            *(
                round(allowed, 2),
                "",
            ),
            tenfold_ms=tenfold * 1e3,
        ),
    ]


def _median(
    command: list[str], environ: dict[str, str], repeats: int
) -> tuple[float, float]:
    """Return the seconds that a command takes, and those of the processors."""
    times, used = [], []
    for _ in range(repeats):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        begin = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, env=environ)
        times.append(time.perf_counter() - begin)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return percentile(times, 0.5), percentile(used, 0.5)


async def p12(site: Site) -> list[Figure]:
    """``hpc job list`` against an import of gRPC; the two take turns."""
    cluster = site.cluster()
    environ = dict(cluster.environ)
    # As an installation has them, both find their modules compiled: pip does it when
    # it installs them, and Python itself when it runs them first.
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    listing = [str(HPC), "job", "list"]
    importing = [sys.executable, "-c", "import grpc"]
    _median(listing, environ, 1)
    ours, theirs = [], []
    for _ in range(max(3, site.size(30) // 3)):
        theirs.append(_median(importing, environ, 3))
        ours.append(_median(listing, environ, 3))
    async with cluster.client() as client:
        begin = time.perf_counter()
        await client.jobs.list(limit=100)
        call = time.perf_counter() - begin
    mine = percentile([wall for wall, _ in ours], 0.5)
    base = percentile([wall for wall, _ in theirs], 0.5)
    figure = at_most(
        "P12",
        "hpc job list over an import of grpc and a call",
        mine / (base + call),
        1.3,
        "x",
        hpc_ms=mine * 1e3,
        import_ms=base * 1e3,
        call_ms=call * 1e3,
        hpc_cpu_ms=percentile([used for _, used in ours], 0.5) * 1e3,
        import_cpu_ms=percentile([used for _, used in theirs], 0.5) * 1e3,
    )
    return [figure]
