"""Filters: every operator of the reference, on every kind of property (api.md 11)."""

from __future__ import annotations

from typing import Any

import pytest

from hpcsched.common.errors import HpcError
from hpcsched.core.job.states import JobState
from hpcsched.core.listing.conditions import Condition, Operator, condition
from hpcsched.core.listing.ordering import (
    Place,
    decode_position,
    encode_position,
    sort_key,
)
from hpcsched.core.listing.properties import (
    JOB_PROPERTIES,
    NODE_PROPERTIES,
    TASK_PROPERTIES,
    find,
)
from hpcsched.core.task.states import TaskState

O = Operator  # noqa: E741  a table reads best so


def a_filter(name: str, operator: Operator, *texts: str) -> Condition:
    return condition(JOB_PROPERTIES, name, operator, texts, "filters[0]")


def test_the_operators_have_the_numbers_of_the_reference() -> None:
    assert [o.value for o in Operator] == list(range(13))
    assert (O.GREATER_THAN, O.EQUAL, O.HAS_BIT_SET, O.IS_NULL) == (0, 4, 6, 8)
    assert (O.HAS_EXCLUSIVE_BIT_SET, O.IN, O.START_WITH) == (10, 11, 12)


QUEUED, RUNNING, CANCELING = (
    int(JobState.QUEUED),
    int(JobState.RUNNING),
    int(JobState.CANCELING),
)
TABLE: list[tuple[str, Operator, tuple[str, ...], list[Any], list[Any]]] = [
    ("priority", O.GREATER_THAN, ("2000",), [2001, 4000], [2000, 0]),
    ("priority", O.GREATER_THAN_OR_EQUAL, ("2000",), [2000, 2001], [1999]),
    ("priority", O.LESS_THAN, ("-3",), [-4], [-3, 0]),
    ("priority", O.LESS_THAN_OR_EQUAL, ("5",), [5, 4], [6]),
    ("name", O.EQUAL, ("a b",), ["a b"], ["a", "A B", ""]),
    ("name", O.NOT_EQUAL, ("a",), ["b", ""], ["a"]),
    ("name", O.IN, ("a", "b"), ["a", "b"], ["c"]),
    ("name", O.START_WITH, ("run*",), ["run*", "run*2"], ["run2", "Run*"]),
    ("name", O.GREATER_THAN, ("m",), ["n", "z"], ["a", "Z"]),
    ("end_time", O.IS_NULL, (), [None], [0.0, 5.0]),
    ("end_time", O.IS_NOT_NULL, (), [0.0], [None]),
    ("end_time", O.NOT_EQUAL, ("1970-01-01T00:00:05Z",), [4.0], [5.0, None]),
    ("end_time", O.LESS_THAN, ("1970-01-01T01:00:05+01:00",), [4.0], [5.0, None]),
    ("is_exclusive", O.EQUAL, ("True",), [1], [0]),
    ("state", O.EQUAL, ("queued",), [QUEUED], [RUNNING]),
    ("state", O.EQUAL, ("STATE_QUEUED",), [QUEUED], [RUNNING]),
    ("state", O.EQUAL, ("16",), [QUEUED], [RUNNING]),
    ("state", O.HAS_BIT_SET, ("48",), [QUEUED, RUNNING], [CANCELING]),
    ("state", O.HAS_BIT_SET, ("Queued", "running"), [QUEUED, RUNNING], [CANCELING]),
    ("state", O.HAS_NO_BIT_SET, ("48",), [CANCELING], [QUEUED, RUNNING]),
    ("state", O.HAS_EXCLUSIVE_BIT_SET, ("1024",), [CANCELING], [QUEUED]),
    ("state", O.GREATER_THAN, ("canceled",), [CANCELING], [QUEUED]),
]


@pytest.mark.parametrize(("name", "operator", "texts", "passing", "failing"), TABLE)
def test_a_filter_passes_what_its_operator_says(
    name: str,
    operator: Operator,
    texts: tuple[str, ...],
    passing: list[Any],
    failing: list[Any],
) -> None:
    one = a_filter(name, operator, *texts)

    assert [value for value in passing if not one.holds(value)] == []
    assert [value for value in failing if one.holds(value)] == []


