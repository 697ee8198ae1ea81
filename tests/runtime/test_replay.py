"""Stores of earlier revisions are upgraded, sound, and gone on from (P15, F16).

``scripts/make_replay.py COMMIT`` makes one. Before each release one is added.
"""

from __future__ import annotations

import lzma
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hpcsched.runtime.checking import check_store
from hpcsched.runtime.front import Stop
from hpcsched.store.sql import schema
from tests.support.fake_agent import FakeAgent
from tests.support.head_bench import BOB, NO_ID, ROOT, Bench
from tests.support.polling import wait_for_async
from tests.support.store_kit import SqliteKit

if TYPE_CHECKING:
    from tests.support.manual_clock import ManualClock
    from tests.support.seeded_ids import SeededIds

EVERY = sorted((Path(__file__).parents[1] / "replay").glob("*.db.xz"))
CORPUS = [path for path in EVERY if "-crowd" not in path.name]
CROWDS = [path for path in EVERY if path not in CORPUS]
KEPT = {
    1: "Finished",
    2: "Failed",
    3: "Finished",
    4: "Running",
    5: "Queued",
    6: "Canceled",
    7: "Configuring",
}
"""What scripts/make_replay.py leaves."""


def test_every_schema_has_a_store_to_replay() -> None:
    kept = {path.name.partition("-")[0] for path in CORPUS}
    every = {f"{number:04}" for number in range(1, int(schema.HEAD) + 1)}

    assert kept >= every - {schema.HEAD}


def _name(path: Path) -> str:
    return path.name.partition(".")[0]


def _unpacked(kept: Path, folder: Path) -> Path:
    path = folder / "hpcsched.db"
    path.write_bytes(lzma.decompress(kept.read_bytes()))
    return path


@pytest.fixture(params=CORPUS, ids=_name)
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return _unpacked(request.param, tmp_path)


@pytest.fixture(params=CROWDS, ids=_name)
def crowd(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return _unpacked(request.param, tmp_path)


async def test_a_store_of_an_earlier_revision_is_sound_and_gone_on_from(
    stored: Path, clock: ManualClock, ids: SeededIds
) -> None:
    before = check_store(stored)
    assert before.findings == [], "as the upgrade would make it"
    old = before.version != schema.HEAD
    kit = SqliteKit(stored)
    async with Bench(clock, ids, kit.store) as bench:
        for job_id, state in KEPT.items():
            assert await bench.state(job_id) == state
        assert bench.world.settings.ttl_days == 9
        agent = bench.agents["n1"] = FakeAgent(bench.head, clock, "n1", 4)
        agent.boots = 9  # nothing of then survives
        agent.plan = lambda _: (0.5, 0)
        await agent.connect()
        late = await bench.submit(caller=BOB)

        async def ended() -> bool:
            await clock.advance(0.25)
            jobs = [await bench.state(job_id) for job_id in (4, 5, late)]
            return jobs == ["Finished"] * 3

        await wait_for_async(ended, what="the end of all jobs")
        assert late == 8
        await bench.head.cancel_jobs(ROOT, [7], Stop(), NO_ID)
    await kit.store.close()

    assert check_store(stored).findings == []
    kept = [path.name for path in (stored.parent / "backups").glob("*")]
    name = f"before-schema-{schema.HEAD}-from-{before.version}.hpcbackup"
    assert kept == ([name] if old else [])
    if old:
        assert check_store(stored.parent / "backups" / name).version == before.version


async def test_jobs_that_slept_or_waited_on_a_node_in_an_earlier_revision_run_once(
    crowd: Path, clock: ManualClock, ids: SeededIds
) -> None:
    assert check_store(crowd).findings == []
    kit = SqliteKit(crowd)
    async with Bench(clock, ids, kit.store) as bench:
        states = {n: await bench.state(n) for n in range(1, 117)}
        assert {n for n, state in states.items() if state == "Running"} == {5, 6}
        (canceled,) = (n for n, state in states.items() if state == "Canceled")
        waited = {n for n, state in states.items() if state == "Queued"}
        assert waited == {*range(7, 117)} - {canceled}
        agent = bench.agents["n1"] = FakeAgent(bench.head, clock, "n1", 2)
        agent.boots = 9  # nothing of then survives
        agent.plan = lambda _: (0.002, 0)
        await agent.connect()

        async def ended() -> bool:
            await clock.advance(0.25)
            return {await bench.state(n) for n in (5, 6, *waited)} == {"Finished"}

        await wait_for_async(ended, what="the end of all jobs")
        assert {key[0] for key in agent.starts} == {5, 6, *waited}
        assert set(agent.starts.values()) == {1}
    await kit.store.close()

    assert check_store(crowd).findings == []
