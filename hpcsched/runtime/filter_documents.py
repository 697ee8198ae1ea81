"""What a filter is told of a job, and what it wants changed: values and a seam.

The XML itself is made and read at the edge (``services.filter_documents``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from hpcsched.core.job.show import job_view

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hpcsched.core.job.model import Job
    from hpcsched.core.job.spec import JobSpec
    from hpcsched.core.task.spec import TaskSpec
    from hpcsched.core.task.states import TaskState
    from hpcsched.core.views import JobView


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSnapshot:
    """A job at one moment, cheap to take: another thread makes the XML of it.

    Attributes:
        job: With its specification.
        tasks: Number, specification and state of each task.
    """

    job: JobView
    tasks: Sequence[tuple[int, TaskSpec, TaskState]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewritten:
    """A job as a filter has left it.

    Attributes:
        spec: The job.
        tasks: By number, tasks that there were.
        added: Tasks that there were not.
        hold_until: When the filter wants the job looked at again; None: not said.
        warnings: What was left out of its XML.
    """

    spec: JobSpec
    tasks: Mapping[int, TaskSpec]
    added: Sequence[TaskSpec] = ()
    hold_until: float | None = None
    warnings: Sequence[str] = ()


class FilterDocuments(Protocol):
    """Makes and reads the XML of filters. Pure; called in threads."""

    def write(self, snapshot: JobSnapshot) -> bytes:
        """Return the XML of a job."""
        ...

    def read(self, document: bytes, snapshot: JobSnapshot) -> Rewritten:
        """Return what a filter has made of it.

        Raises:
            ValueError: it is malformed; the text says where.
            HpcError: it says what no job can be asked for.
        """
        ...


def snapshot_of(job: Job, name_of: Callable[[int], str]) -> JobSnapshot:
    """Return a job as it is now."""
    return JobSnapshot(
        job=job_view(job, name_of, full=True),
        tasks=tuple((one.task_id, one.spec, one.state) for one in job.tasks),
    )


def variables_of(snapshot: JobSnapshot, cluster: str, head: str) -> dict[str, str]:
    """Return what a filter finds in its environment beside its paths."""
    job = snapshot.job
    return {
        "CCP_CLUSTER_NAME": cluster,
        "CCP_SCHEDULER": head,
        "CCP_JOBID": str(job.job_id),
        # A variable cannot have a NUL; the XML has the name as it is.
        "CCP_JOBNAME": job.name.replace("\0", ""),
        "CCP_JOBTYPE": job.job_type,
    }
