from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.polling import NotReachedError, wait_for, wait_for_async

if TYPE_CHECKING:
    from collections.abc import Iterator


def counting() -> list[int]:
    return [1, 2, 3]


def test_waiting_returns_the_first_value_that_is_wanted() -> None:
    values = iter(range(100))

    assert wait_for(lambda: next(values), until=lambda n: n >= 3) == 3


def test_the_complaint_tells_what_was_seen_last() -> None:
    with pytest.raises(NotReachedError, match=r"five jobs not reached .* \[1, 2, 3\]"):
        wait_for(counting, 0.01, until=lambda seen: len(seen) == 5, what="five jobs")


def test_an_exception_means_not_yet_and_is_told_in_the_end() -> None:
    answers: Iterator[OSError | int] = iter([OSError("not there"), 7])

    def look() -> int:
        answer = next(answers, OSError("gone"))
        if isinstance(answer, OSError):
            raise answer
        return answer

    assert wait_for(look) == 7
    with pytest.raises(NotReachedError, match="gone") as complaint:
        wait_for(look, 0.01)
    assert isinstance(complaint.value.__cause__, OSError)


async def test_the_loop_runs_on_while_a_coroutine_waits() -> None:
    values = iter(range(100))

    async def look() -> int:
        return next(values)

    assert await wait_for_async(look, until=lambda n: n >= 3) == 3
    assert await wait_for_async(lambda: next(values), until=lambda n: n >= 6) == 6
    with pytest.raises(NotReachedError, match="last: 0"):
        await wait_for_async(lambda: 0, 0.01)
