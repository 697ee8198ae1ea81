"""From cluster parameters to the planner's policy (properties.md 6.1, 6.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hpcsched.core.scheduling.shares import guarantees_of
from hpcsched.core.scheduling.snapshot import Policy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcsched.core.settings import Settings

BIAS: Final = {"HighBias": 10.0, "MediumBias": 2.0, "LowBias": 1.0}
"""Surplus per 1,000 points of priority, in relation to the band below."""


def policy_of(settings: Settings, weights: Mapping[str, int], cores: int) -> Policy:
    """Return the policy in force.

    Args:
        settings: The parameters.
        weights: Pool to weight.
        cores: What the pools share.
    """
    balanced = settings.mode == "Balanced"
    guarantees = guarantees_of(weights.items(), cores) if settings.pools else None
    return Policy(
        lookahead=settings.backfill,
        preemption=settings.balanced_preemption if balanced else settings.preemption,
        single_tasks=settings.task_preemption or balanced,
        grow_by_preemption=settings.grow_by_preemption and not balanced,
        balanced=balanced,
        bias=BIAS[settings.bias],
        guarantees=guarantees,
    )
