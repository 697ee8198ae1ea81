from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcsched.common.taskid import LARGEST_ID, TaskRef, TaskRefError, parse_task_ref

ids = st.integers(1, LARGEST_ID)


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ("42", TaskRef(job=42)),
        ("42.3", TaskRef(job=42, task=3)),
        ("42.3.17", TaskRef(job=42, task=3, instance=17)),
    ],
)
def test_an_id_names_a_job_a_task_or_an_element(text: str, ref: TaskRef) -> None:
    assert parse_task_ref(text) == ref
    assert str(ref) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "042",
        "42.",
        "42.0",
        "42.3.0",
        "42..17",
        ".3",
        "1.2.3.4",
        "-1",
        "4 2",
        " 42",
        "42\n",
        "٤٢",
        "2147483648",
        "1.9999999999",
        "last",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(TaskRefError):
        parse_task_ref(text)


@pytest.mark.parametrize(
    ("job", "task", "instance"),
    [(0, 0, 0), (1, -1, 0), (1, 0, 5), (1, 1, LARGEST_ID + 1)],
)
def test_a_ref_out_of_range_cannot_be_made(job: int, task: int, instance: int) -> None:
    with pytest.raises(TaskRefError, match="is not between"):
        TaskRef(job=job, task=task, instance=instance)


@given(ids, st.integers(0, LARGEST_ID), st.integers(0, LARGEST_ID))
def test_a_ref_survives_its_text(job: int, task: int, instance: int) -> None:
    ref = TaskRef(job=job, task=task, instance=instance if task else 0)

    assert parse_task_ref(str(ref)) == ref


def test_the_master_of_an_element_is_its_task() -> None:
    assert TaskRef(job=1, task=2, instance=3).master == TaskRef(job=1, task=2)
    assert TaskRef(job=1).master == TaskRef(job=1)


def test_refs_sort_by_number_and_not_by_text() -> None:
    refs = [parse_task_ref(text) for text in ("10", "9.10", "9.9.1", "9.9", "9")]

    assert [str(ref) for ref in sorted(refs)] == ["9", "9.9", "9.9.1", "9.10", "10"]
