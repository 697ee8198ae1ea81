"""When reports and acknowledgements of the agent are worth a frame of their own."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from node_agent.core.reports import End, EndColumns
from node_agent.core.session import Session
from node_agent.core.spool import Spool
from node_agent.link.outbox import ACK_DELAY_S, GATHER_S, LONGEST_S, Outbox

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.manual_clock import ManualClock

ENDED = End((1, 1, 0, 1), 1, 0, 5.0, 6.0, 0, 1, 1, 100)


class Bench:
    """An outbox, with what it takes from."""

    def __init__(self, clock: ManualClock) -> None:
        self.session, self.spool, self.woken = Session(), Spool(), 0
        self.queued = 0
        node: Any = SimpleNamespace(
            spool=self.spool,
            has_deep_queue=False,
            starts_have_waited=False,
            has_plenty=lambda ends: self.queued >= 3 * ends,
            usages=SimpleNamespace(news=list),
        )
        outputs: Any = SimpleNamespace(take=list)
        wake: Callable[[], None] = self._wake
        self.outbox = Outbox(node, self.session, outputs, clock, wake=wake)

        self.node = node

    def _wake(self) -> None:
        self.woken += 1

    def ended(self, count: int) -> None:
        """So many more attempts have ended."""
        first = len(self.spool) + 1
        for position in range(first, first + count):
            self.spool.add(position, ENDED)

    def carried_out(self, seq: int) -> None:
        """The supervisor has the orders of a frame; the agent looks what to send."""
        self.session.carried_out(seq)
        assert self.outbox.next_frame() is None, "nothing travels at once"


@pytest.fixture
def bench(clock: ManualClock) -> Bench:
    return Bench(clock)


async def test_an_acknowledgement_travels_alone_when_nothing_else_does(
    bench: Bench, clock: ManualClock
) -> None:
    bench.carried_out(1)
    await clock.advance(ACK_DELAY_S)
    assert bench.woken == 1
    frame = bench.outbox.next_frame()
    assert frame is not None
    assert (frame.seq, frame.ack) == (0, 1)


async def test_one_that_has_travelled_with_a_report_does_not_hurry_the_next_one(
    bench: Bench, clock: ManualClock
) -> None:
    bench.carried_out(1)
    bench.spool.add(1, ENDED)
    frame = bench.outbox.next_frame()
    assert frame is not None
    assert (frame.seq, frame.ack) == (1, 1)
    await clock.advance(2 * ACK_DELAY_S)  # what it once waited for is over
    assert not bench.woken
    bench.carried_out(2)
    bench.spool.add(2, ENDED)
    frame = bench.outbox.next_frame()
    assert frame is not None
    assert (frame.seq, frame.ack) == (2, 2), "again with the report"


async def test_reports_gather_as_long_as_the_queue_is_long_beside_what_has_ended(
    bench: Bench, clock: ManualClock
) -> None:
    bench.node.has_deep_queue, bench.queued = True, 90
    bench.ended(20)
    assert bench.outbox.next_frame() is None
    await clock.advance(GATHER_S)
    assert bench.outbox.next_frame() is None, "there is plenty"
    bench.ended(20)
    await clock.advance(GATHER_S)
    frame = bench.outbox.next_frame()
    assert frame is not None
    (columns,) = frame.reports
    assert isinstance(columns, EndColumns)
    assert len(columns.instances) == 40


async def test_however_much_waits_reports_do_not_gather_for_ever(
    bench: Bench, clock: ManualClock
) -> None:
    bench.node.has_deep_queue, bench.queued = True, 10_000
    bench.ended(1)
    assert bench.outbox.next_frame() is None
    await clock.advance(0.9 * LONGEST_S)
    assert bench.outbox.next_frame() is None
    await clock.advance(0.2 * LONGEST_S)
    assert bench.outbox.next_frame() is not None


async def test_reports_of_a_node_without_a_deep_queue_go_at_once(
    bench: Bench,
) -> None:
    bench.queued = 10_000
    bench.ended(1)
    assert bench.outbox.next_frame() is not None
