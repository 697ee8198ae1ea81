"""What is noted of a job that starts (J8)."""

from __future__ import annotations

from typing import Any

from hpcsched.core.job.states import FailureReason


def started_patch(now: float, *, backfill: bool) -> dict[str, Any]:
    """Return the fields of a job that has just started: a new run of it begins."""
    return {
        "start_time": now,
        "last_nodes": (),
        "is_backfill": backfill,
        "has_grown": False,
        "has_shrunk": False,
        "eased": False,
        "error_code": 0,
        "error_message": "",
        "failure_reason": FailureReason.NONE,
    }
