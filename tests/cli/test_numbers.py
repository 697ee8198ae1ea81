"""Numbers on the command line: what fits its field reaches the head."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.command_line import CommandLine
    from tests.support.fake_api import FakeApi


@pytest.mark.parametrize(
    ("text", "priority"),
    [
        ("Normal+100", 2100),
        ("highest-1", 3999),
        ("belownormal", 1000),
        ("normal + 5", 2005),
        ("4001", 4001),
        ("Highest+1", 4001),
    ],
)
def test_a_priority_is_a_number_a_band_or_so_much_beside_one(
    hpc: CommandLine, api: FakeApi, text: str, priority: int
) -> None:
    hpc("submit", "--priority", text, "--", "x")

    assert api.specs[0].priority == priority


def test_a_number_that_fits_its_field_reaches_the_head(
    hpc: CommandLine, api: FakeApi
) -> None:
    hpc("submit", "--array", "2147483646-2147483647", "--retries", "-1", "--", "x")

    assert api.specs[0].tasks[0].end_value == 2147483647
    assert api.specs[0].task_execution_failure_retry_limit == -1


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--retries", "x"), "'x' is no whole number"),
        (("--retries", "9" * 5000), "is not -2147483648 to 2147483647"),
        (("--cores", "2147483648"), "2147483648 is greater than 2147483647"),
        (("--array", "1-" + "9" * 5000), "is greater than 2147483647"),
        (("--priority", "normal+"), "such as normal+100"),
    ],
)
def test_a_number_that_fits_no_field_is_named_with_the_limit(
    hpc: CommandLine, arguments: tuple[str, str], problem: str
) -> None:
    assert problem in hpc("submit", *arguments, "--", "x", status=2).err
