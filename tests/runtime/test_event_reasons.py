"""What watchers are told of a change is what the store tells them later."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcsched.runtime.feed import Feed
from hpcsched.runtime.front import Stop
from hpcsched.services.convert_event import event_message
from tests.support.head_bench import ANN, NO_ID, a_task

if TYPE_CHECKING:
    from tests.support.head_bench import Bench


async def test_reason_and_actor_are_the_same_live_and_from_the_store(
    bench: Bench,
) -> None:
    agent = await bench.node()
    agent.plan = lambda p: (1.0, 3) if p.key[1] == 1 else None
    job_id = await bench.submit(a_task(), a_task())
    await bench.clock.advance(2.0)
    await bench.head.cancel_jobs(ANN, [job_id], Stop(message="enough"), NO_ID)
    await bench.until_state(job_id, "Canceled")

    live = await bench.events()
    old = Feed(bench.store, bench.clock, bench.world.feed.last, 0)
    kept = await old.read(0)

    assert list(kept) == live
    changes = {
        (change.task_id, change.state): (change, event_message(event))
        for event in kept
        for change in event.changes
    }
    failed, message = changes[1, 9]
    assert (failed.reason_code, failed.reason) == (-2147218980, "exited with code 3")
    assert message.actor == "node:n1"
    assert message.changes[-1].reason == failed.reason
    stopped, message = changes[2, 11]
    assert (stopped.reason, message.actor) == ("enough", "ann")
    assert changes[0, 10][0].reason == "enough"
