"""Jobs in cores, sockets and nodes: what they need, use, and give back (J8, J11)."""

from __future__ import annotations

from typing import Any

import pytest

from hpcsched.common.errors import HpcError
from hpcsched.core.job import commands as c
from hpcsched.core.job.codec import decode_job, decode_spec, encode_job, encode_spec
from hpcsched.core.job.resourcecheck import check_known
from hpcsched.core.job.spec import JobSpec
from hpcsched.core.job.states import JobState, NodeGroupOp, UnitType
from hpcsched.core.job.validation import validate_new, validate_together
from hpcsched.core.scheduling.snapshot import NodeFree
from hpcsched.core.settings import Settings
from tests.support.inventory import Nodes
from tests.support.job_bench import Bench, plain, sweep

CORE, SOCKET, NODE = UnitType
WHOLE = plain(min_cores=2)
"""It fills a node or a socket of two cores."""
ALL = {
    "min_cores": 1,
    "max_cores": 2,
    "min_sockets": 3,
    "max_sockets": 4,
    "min_nodes": 5,
    "max_nodes": 6,
}


@pytest.mark.parametrize(
    ("fields", "least", "most"),
    [
        ({}, None, None),
        ({"min_cores": 3}, 3, None),
        ({"max_cores": 3}, None, 3),
        ({"unit_type": CORE, **ALL}, 1, 2),
        ({"unit_type": SOCKET, **ALL}, 3, 4),
        ({"unit_type": NODE, **ALL}, 5, 6),
        ({"unit_type": NODE, "min_cores": 3}, None, None),
        ({"auto_calculate_min": True, "auto_calculate_max": True, **ALL}, None, None),
        ({"auto_calculate_min": True, **ALL}, None, 2),
        ({"auto_calculate_min": False, "auto_calculate_max": False}, 1, 1),
        ({"auto_calculate_max": False, "min_cores": 4}, 4, 4),
    ],
)
def test_the_minimum_and_the_maximum_in_force(
    fields: dict[str, Any], least: int | None, most: int | None
) -> None:
    spec = JobSpec(**fields)

    assert (spec.least, spec.most) == (least, most)


def in_unit(unit: UnitType, low: int, high: int) -> dict[str, Any]:
    """Return a minimum and a maximum as fields of a specification."""
    name = unit.label.lower() + "s"
    return {f"min_{name}": low, f"max_{name}": high}


@pytest.mark.parametrize("unit", UnitType)
def test_sizes_that_are_computed_come_from_the_tasks_in_the_unit(
    unit: UnitType,
) -> None:
    bench = Bench(plain(**in_unit(unit, 2, 5)), sweep(4), plain(), unit_type=unit)

    assert (bench.job.least(), bench.job.most()) == (2, 2)
    bench.submit()
    assert (bench.job.least(), bench.job.most()) == (2, 10)


@pytest.mark.parametrize("unit", UnitType)
@pytest.mark.parametrize(
    ("low", "high", "which"), [(2, 5, "max"), (3, 4, "min"), (2, 4, "")]
)
def test_a_task_stays_inside_its_job_in_the_unit(
    unit: UnitType, low: int, high: int, which: str
) -> None:
    spec = JobSpec(unit_type=unit, **in_unit(unit, 2, 4))
    field = ""

    try:
        validate_together(spec, [plain(**in_unit(unit, low, high))], Settings())
    except HpcError as refused:
        field = refused.facts["field"]

    expected = f"spec.tasks[0].{which}_{unit.label.lower()}s" if which else ""
    assert field == expected


def test_one_of_the_two_may_be_computed_for_a_reservation() -> None:
    for flag, given in (("min", "max"), ("max", "min")):
        fields: dict[str, Any] = {f"auto_calculate_{flag}": True, f"{given}_cores": 2}
        validate_new(JobSpec(run_until_canceled=True, **fields), [], Settings())


# Growing and shrinking


def granted(bench: Bench, cores: dict[int, range], size: int, sockets: int) -> Bench:
    shapes = dict.fromkeys(cores, (size, sockets))
    given = {node: tuple(ids) for node, ids in cores.items()}
    bench.submit()
    bench.do(c.GrantCores(cores=given, shapes=shapes))
    return bench.run_all()


def held(bench: Bench) -> dict[int, tuple[int, ...]]:
    return {n: use.cores for n, use in bench.job.uses.items()}


def test_only_whole_nodes_are_given_back_by_a_job_in_nodes() -> None:
    bench = Bench(WHOLE, WHOLE, unit_type=NODE)
    granted(bench, {1: range(2), 2: range(2)}, 2, 1)
    assert held(bench) == {1: (0, 1), 2: (0, 1)}

    bench.end(1)

    assert held(bench) == {2: (0, 1)}
    assert bench.job.has_shrunk


def test_a_job_in_nodes_keeps_its_minimum_of_nodes() -> None:
    bench = Bench(WHOLE, WHOLE, unit_type=NODE, min_nodes=2)
    granted(bench, {1: range(2), 2: range(2)}, 2, 1)

    bench.end(1)

    assert held(bench) == {1: (0, 1), 2: (0, 1)}
    assert not bench.job.has_shrunk


