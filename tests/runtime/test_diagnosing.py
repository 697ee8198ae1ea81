"""The head says what is wrong with its cluster, from what it knows (cli.md 3)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from hpcsched.common.errors import HpcError
from hpcsched.runtime import diagnosing
from hpcsched.runtime.checking import Report, check_store
from hpcsched.runtime.frames import AgentFrame, Heartbeat
from hpcsched.store.backups import Backup
from hpcsched.store.findings import Finding
from hpcsched.store.opener import open_store
from tests.support.head_bench import ANN, NO_ID, ROOT, Bench, a_task
from tests.support.manual_clock import settle

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.manual_clock import ManualClock
    from tests.support.seeded_ids import SeededIds

DAY = 86_400.0


async def found(
    bench: Bench, *, store: bool = False, version: str = "test"
) -> dict[str, Any]:
    bench.head._version = version  # the fake agents' is "test"
    findings, said, now = await bench.head.diagnose(ROOT, store=store)
    assert (said, now) == (version, bench.clock.wall())
    return {one.rule: one for one in findings}


async def node(bench: Bench, name: str = "n1", **facts: Any) -> Any:
    return await bench.node(name, **facts)


async def test_a_cluster_without_nodes_is_told_and_one_that_works_is_not(
    bench: Bench,
) -> None:
    assert list(await found(bench)) == ["no_nodes"]

    await node(bench)
    await bench.submit()
    await bench.clock.advance(1)

    assert await found(bench) == {}


async def test_only_administrators_may_ask(bench: Bench) -> None:
    with pytest.raises(HpcError) as refused:
        await bench.head.diagnose(ANN, store=False)

    assert refused.value.reason == "PERMISSION_DENIED"


async def test_jobs_that_wait_for_ever_are_told_apart_from_those_that_wait_for_nodes(
    bench: Bench,
) -> None:
    await node(bench, cores=2)
    await node(bench, "n2", cores=4)
    many = [await bench.submit(min_cores=9, max_cores=9) for _ in range(2)]
    await bench.head.offline_nodes(ROOT, ["n2"], NO_ID, drain=False, reason="")
    some = await bench.submit(min_cores=5, max_cores=5)
    fits = await bench.submit(a_task())
    await bench.clock.advance(1)
    told = await found(bench)

    assert list(told["job_never_starts"].job_ids) == many
    assert "9 cores" in told["job_never_starts"].text
    assert told["job_waits_for_nodes"].job_ids == (some,)
    assert fits not in told["job_never_starts"].job_ids
    assert told["node_offline"].nodes == ("n2",)


async def test_a_lost_node_is_told_with_the_jobs_there(bench: Bench) -> None:
    agent = await node(bench)
    await node(bench, "n2")
    agent.plan = lambda _: None
    await bench.submit(requested_nodes=("n1",))
    await bench.clock.advance(1)
    agent.retry = None
    agent.cut()
    await bench.clock.advance(1)
    silent = await found(bench)
    await bench.clock.advance(120)
    told = await found(bench)

    assert silent["node_silent"].nodes == ("n1",)
    assert told["node_unreachable"].nodes == ("n1",)


async def test_a_node_that_connects_four_times_in_an_hour_comes_and_goes(
    bench: Bench,
) -> None:
    agent = await node(bench)
    for _ in range(3):
        assert "node_flapping" not in await found(bench)
        agent.cut()
        await agent.connect()
        await settle()
    told = await found(bench)
    await bench.clock.advance(3601)
    later = await found(bench)

    assert told["node_flapping"].nodes == ("n1",)
    assert "node_flapping" not in later


async def test_a_node_says_its_time_and_one_whose_clock_is_off_is_told(
    bench: Bench,
) -> None:
    agent = await node(bench)
    for ahead in (4.0, -30.0):
        beat = Heartbeat(time=bench.clock.wall() + ahead)
        agent.session.receive(AgentFrame(heartbeat=beat))
        told = await found(bench)
        assert ("node_clock" in told) is (ahead == -30.0)

    assert "n1 is 30 s behind it" in told["node_clock"].text


async def test_another_version_of_an_agent_is_told(bench: Bench) -> None:
    await node(bench)

    assert (await found(bench, version="1"))["node_version"].nodes == ("n1",)


async def test_a_backup_is_remembered_though_it_was_fetched_and_deleted(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def made(now: float) -> Backup:
        return Backup(name="b", folder="/x", size=1, time=now)

    monkeypatch.setattr(bench.store, "create_backup", made)
    await node(bench)
    await bench.clock.advance(1)
    bench.world.nodes.find("n1").record = _joined_long_ago(bench)
    assert "no_recent_backup" in await found(bench)

    await bench.head.create_backup(ROOT, 0)
    fresh = await found(bench)
    await bench.crash()
    bench.world.nodes.find("n1").record = _joined_long_ago(bench)
    after = await found(bench)

    assert "no_recent_backup" not in fresh
    assert "no_recent_backup" not in after


def _joined_long_ago(bench: Bench) -> Any:
    record = bench.world.nodes.find("n1").record
    return replace(record, join_time=bench.clock.wall() - 30 * DAY)


@pytest.mark.parametrize("late", [False, True])
async def test_the_store_is_looked_through_when_asked_and_no_longer_than_its_time(
    bench: Bench, late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnosing, "STORE_S", 0.0 if late else 30.0)
    await node(bench)
    asked: list[bool] = []

    def check(enough: Callable[[], bool]) -> Report:
        asked.append(enough())
        broken = [Finding("counters", "one is two")]
        return Report("x", findings=[] if late else broken, cut=enough())

    bench.head._check_store = check
    assert await found(bench) == {}
    told = await found(bench, store=True)

    assert asked == [late]
    assert list(told) == ["store_not_all_checked" if late else "store_damaged"]


async def test_a_real_store_is_looked_through_to_its_end_or_until_it_is_enough(
    clock: ManualClock, ids: SeededIds, tmp_path: Path
) -> None:
    loop = asyncio.get_running_loop()
    store = open_store(tmp_path, loop=loop, on_broken=lambda _: None)
    async with Bench(clock, ids, store) as bench:
        await bench.node()
        await bench.submit()
        await bench.clock.advance(1)
        whole = await asyncio.to_thread(check_store, tmp_path, lambda: False)
        part = await asyncio.to_thread(check_store, tmp_path, lambda: True)
    await store.close()

    assert (whole.cut, whole.findings, whole.counts["job"]) == (False, [], 1)
    assert (part.cut, part.findings) == (True, [])
