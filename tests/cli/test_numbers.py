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


def test_an_age_may_be_longer_ago_than_there_were_years(
    hpc: CommandLine, api: FakeApi
) -> None:
    for verb in ("job list", "cluster history", "node history", "cluster usage"):
        hpc(*verb.split(), "--since", "3000000d")
    hpc("job", "list", "--filter", "submit_time>99999999999999999d")

    first, second = api.asked("ListJobs")
    (condition,) = second.filters
    assert condition.values[0].startswith("10"), "a thousand years ago"
    assert first.since.ToJsonString().startswith("10")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("job", "list", "--since", "9" * 20 + "d"), "more than 10,000 years"),
        (("job", "wait", "1", "--timeout", "9" * 20 + "d"), "more than 10,000 years"),
        (("submit", "--runtime", "9" * 20 + "d", "--", "x"), "more than 10,000 years"),
        (("job", "hold", "1", "--until", "+99999999d"), "after the year 9999"),
        (("submit", "--hold-until", "+9999999d", "--", "x"), "after the year 9999"),
    ],
)
def test_a_duration_that_the_api_cannot_say_is_a_usage_error(
    hpc: CommandLine, arguments: tuple[str, ...], problem: str
) -> None:
    assert problem in hpc(*arguments, status=2).err
