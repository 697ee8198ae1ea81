"""Pools: made, kept over restarts, obeyed by the scheduler, deleted with care."""

from __future__ import annotations

import pytest

from hpcsched.common.errors import HpcError
from hpcsched.core.template.template import Template
from tests.support.head_bench import ANN, NO_ID, ROOT, Bench, a_sweep, once


async def enabled(bench: Bench, **more: str) -> None:
    await bench.head.set_parameters(ROOT, {"EnablePools": "True", **more}, NO_ID)


async def with_template(bench: Bench, pool: str) -> None:
    """Make a pool, and a template of the same name for its jobs."""
    await bench.head.create_pool(ROOT, pool, 1, NO_ID)
    template = Template(name=pool, pool=pool)
    await bench.head.set_template(ROOT, template, NO_ID, create_only=True)


async def refusal(call: object) -> HpcError:
    with pytest.raises(HpcError) as refused:
        await call  # type: ignore[misc]
    return refused.value


async def test_pools_have_guarantees_and_survive_a_restart(bench: Bench) -> None:
    await bench.node(cores=8)
    await enabled(bench)
    made = await bench.head.create_pool(ROOT, "fast", 3, NO_ID)
    assert (made.name, made.weight, made.guarantee) == ("fast", 3, 6)

    await bench.crash()
    await bench.clock.advance(5)

    pools = await bench.head.list_pools(ANN)
    assert [(p.name, p.weight, p.guarantee) for p in pools] == [
        ("Default", 1, 2),
        ("fast", 3, 6),
    ]
    changed = await bench.head.set_pool(ROOT, "Default", 5, NO_ID)
    assert (changed.weight, changed.guarantee) == (5, 5)


async def test_a_repeated_request_makes_no_second_pool(bench: Bench) -> None:
    await enabled(bench)
    first = await bench.head.create_pool(ROOT, "a", 1, once("one"))

    assert await bench.head.create_pool(ROOT, "a", 1, once("one")) == first


async def test_what_cannot_be_is_refused_with_the_references_numbers(
    bench: Bench,
) -> None:
    head = bench.head
    error = await refusal(head.create_pool(ROOT, "a", 1, NO_ID))
    assert (error.reason, error.hresult) == ("POOLS_NOT_ENABLED", -2147220588)
    await enabled(bench)
    await head.create_pool(ROOT, "a", 1, NO_ID)
    for call, reason, number in (
        (head.create_pool(ROOT, "A", 1, NO_ID), "POOL_NAME_IN_USE", -2147220592),
        (head.create_pool(ROOT, "b", -1, NO_ID), "POOL_WEIGHT_INVALID", -2147220591),
        (head.set_pool(ROOT, "a", 10**6, NO_ID), "POOL_WEIGHT_INVALID", -2147220591),
        (head.set_pool(ROOT, "b", 1, NO_ID), "POOL_NOT_FOUND", -2147220590),
        (head.get_pool(ANN, "b"), "POOL_NOT_FOUND", -2147220590),
        (head.create_pool(ROOT, "b" * 65, 1, NO_ID), "POOL_NAME_TOO_LONG", -2147220585),
        (head.create_pool(ROOT, "b c", 1, NO_ID), "POOL_NAME_INVALID", -2147220584),
        (head.create_pool(ROOT, "", 1, NO_ID), "REQUIRED_FIELD", -2147219981),
        (
            head.delete_pool(ROOT, "Default", NO_ID, force=True),
            "DEFAULT_POOL",
            -2147220589,
        ),
    ):
        error = await refusal(call)
        assert (error.reason, error.hresult) == (reason, number)
    for call in (
        head.create_pool(ANN, "b", 1, NO_ID),
        head.set_pool(ANN, "a", 1, NO_ID),
        head.delete_pool(ANN, "a", NO_ID, force=False),
    ):
        assert (await refusal(call)).reason == "PERMISSION_DENIED"


async def test_there_is_a_limit_to_pools(bench: Bench) -> None:
    await enabled(bench)
    for number in range(255):
        await bench.head.create_pool(ROOT, f"p{number}", 1, NO_ID)

    error = await refusal(bench.head.create_pool(ROOT, "more", 1, NO_ID))
    assert (error.reason, error.hresult) == ("TOO_MANY_POOLS", -2147220586)


async def test_a_pool_in_use_is_deleted_only_by_force(bench: Bench) -> None:
    await enabled(bench)
    await with_template(bench, "a")
    job_id = await bench.submit(job_template="a")
    assert (await bench.job(job_id)).pool == "a"

    error = await refusal(bench.head.delete_pool(ROOT, "a", NO_ID, force=False))
    assert (error.reason, error.hresult) == ("POOL_IN_USE", -2147220587)
    assert error.facts["users"] == "job template a, 1 active job"
    await bench.head.delete_pool(ROOT, "a", NO_ID, force=True)
    await bench.crash()

    assert (await bench.head.get_template(ANN, "a")).pool == ""
    assert (await bench.job(job_id)).pool == "Default"
    (pool,) = await bench.head.list_pools(ANN)
    assert (pool.name, pool.jobs) == ("Default", 1)


async def test_what_a_pool_lent_it_gets_back(bench: Bench) -> None:
    agent = await bench.node(cores=8)
    agent.plan = lambda _: (30.0, 0)
    await enabled(bench, PreemptionType="Immediate")
    await with_template(bench, "a")
    lent = await bench.submit(a_sweep(8), can_preempt=True, priority=4000)
    await bench.clock.advance(2)
    assert (await bench.job(lent)).allocated_cores == 8
    assert (await bench.head.get_pool(ANN, "Default")).current_allocation == 8

    own = await bench.submit(
        a_sweep(4), job_template="a", min_cores=4, max_cores=4, priority=0
    )
    await bench.until_state(own, "Running", seconds=20)

    assert (await bench.job(lent)).allocated_cores == 4
    pools = await bench.head.list_pools(ANN)
    assert [p.current_allocation for p in pools] == [4, 4]
    for job_id in (own, lent):
        await bench.until_state(job_id, "Finished", seconds=200)
    bench.check_at_rest()


async def test_without_pools_a_job_counts_by_priority_alone(bench: Bench) -> None:
    agent = await bench.node(cores=4)
    agent.plan = lambda _: (30.0, 0)
    await enabled(bench, PreemptionType="Immediate")
    await with_template(bench, "a")
    await bench.head.set_parameters(ROOT, {"EnablePools": "False"}, NO_ID)
    first = await bench.submit(a_sweep(4), can_preempt=True)
    await bench.clock.advance(2)
    second = await bench.submit(job_template="a")
    await bench.clock.advance(2)

    assert await bench.state(second) == "Queued"
    await enabled(bench)
    await bench.until_state(second, "Running", seconds=20)
    await bench.until_state(first, "Finished", seconds=200)
