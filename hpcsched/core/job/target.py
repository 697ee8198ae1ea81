"""TargetResourceCount: the dynamic cap of a job that grows (J11, properties.md 3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcsched.common.errors import HpcError
from hpcsched.core.job.nodeuse import NodeUse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcsched.core.job.model import Job
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


def exceeds_target(job: Job, uses: Mapping[int, tuple[Any, ...]]) -> bool:
    """Would a grant raise what a running job holds above its cap?

    The cap was lowered while the grant was under way: what the job took then it would
    have to give back at once, and a service would start instances for nothing.
    """
    cap = job.spec.target_resource_count
    if not cap or not job.uses:
        return False
    unit = job.spec.unit_type
    held = job.held_units()
    after = held
    for node_id, encoded in uses.items():
        use = job.uses.get(node_id)
        after -= use.units(unit) if use is not None else 0
        after += NodeUse.decode(node_id, encoded).units(unit)
    return after > max(cap, held)
