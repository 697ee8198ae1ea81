"""What a job may ask of nodes (properties.md 3.2): by itself, and of this cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hpcsched.common.errors import HpcError
from hpcsched.core.job.bounds import INT32
from hpcsched.core.job.sizes import check_size
from hpcsched.core.job.states import UnitType
from hpcsched.core.job.wishes import demand_for
from hpcsched.core.scheduling.eligibility import idle_units
from hpcsched.core.scheduling.preference import OrderByError, parse_order_by

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hpcsched.core.job.spec import JobSpec
    from hpcsched.core.scheduling.inventory import Inventory
    from hpcsched.core.task.spec import TaskSpec

GROUP_NAME_LIMIT: Final = 80
UNITS: Final = {
    UnitType.CORE: "cores",
    UnitType.SOCKET: "sockets",
    UnitType.NODE: "nodes",
}
"""What the unit in force is called in the names of fields, and to people."""


def check_resources(spec: JobSpec) -> None:
    """Check what needs no knowledge of the cluster.

    Raises:
        HpcError: the first thing that is wrong.
    """
    unit = UNITS[spec.unit_type]
    check_size("spec", unit, spec.least, spec.most)
    _check_range("memory", spec.min_memory, spec.max_memory)
    _check_range("cores_per_node", spec.min_cores_per_node, spec.max_cores_per_node)
    memory = spec.estimated_process_memory
    if not 0 <= memory <= INT32:
        raise HpcError(
            "OUT_OF_RANGE",
            field="spec.estimated_process_memory",
            value=memory,
            limit=f"0 to {INT32} MiB",
        )
    try:
        parse_order_by(spec.order_by)
    except OrderByError as error:
        raise HpcError("INVALID_FIELD", field="spec.order_by", problem=error) from None
    for name in spec.node_groups:
        if not name.strip():
            problem = "the name of a group is empty"
            raise HpcError("INVALID_FIELD", field="spec.node_groups", problem=problem)
        if len(name) > GROUP_NAME_LIMIT:
            raise HpcError(
                "TEXT_TOO_LONG",
                field="spec.node_groups",
                length=len(name),
                limit=GROUP_NAME_LIMIT,
            )
    if spec.single_node and spec.unit_type is UnitType.NODE and (spec.least or 1) > 1:
        problem = f"a job on a single node cannot have at least {spec.least} nodes"
        raise HpcError("INVALID_FIELD", field="spec.single_node", problem=problem)
    if spec.run_until_canceled:
        _check_reservation(spec)


def _check_range(name: str, low: int | None, high: int | None) -> None:
    for which, value in (("min", low), ("max", high)):
        if value is not None and not 1 <= value <= INT32:
            raise HpcError(
                "OUT_OF_RANGE",
                field=f"spec.{which}_{name}",
                value=value,
                limit=f"1 to {INT32}",
            )
    if low is not None and high is not None and low > high:
        raise HpcError(
            "MIN_GREATER_THAN_MAX", field=f"spec.min_{name}", minimum=low, maximum=high
        )


def _check_reservation(spec: JobSpec) -> None:
    """Refuse a job that keeps resources and does not say how many (lifecycle.md 3.1).

    One of the two may be computed if that is asked for.
    """
    field = "spec.run_until_canceled"
    if spec.auto_calculate_min and spec.auto_calculate_max:
        raise HpcError("RUN_UNTIL_CANCELED_AUTOMATIC", field=field)
    least = spec.least is None and not spec.auto_calculate_min
    most = spec.most is None and not spec.auto_calculate_max
    if least or most:
        unit = UNITS[spec.unit_type]
        raise HpcError("RUN_UNTIL_CANCELED_WITHOUT_SIZE", field=field, unit=unit)


def check_task_known(field: str, task: TaskSpec, inventory: Inventory) -> None:
    """Check that the nodes and the group that a task names are there.

    Raises:
        HpcError: UNKNOWN_NODE, UNKNOWN_NODE_GROUP.
    """
    for name in task.required_nodes:
        if inventory.node(name) is None:
            raise HpcError("UNKNOWN_NODE", field=f"{field}.required_nodes", node=name)
    group = task.requested_node_group
    if group and not inventory.has_group(group):
        where = f"{field}.requested_node_group"
        raise HpcError("UNKNOWN_NODE_GROUP", field=where, group=group)


def check_excluded_known(
    field: str, names: Iterable[str], inventory: Inventory | None
) -> None:
    """Refuse to exclude a node that there is not (api.md 5, ExcludedNodeDoesNotExist).

    Raises:
        HpcError: EXCLUDED_NODE_UNKNOWN.
    """
    if inventory is None:
        return
    for name in names:
        if inventory.node(name) is None:
            raise HpcError("EXCLUDED_NODE_UNKNOWN", field=field, node=name)


def check_known(spec: JobSpec, least: int, inventory: Inventory) -> None:
    """Check what is asked of this cluster, as at submit (J4).

    A job that the present nodes cannot run waits for others; it is refused only if it
    names its nodes itself and they can never do.

    Args:
        spec: The job.
        least: Units that it needs to start, given or computed.
        inventory: What there is.

    Raises:
        HpcError: UNKNOWN_NODE, EXCLUDED_NODE_UNKNOWN, UNKNOWN_NODE_GROUP,
            CLUSTER_TOO_SMALL.
    """
    field = "spec.requested_nodes"
    for name in spec.requested_nodes:
        if inventory.node(name) is None:
            raise HpcError("UNKNOWN_NODE", field=field, node=name)
    check_excluded_known("spec.excluded_nodes", spec.excluded_nodes, inventory)
    for name in spec.node_groups:
        if not inventory.has_group(name):
            raise HpcError("UNKNOWN_NODE_GROUP", field="spec.node_groups", group=name)
    if not spec.requested_nodes:
        return
    found = (inventory.node(name) for name in dict.fromkeys(spec.requested_nodes))
    nodes = [node for node in found if node is not None]
    unit = UNITS[spec.unit_type]
    there = idle_units(demand_for(spec, least, spec.excluded_nodes), nodes)
    if there < least:
        raise HpcError(
            "CLUSTER_TOO_SMALL",
            field=f"spec.min_{unit}",
            wanted=least,
            available=there,
            unit=unit,
        )
