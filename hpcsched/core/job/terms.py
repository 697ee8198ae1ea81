"""What lists choose and sort a job by that only an edit changes (api.md 11.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hpcsched.core.job.model import Job
    from hpcsched.core.listing.properties import Value


def terms_of(job: Job) -> dict[str, Value | None]:
    """Return values by property name; what was not given is None."""
    spec = job.spec
    return {
        "user_name": spec.user_name or job.owner,
        "runtime": int(spec.runtime),
        "job_type": int(spec.job_type),
        "unit_type": int(spec.unit_type),
        "run_until_canceled": int(spec.run_until_canceled),
        "is_exclusive": int(spec.is_exclusive),
        "auto_calculate_min": int(spec.least is None),
        "auto_calculate_max": int(spec.most is None),
        "min_cores": spec.min_cores,
        "max_cores": spec.max_cores,
        "min_sockets": spec.min_sockets,
        "max_sockets": spec.max_sockets,
        "min_nodes": spec.min_nodes,
        "max_nodes": spec.max_nodes,
        "job_template": spec.job_template,
        "pool": spec.pool,
    }
