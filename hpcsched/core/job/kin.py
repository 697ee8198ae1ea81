"""What a job is told of its parents when it is submitted (lifecycle.md 3.4)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcsched.core.job.states import JobState


@dataclass(frozen=True, slots=True, kw_only=True)
class Kin:
    """What a job's actor has heard of other jobs before it is submitted.

    Attributes:
        states: Of its parents that exist.
        ancestors: Every job that one of them waits for, directly or not.
    """

    states: Mapping[int, JobState] = field(default_factory=dict)
    ancestors: frozenset[int] = frozenset()


NO_KIN: Final = Kin()