@pytest.mark.parametrize("operator", set(Operator) - {O.IS_NULL, O.IS_NOT_NULL})
def test_what_has_no_value_passes_is_null_only(operator: Operator) -> None:
    name = "name" if operator is O.START_WITH else "state"

    assert not a_filter(name, operator, "queued").holds(None)


@pytest.mark.parametrize(
    ("name", "operator", "texts", "problem"),
    [
        ("priority", O.EQUAL, ("high",), "a whole number"),
        ("priority", O.EQUAL, ("9" * 19,), "a whole number"),
        ("submit_time", O.EQUAL, ("yesterday",), "a time such as"),
        ("is_exclusive", O.EQUAL, ("1",), "true or false"),
        ("state", O.EQUAL, ("waiting",), "one of configuring"),
        ("state", O.EQUAL, ("48",), "one of configuring"),
        ("state", O.HAS_BIT_SET, ("4096",), "one of configuring"),
        ("unit_type", O.EQUAL, ("gpu",), "one of core, socket, node"),
        ("priority", O.EQUAL, (), "needs a value"),
        ("priority", O.EQUAL, ("1", "2"), "takes one value, not 2"),
        ("end_time", O.IS_NULL, ("1",), "takes no value"),
        ("priority", O.START_WITH, ("1",), "is for texts"),
        ("name", O.HAS_BIT_SET, ("1",), "named values"),
    ],
)
def test_a_filter_that_makes_no_sense_is_refused_with_its_field(
    name: str, operator: Operator, texts: tuple[str, ...], problem: str
) -> None:
    with pytest.raises(HpcError) as refused:
        a_filter(name, operator, *texts)

    assert refused.value.reason == "INVALID_FIELD"
    assert refused.value.facts["field"] == "filters[0]"
    assert problem in str(refused.value)


def test_a_property_that_cannot_be_filtered_is_refused_with_those_that_can() -> None:
    with pytest.raises(HpcError) as refused:
        a_filter("error_message", O.EQUAL, "x")

    assert refused.value.reason == "INVALID_FILTER_PROPERTY"
    assert refused.value.hresult == -2147220925
    assert "submit_time" in refused.value.facts["known"]


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        *(("SubmitTime", "submit_time"), ("RuntimeSeconds", "runtime")),
        *(("MinCores", "min_cores"), ("RequeueCount", "requeue_count")),
        *(("JobType", "job_type"), ("AutoCalculateMax", "auto_calculate_max")),
    ],
)
def test_the_names_of_the_reference_are_known(theirs: str, ours: str) -> None:
    assert find(JOB_PROPERTIES, theirs).name == ours
    assert find(NODE_PROPERTIES, "MemorySize").name == "memory_bytes"
    assert find(NODE_PROPERTIES, "CpuSpeed").name == "cpu_mhz"
    assert find(TASK_PROPERTIES, "ParentJobId").name == "job_id"
    assert find(TASK_PROPERTIES, "IsParametric").name == "is_parametric"


def test_bits_of_states_are_the_numbers_of_the_reference() -> None:
    jobs = condition(JOB_PROPERTIES, "state", O.HAS_BIT_SET, ["16"], "f")
    tasks = condition(TASK_PROPERTIES, "state", O.HAS_BIT_SET, ["8"], "f")

    assert jobs.values == (int(JobState.QUEUED),)
    assert tasks.values == (int(TaskState.QUEUED),)  # the trap of lifecycle.md 1.2


def test_no_value_comes_before_any_value() -> None:
    values = [3.0, None, 1.0, 2.0]

    rising = sorted(values, key=lambda v: Place((v,), (False,)))
    falling = sorted(values, key=lambda v: Place((v,), (True,)))

    assert rising == [None, 1.0, 2.0, 3.0]
    assert falling == [3.0, 2.0, 1.0, None]


@pytest.mark.parametrize(
    "text",
    ["", "[", "{}", "[1]", '["a","b",3]', "[1,2,3,4]", "[1,2,null]", "[[1],2,3]"],
)
def test_a_position_that_was_never_given_out_is_refused(text: str) -> None:
    keys = [
        sort_key(JOB_PROPERTIES, name, descending=False)
        for name in ("priority", "end_time")
    ]
    assert decode_position(encode_position((1, None, 3)), keys, 1) == (1, None, 3)

    with pytest.raises(HpcError) as refused:
        decode_position(text, keys, 1)

    assert refused.value.reason == "PAGE_TOKEN_INVALID"