def test_only_whole_sockets_are_given_back_by_a_job_in_sockets() -> None:
    bench = Bench(plain(), plain(), unit_type=SOCKET)
    bench.submit()
    bench.do(c.GrantCores(cores={1: (0, 1)}, shapes={1: (2, 2)}))
    bench.run(1, core=0)
    bench.run(2, core=1)
    assert held(bench) == {1: (0, 1)}

    bench.end(1)

    assert held(bench) == {1: (1,)}


def test_what_is_held_is_counted_in_every_unit() -> None:
    bench = granted(Bench(sweep(6)), {1: range(3), 2: range(4, 6)}, 8, 4)
    uses = bench.job.uses

    assert [uses[1].units(unit) for unit in UnitType] == [3, 2, 1]
    assert [uses[2].units(unit) for unit in UnitType] == [2, 1, 1]
    assert bench.job.held_units() == 5


def test_growing_is_remembered_until_the_next_start() -> None:
    bench = granted(Bench(sweep(4)), {1: range(1)}, 4, 1)
    assert not bench.job.has_grown

    bench.grant({2: 1})

    assert bench.job.has_grown
    bench.cancel()
    bench.run_all().end_all()
    bench.requeue()
    bench.grant({1: 4})
    assert not bench.job.has_grown


def test_a_preempted_job_in_nodes_gives_whole_nodes_and_keeps_its_minimum() -> None:
    bench = Bench(WHOLE, WHOLE, unit_type=NODE, min_nodes=1)
    granted(bench, {1: range(2), 2: range(2)}, 2, 1)

    bench.preempt({2: 1})
    assert bench.job.owing == {2: 2}
    bench.preempt({1: 1, 2: 1})
    assert bench.job.owing == {2: 2}, "it would have nothing left"


# What there is


NODES = Nodes(
    NodeFree(1, "n1", 4, groups=frozenset({"a"})),
    NodeFree(2, "n2", 8, sockets=2, groups=frozenset({"a", "b"})),
)

KNOWN: list[tuple[dict[str, Any], str, str]] = [
    ({}, "", ""),
    ({"min_cores": 99}, "", ""),
    ({"requested_nodes": ("n1", "n3")}, "UNKNOWN_NODE", "spec.requested_nodes"),
    ({"excluded_nodes": ("n3",)}, "EXCLUDED_NODE_UNKNOWN", "spec.excluded_nodes"),
    ({"node_groups": ("a", "c")}, "UNKNOWN_NODE_GROUP", "spec.node_groups"),
    ({"requested_nodes": ("n1",), "min_cores": 4}, "", ""),
    (
        {"requested_nodes": ("n1",), "min_cores": 5},
        "CLUSTER_TOO_SMALL",
        "spec.min_cores",
    ),
    (
        {"requested_nodes": ("n1", "n2"), "excluded_nodes": ("n2",), "min_cores": 5},
        "CLUSTER_TOO_SMALL",
        "spec.min_cores",
    ),
    (
        {"requested_nodes": ("n1", "n2"), "min_nodes": 3, "unit_type": NODE},
        "CLUSTER_TOO_SMALL",
        "spec.min_nodes",
    ),
    ({"requested_nodes": ("n1", "n2"), "min_sockets": 3, "unit_type": SOCKET}, "", ""),
]


@pytest.mark.parametrize(("fields", "reason", "field"), KNOWN)
def test_what_is_named_must_exist_and_do(
    fields: dict[str, Any], reason: str, field: str
) -> None:
    spec = JobSpec(**fields)
    found = ("", "")

    try:
        check_known(spec, spec.least or 1, NODES)
    except HpcError as refused:
        found = (refused.reason, refused.facts["field"])

    assert found == (reason, field)


def test_a_job_that_names_what_is_not_there_fails_its_validation() -> None:
    bench = Bench(plain(), node_groups=("gone",), inventory=NODES)

    bench.submit()

    assert bench.stands(JobState.FAILED)
    assert bench.job.error_code == -2147220937
    assert bench.path[-1] == "Failed"


# Kept


def test_what_a_job_asks_of_nodes_and_holds_there_is_kept() -> None:
    asked: dict[str, Any] = {
        **ALL,
        "auto_calculate_min": False,
        "single_node": True,
        "min_memory": 1,
        "max_memory": 2,
        "min_cores_per_node": 3,
        "max_cores_per_node": 4,
        "estimated_process_memory": 5,
        "order_by": "-Cores",
        "node_groups": ("a", "b"),
        "node_group_op": NodeGroupOp.UNIFORM,
        "unit_type": SOCKET,
    }
    spec = JobSpec(**asked)
    assert decode_spec(JobSpec, encode_spec(spec)) == spec
    bench = granted(Bench(sweep(9)), {3: range(4)}, 8, 2)
    bench.grant({4: 1})
    specs = {0: encode_spec(bench.spec), 1: encode_spec(bench.job.tasks[0].spec)}
    chunks = {(n, 0): table.encode(0) for n, table in bench.job.tables.items()}
    again = decode_job(7, "ann", encode_job(bench.job), specs, chunks, {})

    assert again.uses == bench.job.uses
    assert (again.uses[3].size, again.uses[3].sockets) == (8, 2)
    assert (again.has_grown, again.has_shrunk) == (True, False)
