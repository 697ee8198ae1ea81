"""A head on another store than its nodes know leaves alone what runs (F10, F17)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hpcsched.common.errors import HpcError
from hpcsched.core.reports import LiveAttempt
from hpcsched.runtime.front import Stop
from hpcsched.runtime.identity import Identity, is_foreign, rolled_back
from hpcsched.store.progress import (
    CLUSTER,
    GENERATION_BITS,
    UNSAFE,
    Progress,
    decode_unsafe,
)
from tests.support.fake_agent import FakeAgent
from tests.support.head_bench import (
    ANN,
    NO_ID,
    ROOT,
    Bench,
    CrashingStore,
    a_sweep,
    once,
)
from tests.support.manual_clock import settle

if TYPE_CHECKING:
    from hpcsched.store.memory_state import MemoryState

ONE = 1 << GENERATION_BITS


async def replaced(bench: Bench, state: MemoryState | None) -> None:
    """Let the head die, and another begin on another store."""
    for agent in bench.agents.values():
        agent.cut()
    await bench.stop()
    bench.store = CrashingStore(state)
    await bench.start()
    await bench.clock.advance(0)


async def refusal(agent: FakeAgent) -> HpcError:
    with pytest.raises(HpcError) as refused:
        await agent.connect()
    return refused.value


@pytest.fixture
async def older(bench: Bench) -> MemoryState:
    """A copy of the store; afterwards a job came whose tasks run for ever."""
    agent = await bench.node(cores=2)
    agent.plan = lambda _: None
    await bench.node("n2", cores=1)
    copy: MemoryState = bench.store._state.copy()
    await bench.submit(a_sweep(3))
    await bench.clock.advance(15)
    assert len(agent.live) == 2
    return copy


async def test_a_head_on_an_older_store_stops_nothing_and_starts_nothing(
    bench: Bench, older: MemoryState
) -> None:
    agent = bench.agents["n1"]
    live, starts = dict(agent.live), len(agent.starts)
    await replaced(bench, older)
    refused = await refusal(agent)
    other = await refusal(bench.agents["n2"])
    await bench.clock.advance(300)

    assert (refused.reason, other.reason) == ("SAFE_MODE", "SAFE_MODE")
    assert "n1" in str(refused)
    assert "--accept-rollback" in refused.hint
    assert dict(agent.live) == live
    assert len(agent.starts) == starts
    assert "n1" in (await bench.head.cluster(ANN)).safe_mode
    assert await bench.head.parameters(ANN, ("RestoreMode",))  # it can be read
    with pytest.raises(HpcError) as submitted:
        await bench.submit()
    assert submitted.value.reason == "SAFE_MODE"


async def test_safe_mode_outlives_a_restart_and_knows_how_far_the_cluster_had_come(
    bench: Bench, older: MemoryState
) -> None:
    agent = bench.agents["n1"]
    position = agent.known["position"]
    await replaced(bench, older)
    await refusal(agent)
    await refusal(bench.agents["n2"])
    await settle()
    await replaced(bench, bench.store._state)

    assert (await refusal(bench.agents["n2"])).reason == "SAFE_MODE"
    problem, seen = decode_unsafe(bench.store._state.entries[CLUSTER, UNSAFE])
    assert "n1" in problem
    assert seen.last_seq == position
    assert seen.next_job == 2


async def test_nodes_that_are_connected_are_let_go_when_safe_mode_begins(
    bench: Bench, older: MemoryState
) -> None:
    await replaced(bench, older)
    fresh = await bench.node("n3", cores=4)
    assert fresh.link is not None
    await refusal(bench.agents["n1"])
    await settle()

    assert fresh.refusals == ["SAFE_MODE"]
    assert not (await bench.nodes("n3"))[0].cores_in_use


CLAIM = {"term": 900, "position": 10**6}


async def test_a_single_node_that_claims_a_newer_past_is_refused_and_the_others_go_on(
    bench: Bench,
) -> None:
    """T4: who takes over one node cannot stop the cluster."""
    for name in ("n1", "n2", "n3"):
        (await bench.node(name, cores=1)).plan = lambda _: (1.0, 0)
    liar = bench.agents["n3"]
    liar.cut()
    with pytest.raises(HpcError) as refused:
        await liar.connect(**CLAIM, run="then")
    job_id = await bench.submit(a_sweep(4))
    await bench.until_state(job_id, "Finished")
    view = await bench.head.cluster(ANN)

    assert refused.value.reason == "NODE_KNOWS_MORE"
    assert not view.safe_mode
    assert len(view.alarms) == 1
    assert "n3" in view.alarms[0]
    assert "term 900" in view.alarms[0]
    await bench.clock.advance(1000)
    assert not (await bench.head.cluster(ANN)).alarms


async def test_a_claim_that_comes_first_holds_the_head_until_another_node_speaks(
    bench: Bench,
) -> None:
    for name in ("n1", "n2", "n3"):
        (await bench.node(name, cores=1)).retry = None
    await replaced(bench, bench.store._state)
    liar = bench.agents["n3"]
    with pytest.raises(HpcError) as refused:
        await liar.connect(**CLAIM, run="then")
    first = refused.value.reason
    held = (await bench.head.cluster(ANN)).safe_mode
    await bench.agents["n1"].connect()
    with pytest.raises(HpcError) as again:
        await liar.connect(**CLAIM, run="then")

    assert first == "SAFE_MODE"
    assert "n3" in held
    assert not (await bench.head.cluster(ANN)).safe_mode
    assert again.value.reason == "NODE_KNOWS_MORE"
    assert (CLUSTER, UNSAFE) not in bench.store._state.entries


async def test_a_claim_that_nobody_speaks_against_is_believed_after_90_s(
    bench: Bench,
) -> None:
    for name in ("n1", "n2"):
        (await bench.node(name, cores=1)).retry = None
    await replaced(bench, bench.store._state)
    claimer = bench.agents["n1"]
    for _ in range(2):
        with pytest.raises(HpcError):
            await claimer.connect(**CLAIM, run="then")
        await bench.clock.advance(91)
    await settle()
    with pytest.raises(HpcError) as refused:
        await bench.agents["n2"].connect()

    assert refused.value.reason == "SAFE_MODE"
    assert (CLUSTER, UNSAFE) in bench.store._state.entries


async def test_in_restore_mode_unknown_work_runs_on_and_ends_with_it(
    bench: Bench, older: MemoryState
) -> None:
    agent = bench.agents["n1"]
    older.counters["term"] = ONE
    older.parameters["RestoreMode"] = "True"
    await replaced(bench, older)
    await agent.connect()
    await bench.clock.advance(60)

    assert len(agent.live) == 2
    assert (await bench.nodes("n1"))[0].orphans == 2
    assert not (await bench.head.cluster(ANN)).safe_mode

    agent.cut()
    await bench.head.set_parameters(ROOT, {"RestoreMode": "False"}, once("end"))
    await agent.connect()
    await bench.clock.advance(60)

    assert not agent.live
    assert (await bench.nodes("n1"))[0].orphans == 0


async def test_an_empty_store_does_not_end_the_work_of_another_cluster(
    bench: Bench, older: MemoryState
) -> None:
    agent = bench.agents["n1"]
    await replaced(bench, None)
    refused = await refusal(agent)

    assert refused.reason == "NODE_OF_ANOTHER_CLUSTER"
    assert "state directory" in refused.hint
    assert len(agent.live) == 2
    assert not (await bench.head.cluster(ANN)).safe_mode
    await bench.agents["n2"].connect()  # nothing runs there: it may move
    await settle()
    assert bench.agents["n2"].known["cluster"] != agent.known["cluster"]


async def test_an_empty_store_does_not_end_what_an_agent_of_old_runs(
    bench: Bench, older: MemoryState
) -> None:
    agent = bench.agents["n1"]
    agent.known = {}
    await replaced(bench, None)

    assert (await refusal(agent)).reason == "NODE_OF_ANOTHER_CLUSTER"
    assert len(agent.live) == 2


async def test_a_restart_on_the_same_store_is_no_reason_for_safe_mode(
    bench: Bench,
) -> None:
    agent = await bench.node(cores=2)
    agent.plan = lambda _: (0.5, 0)
    for _ in range(5):
        job_id = await bench.submit(a_sweep(4))
        await bench.clock.advance(0.6)
        await bench.crash()
        agent.reconnect()
        await bench.until_state(job_id, "Finished")

    assert not (await bench.head.cluster(ANN)).safe_mode
    assert not agent.violations


HERE = Identity(
    cluster="here",
    run="now",
    term=5,
    found=Progress(term=5, next_job=10, last_seq=100),
)
NEXT_JOB = 12


def says(cluster: str, run: str, term: int, position: int = 0) -> dict[str, Any]:
    return {"cluster": cluster, "run": run, "term": term, "position": position}


@pytest.mark.parametrize(
    ("known", "job", "foreign", "older"),
    [
        ({}, 0, False, ""),
        (says("here", "then", 4, 100), 9, False, ""),
        (says("here", "then", 4, 101), 0, False, "event 101"),
        (says("here", "then", 5, 9), 0, False, "term 5"),
        (says("here", "then", 9), 0, False, "term 9"),
        (says("here", "", 5), 0, False, ""),  # it may have heard us, and forgotten it
        (says("here", "", 6), 0, False, "term 6"),
        (says("here", "", 5), NEXT_JOB, False, f"job {NEXT_JOB}"),
        (says("here", "now", 5, 900), 11, False, ""),
        (says("here", "then", 4), NEXT_JOB, False, f"job {NEXT_JOB}"),
        (says("else", "then", 9, 900), 0, False, ""),
        (says("else", "then", 4), 3, True, ""),
        ({"term": 9}, 0, False, ""),  # an agent of old
        ({"term": 4}, 9, False, ""),
        ({"term": 4}, NEXT_JOB, False, f"job {NEXT_JOB}"),
    ],
)
def test_what_a_node_has_seen_tells_which_store_a_head_was_started_on(
    bench: Bench, known: dict[str, Any], job: int, *, foreign: bool, older: str
) -> None:
    agent = FakeAgent(bench.head, bench.clock, "n1", 1)
    live = (LiveAttempt(job, 1, 0, 1, running=True),) if job else ()
    said = agent.hello(live=live, **known)
    found = rolled_back(HERE, said, NEXT_JOB)

    assert is_foreign(HERE, said, NEXT_JOB) == foreign
    assert bool(found) == bool(older)
    assert older in found


def test_a_restored_cluster_does_not_mind_what_was_seen_before(bench: Bench) -> None:
    restored = Identity(
        cluster="here",
        run="now",
        term=ONE + 1,
        found=Progress(term=ONE + 1, next_job=10, last_seq=100),
    )
    agent = FakeAgent(bench.head, bench.clock, "n1", 1)
    said = agent.hello(cluster="here", run="then", term=7, position=900)

    assert rolled_back(restored, said, 10) == ""
    again = agent.hello(cluster="here", run="then", term=ONE + 3, position=9)
    assert "term" in rolled_back(restored, again, 10)


async def test_a_disk_that_is_nearly_full_takes_ends_and_cancels_but_no_new_work(
    bench: Bench,
) -> None:
    agent = await bench.node(cores=1)
    agent.plan = lambda _: (3.0, 0)
    running = await bench.submit()
    waiting = await bench.submit()
    bench.store.full = "/state has 3 MiB left, 256 are kept"
    await bench.clock.advance(2)
    with pytest.raises(HpcError) as refused:
        await bench.submit()
    view = await bench.head.cluster(ANN)
    await bench.head.cancel_jobs(ANN, [waiting], Stop(), NO_ID)
    await bench.until_state(running, "Finished")
    await bench.head.forget_jobs(ROOT, [running], NO_ID)

    assert refused.value.reason == "DISK_LOW"
    assert "3 MiB left" in str(refused.value)
    assert view.disk_problem == bench.store.full
    assert await bench.state(waiting) == "Canceled"
    bench.store.full = ""
    await bench.clock.advance(2)
    assert await bench.submit()
