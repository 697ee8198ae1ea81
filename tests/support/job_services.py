"""Services on a bench."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tests.support.job_bench import Bench, service

if TYPE_CHECKING:
    from hpcsched.core.task.spec import TaskSpec


def running(cores: int = 2, *tasks: TaskSpec, **fields: Any) -> Bench:
    """Return a service with an instance on each of so many cores, past its start."""
    bench = Bench(service(), *tasks, **fields).submit().grant({1: cores})
    for core in range(cores):
        bench.run(1, core + 1, core=core)
    bench.now += 100
    return bench


def fail_late(bench: Bench, instance: int) -> None:
    """Report that an instance has failed after a long life."""
    ended = bench.ended(1, instance, code=1)
    node = bench.get("node", 1, instance)
    bench.report(node, replace(ended, starts=[bench.now - 50]))
