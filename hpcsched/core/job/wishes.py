"""Which nodes a job asks for, and how much of them, as the planner takes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hpcsched.core.job.spec import ORDER_BY
from hpcsched.core.scheduling.preference import parse_order_by
from hpcsched.core.scheduling.snapshot import Demand

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hpcsched.core.job.spec import JobSpec

MIB: Final = 1 << 20
"""Bytes in the unit of the memory properties."""
MOST: Final = 2147483647
"""Default of an upper limit that counts only if it is given (properties.md 3.2)."""


def wishes(spec: JobSpec) -> dict[str, Any]:
    """Return the fields of a Demand that follow from the specification alone."""
    found: dict[str, Any] = {"exclusive": spec.is_exclusive, "unit": spec.unit_type}
    if spec.requested_nodes:
        found["requested"] = frozenset(spec.requested_nodes)
    if spec.node_groups:
        found["groups"] = frozenset(spec.node_groups)
        found["group_op"] = spec.node_group_op
    if spec.single_node:
        found["single"] = True
    if spec.min_memory is not None or spec.max_memory is not None:
        low, high = _range(spec.min_memory, spec.max_memory)
        found["memory"] = (low * MIB, (high + 1) * MIB - 1)
    if spec.min_cores_per_node is not None or spec.max_cores_per_node is not None:
        found["sizes"] = _range(spec.min_cores_per_node, spec.max_cores_per_node)
    if spec.estimated_process_memory:
        found["process_memory"] = spec.estimated_process_memory * MIB
    if spec.order_by != ORDER_BY:
        found["order_by"] = parse_order_by(spec.order_by)
    return found


def _range(low: int | None, high: int | None) -> tuple[int, int]:
    return (1 if low is None else low, MOST if high is None else high)


def demand_for(spec: JobSpec, least: int, excluded: Iterable[str] = ()) -> Demand:
    """Return what a job that is not in the queue would ask for at least."""
    return Demand(
        job_id=0,
        order=(0, 0, 0),
        least=least,
        most=least,
        excluded=frozenset(excluded),
        **wishes(spec),
    )
