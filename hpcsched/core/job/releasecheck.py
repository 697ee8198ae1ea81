"""Whether a job has time for its node release (lifecycle.md 3.3, 5.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcsched.common.errors import HpcError
from hpcsched.core.task.states import TaskType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcsched.core.job.spec import JobSpec
    from hpcsched.core.settings import Settings
    from hpcsched.core.task.spec import TaskSpec


def check_release(spec: JobSpec, tasks: Sequence[TaskSpec], settings: Settings) -> None:
    """Refuse a release task that cannot run, or that leaves no time for the others.

    The job's limit ends them so early that the release fits inside it: a limit
    that is all kept for it would end them as they start.

    Raises:
        HpcError: RELEASE_TASKS_DISABLED, OUT_OF_RANGE.
    """
    if settings.release_s == 0:
        raise HpcError("RELEASE_TASKS_DISABLED", field="spec.tasks")
    own = next(task.runtime for task in tasks if task.type is TaskType.NODE_RELEASE)
    kept = min(own or settings.release_s, settings.release_s)
    if 0 < spec.runtime <= kept:
        raise HpcError(
            "OUT_OF_RANGE",
            field="spec.runtime",
            value=f"{spec.runtime:g} s",
            limit=f"more than the {kept:g} s that are kept for the node release task",
        )
