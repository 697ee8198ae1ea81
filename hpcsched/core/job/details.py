"""Checks of what describes a job and says whom to tell (properties.md 3.1, 3.3)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from hpcsched.common.errors import HpcError

if TYPE_CHECKING:
    from hpcsched.core.job.spec import JobSpec

LONGEST_HOLD_S: Final = 366 * 86400.0
"""A year, the longest that a job may be held ahead (J31)."""
PARENT_LIMIT: Final = 1000
_LICENSE: Final = re.compile(r"[^\s:,]+:[0-9]{1,9}(,[^\s:,]+:[0-9]{1,9})*\Z")
_TEXTS: Final = {
    "email_address": 256,
    "progress_message": 80,
    "software_license": 160,
    "service_name": 80,
}
"""Fields with the most Unicode characters of each."""


def check_text(field: str, text: str, limit: int) -> None:
    """Refuse a text that is too long, or that no variable of a process can hold.

    Tasks find some of them in their environment (CCP_JOBNAME), which a NUL would keep
    from starting; and not every database can store one.

    Args:
        field: What is told of a refusal.
        text: What was given.
        limit: The most Unicode characters.

    Raises:
        HpcError: TEXT_TOO_LONG, INVALID_FIELD.
    """
    if len(text) > limit:
        raise HpcError("TEXT_TOO_LONG", field=field, length=len(text), limit=limit)
    if "\0" in text:
        problem = "it contains a NUL character"
        raise HpcError("INVALID_FIELD", field=field, problem=problem)


def check_details(spec: JobSpec) -> None:
    """Refuse what cannot be meant.

    Raises:
        HpcError: TEXT_TOO_LONG, PROGRESS_OUT_OF_RANGE, INVALID_FIELD, OUT_OF_RANGE,
            INVALID_PARENT.
    """
    for name, limit in _TEXTS.items():
        check_text(f"spec.{name}", getattr(spec, name), limit)
    if spec.progress is not None and not 0 <= spec.progress <= 100:  # noqa: PLR2004  percent
        raise HpcError(
            "PROGRESS_OUT_OF_RANGE", field="spec.progress", value=spec.progress
        )
    if any(char.isspace() for char in spec.email_address):
        problem = "an address has no blanks"
        raise HpcError("INVALID_FIELD", field="spec.email_address", problem=problem)
    if spec.software_license and not _LICENSE.match(spec.software_license):
        problem = f"{spec.software_license!r} is not name:count{{,name:count}}"
        raise HpcError("INVALID_FIELD", field="spec.software_license", problem=problem)
    if spec.parent_job_ids:
        _check_parents(spec.parent_job_ids)


def _check_parents(parents: tuple[int, ...]) -> None:
    field = "spec.parent_job_ids"
    if len(parents) > PARENT_LIMIT:
        value, limit = f"a list of {len(parents)}", f"at most {PARENT_LIMIT} long"
        raise HpcError("OUT_OF_RANGE", field=field, value=value, limit=limit)
    for number in parents:
        if number < 1:
            problem = f"{number} is no number of a job"
            raise HpcError("INVALID_PARENT", field=field, problem=problem)


def check_hold(field: str, until: float | None, now: float) -> None:
    """Refuse a time until which no job can be held (J31).

    Raises:
        HpcError: HOLD_UNTIL_PAST, HOLD_UNTIL_TOO_FAR.
    """
    if until is None:
        return
    if until <= now:
        raise HpcError("HOLD_UNTIL_PAST", field=field)
    if until > now + LONGEST_HOLD_S:
        raise HpcError("HOLD_UNTIL_TOO_FAR", field=field)
