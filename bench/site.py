"""What every measurement is given: where to work, how much, and jobs to submit."""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cluster import Cluster, Head, Helper
from hpcsched.api.v1 import job_pb2, task_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpcsched.client.aio import AsyncClient


@dataclass(slots=True, kw_only=True)
class Site:
    """See the module.

    Attributes:
        directory: On the disk that is measured.
        quick: Everything smaller.
        runs: How often what is compared is repeated.
        rivals: Where rivals are installed.
    """

    directory: Path
    quick: bool
    runs: int
    rivals: Path
    _cluster: Cluster | None = None
    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def size(self, usual: int) -> int:
        """Return how many of something there are: a tenth of it when time is short."""
        return max(1, usual // 10) if self.quick else usual

    def cluster(self) -> Cluster:
        """Return the cluster that P1 to P4 share."""
        if self._cluster is None:
            self._cluster = self._stack.enter_context(Cluster(self.directory / "c"))
        return self._cluster

    def stop(self) -> None:
        """Stop what they shared."""
        self._cluster = None
        self._stack.close()

    def head(self) -> Head:
        """Return a head that is not started, with a store of its own."""
        return Head(self.directory / f"head{next(self._numbers)}")


async def fleet(
    head: Head, client: AsyncClient, nodes: int, cores: int, *, held: bool = False
) -> Helper:
    """Return so many simulated nodes that take work."""
    helper = Helper(
        *("bench.simulated", "--address", head.agent_address),
        *("--token-file", head.directory / "node"),
        *("--nodes", nodes, "--cores", cores),
        *(("--held",) if held else ()),
    )
    names = helper.hear()["nodes"]
    await client.nodes.online(names)
    return helper


def sweep(count: int, *arguments: str) -> job_pb2.JobSpec:
    """Return a sweep of so many processes, ``/bin/true`` if nothing is said."""
    kind = task_pb2.TASK_TYPE_PARAMETRIC_SWEEP
    task = task_pb2.TaskSpec(
        type=kind, arguments=arguments or ["/bin/true"], end_value=count
    )
    return job_pb2.JobSpec(name=f"sweep of {count}", tasks=[task])


def own(count: int) -> list[job_pb2.JobSpec]:
    """Return so many jobs of one task, each with arguments of its own."""
    return [single("/bin/true", str(number)) for number in range(count)]


def single(*arguments: str) -> job_pb2.JobSpec:
    """Return a job of one task."""
    task = task_pb2.TaskSpec(arguments=arguments or ["/bin/true"])
    return job_pb2.JobSpec(tasks=[task])
