"""Lists of jobs and tasks by any property, in any order (api.md 11)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hpcsched.common.errors import HpcError
from hpcsched.core.job import searching
from hpcsched.core.listing.conditions import Condition, Operator, condition
from hpcsched.core.listing.ordering import SortKey, sort_key
from hpcsched.core.listing.properties import JOB_PROPERTIES, TASK_PROPERTIES
from hpcsched.core.task.states import TaskState
from hpcsched.runtime.front import TaskPage
from hpcsched.store.base import JobQuery, JobSearch
from tests.support.head_bench import ANN, BOB, a_sweep, a_task

if TYPE_CHECKING:
    from tests.support.head_bench import Bench

O = Operator  # noqa: E741  a table reads best so


def on_task(name: str, operator: Operator, *texts: str) -> Condition:
    return condition(TASK_PROPERTIES, name, operator, texts, "f")


def by(name: str) -> SortKey:
    plain = name.removeprefix("-")
    return sort_key(TASK_PROPERTIES, plain, descending=name.startswith("-"))


async def found(bench: Bench, job_id: int, **page: Any) -> list[tuple[int, int]]:
    """Return every entry of a list, three by three."""
    keys: list[tuple[int, int]] = []
    token = ""
    while True:
        one = TaskPage(limit=3, token=token, **page)
        views, token = await bench.head.list_tasks(ANN, job_id, one)
        keys += [(view.task_id, view.instance_id) for view in views]
        if not token:
            return keys


async def ended(bench: Bench, job_id: int) -> None:
    async def look() -> bool:
        return (await bench.job(job_id)).end_time is not None

    await bench.until(look)


async def test_jobs_are_found_by_what_was_asked_for_and_what_became_of_them(
    bench: Bench,
) -> None:
    await bench.node("n1", 4)
    first = await bench.submit(name="run 1", priority=3000, runtime=60)
    second = await bench.submit(name="run 2", min_cores=9, max_cores=9)
    await ended(bench, first)

    async def search(*filters: tuple[str, Operator, tuple[str, ...]]) -> list[int]:
        chosen = [condition(JOB_PROPERTIES, *one, "f") for one in filters]
        one = JobSearch(query=JobQuery(), conditions=chosen)
        views = await bench.head.search_jobs(BOB, one)
        return [view.job_id for view, _ in views]

    assert await search(("name", O.START_WITH, ("run",))) == [second, first]
    assert await search(("runtime", O.EQUAL, ("60",))) == [first]
    assert await search(("end_time", O.IS_NULL, ())) == [second]
    assert await search(("min_cores", O.GREATER_THAN, ("8",))) == [second]
    assert await search(("previous_state", O.EQUAL, ("finishing",))) == [first]
    assert await search(("user_name", O.EQUAL, ("bob",))) == []


async def test_jobs_are_found_by_how_many_of_their_elements_are_where(
    bench: Bench,
) -> None:
    agent = await bench.node("n1", 4)
    agent.plan = lambda p: (0.1, 1) if p.key[:3] == (1, 1, 0) else None
    none = await bench.submit(a_task(), a_sweep(3))
    some = await bench.submit(a_task(), a_task(), a_sweep(5))
    waits = await bench.submit(min_cores=9, max_cores=9)

    async def search(*filters: tuple[str, Operator, str]) -> list[int]:
        chosen = [
            condition(JOB_PROPERTIES, name, how, (value,), "f")
            for name, how, value in filters
        ]
        keys = [sort_key(JOB_PROPERTIES, "task_counts.total", descending=True)]
        one = JobSearch(query=JobQuery(), conditions=chosen, sort=keys)
        views = await bench.head.search_jobs(BOB, one)
        return [view.job_id for view, _ in views]

    async def told() -> bool:
        return await search(("task_counts.running", O.EQUAL, "3")) == [none]

    await bench.until(told)
    assert await search(("task_counts.failed", O.GREATER_THAN, "0")) == [none]
    assert await search(("TaskCount", O.GREATER_THAN_OR_EQUAL, "2")) == [some, none]
    assert await search(("QueuedTaskCount", O.EQUAL, "1")) == [waits]
    assert await search() == [some, none, waits]


async def test_tasks_are_found_by_any_property_page_by_page(bench: Bench) -> None:
    agent = await bench.node("n1", 4)
    agent.plan = lambda process: (1.0, process.key[2] % 3)
    job_id = await bench.submit(
        a_sweep(7, name="part **"), a_task(name="sum", is_rerunnable=False)
    )
    await ended(bench, job_id)
    exits = on_task("exit_code", O.GREATER_THAN, "0")

    assert await found(bench, job_id, elements=True, conditions=(exits,)) == [
        *((1, n) for n in (1, 2, 4, 5, 7)),
    ]
    named = on_task("name", O.IN, "part 03", "sum")
    assert await found(bench, job_id, elements=True, conditions=(named,)) == [
        (1, 3),
        (2, 0),
    ]
    failed = on_task("state", O.HAS_BIT_SET, "256")
    assert len(await found(bench, job_id, elements=True, conditions=(failed,))) == 5
    assert await found(bench, job_id, conditions=(failed,)) == [(1, 0)]
    once = on_task("is_rerunnable", O.EQUAL, "false")
    assert await found(bench, job_id, conditions=(once,)) == [(2, 0)]
    none = on_task("exit_code", O.IS_NULL)
    assert await found(bench, job_id, conditions=(none,)) == [(1, 0)]


async def test_tasks_come_in_the_order_asked_for_page_by_page(bench: Bench) -> None:
    agent = await bench.node("n1", 4)
    agent.plan = lambda process: (1.0, process.key[2] % 3)
    job_id = await bench.submit(a_sweep(7))
    await ended(bench, job_id)

    found_keys = await found(
        bench, job_id, elements=True, sort=(by("-exit_code"), by("-instance_id"))
    )

    assert [n for _, n in found_keys] == [5, 2, 7, 4, 1, 6, 3]
    unsorted = await found(bench, job_id, elements=True, sort=(by("exit_code"),))
    assert [n for _, n in unsorted] == [3, 6, 1, 4, 7, 2, 5]


async def test_a_long_search_gives_short_pages_and_misses_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "SCAN_LIMIT", 4)
    job_id = await bench.submit(a_sweep(10))
    last = on_task("instance_id", O.GREATER_THAN, "9")
    page = TaskPage(elements=True, conditions=(last,))

    views, token = await bench.head.list_tasks(ANN, job_id, page)

    assert (list(views), bool(token)) == ([], True)
    assert await found(bench, job_id, elements=True, conditions=(last,)) == [(1, 10)]


async def test_too_many_entries_are_not_sorted(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "SORTED_LIMIT", 5)
    job_id = await bench.submit(a_sweep(6))
    sort = (by("state"),)

    with pytest.raises(HpcError) as refused:
        await found(bench, job_id, elements=True, sort=sort)

    assert refused.value.reason == "LIST_TOO_LONG_TO_SORT"
    few = on_task("instance_id", O.LESS_THAN, "6")
    keys = await found(bench, job_id, elements=True, sort=sort, conditions=(few,))
    assert len(keys) == 5


@pytest.mark.parametrize("token", ["x", "[1]", "[1,2,3]", '["a",2]'])
async def test_a_token_of_no_page_is_refused(bench: Bench, token: str) -> None:
    job_id = await bench.submit(a_sweep(6))

    with pytest.raises(HpcError) as refused:
        await bench.head.list_tasks(ANN, job_id, TaskPage(token=token))

    assert refused.value.reason == "PAGE_TOKEN_INVALID"


@pytest.mark.parametrize("name", sorted(TASK_PROPERTIES))
async def test_every_property_of_tasks_can_be_asked_for(
    bench: Bench, name: str
) -> None:
    await bench.node("n1", 4)
    job_id = await bench.submit(a_sweep(3), a_task())
    await ended(bench, job_id)
    null, some = on_task(name, O.IS_NULL), on_task(name, O.IS_NOT_NULL)

    for elements in (True, False):
        without = await found(bench, job_id, elements=elements, conditions=(null,))
        having = await found(bench, job_id, elements=elements, conditions=(some,))
        assert len(without) + len(having) == (4 if elements else 2)
    assert await found(bench, job_id, elements=True, sort=(by(name),))


def test_a_search_for_states_looks_at_no_other_element() -> None:
    search = searching.TaskSearch(conditions=(on_task("state", O.EQUAL, "failed"),))

    assert searching._split(search) == (frozenset({int(TaskState.FAILED)}), ())


WHOLE: dict[str, Any] = {
    "user_name": "ann",
    "project": "p",
    "runtime": 60.0,
    "priority": 2500,
    "min_cores": 1,
    "max_cores": 2,
    "min_sockets": 1,
    "max_sockets": 3,
    "min_nodes": 1,
    "max_nodes": 4,
    "is_exclusive": True,
}


async def jobs(bench: Bench, name: str, operator: Operator, *texts: str) -> list[int]:
    on = condition(JOB_PROPERTIES, name, operator, texts, "f")
    search = JobSearch(query=JobQuery(limit=100), conditions=[on])
    return sorted(v.job_id for v, _ in await bench.head.search_jobs(ANN, search))


async def test_a_job_is_found_by_each_property_that_it_has(bench: Bench) -> None:
    await bench.node(cores=4)
    job_id = await bench.submit(**WHOLE)
    await ended(bench, job_id)

    for name in JOB_PROPERTIES:
        assert await jobs(bench, name, O.IS_NOT_NULL) == [job_id], name
        assert await jobs(bench, name, O.IS_NULL) == [], name


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(("min_sockets", "1"), ("max_sockets", "3"), ("min_nodes", "1")),
        *(("max_nodes", "4"), ("auto_calculate_min", "false"), ("pool", "Default")),
        *(("job_template", "Default"), ("can_grow", "true"), ("can_shrink", "true")),
    ],
)
async def test_a_job_is_found_by_what_it_was_given(
    bench: Bench, name: str, text: str
) -> None:
    job_id = await bench.submit(**WHOLE)
    await bench.submit(job_template="Default", auto_calculate_min=True)

    assert job_id in await jobs(bench, name, O.EQUAL, text)
    assert job_id not in await jobs(bench, name, O.NOT_EQUAL, text)


async def test_jobs_without_a_size_in_sockets_are_not_found_by_one(
    bench: Bench,
) -> None:
    job_id = await bench.submit()

    assert await jobs(bench, "min_sockets", O.IS_NULL) == [job_id]
    assert await jobs(bench, "auto_calculate_max", O.EQUAL, "true") == [job_id]
