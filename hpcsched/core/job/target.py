"""TargetResourceCount: the dynamic cap of a job that grows (J11, properties.md 3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcsched.common.errors import HpcError

if TYPE_CHECKING:
    from hpcsched.core.job.spec import JobSpec


def check_target(spec: JobSpec, target: int) -> None:
    """Refuse a cap outside of what the job may hold; it stays as it was then.

    Raises:
        HpcError: OUT_OF_RANGE.
    """
    least = spec.least or 1
    most = spec.most
    if target == 0 or (target >= least and (most is None or target <= most)):
        return
    limit = f"0, or at least the job's minimum, {least}"
    if most is not None:
        limit += f", and at most its maximum, {most}"
    raise HpcError(
        "OUT_OF_RANGE", field="spec.target_resource_count", value=target, limit=limit
    )
