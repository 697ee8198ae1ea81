"""The spool: nothing is lost, nothing is released too early, order holds."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from node_agent.core.reports import End, Start
from node_agent.core.spool import MOST_BYTES, MOST_REPORTS, Spool


def start(number: int) -> Start:
    return Start((1, 1, number, 1), 5.0, 0, 4000)


def end(number: int, output: bytes = b"") -> End:
    return End((1, 1, number, 1), 1, 0, 5.0, 6.0, 0, 1, 2, 3, output)


def test_a_batch_is_bounded_by_number() -> None:
    spool = Spool()
    for number in range(MOST_REPORTS + 1):
        spool.add(number + 1, start(number))

    assert len(spool.take(1)) == MOST_REPORTS
    assert spool.take(2) == [start(MOST_REPORTS)]
    assert spool.take(3) == []


def test_a_batch_is_bounded_by_bytes_but_never_empty() -> None:
    spool = Spool()
    for number in range(3):
        spool.add(number + 1, end(number, b"x" * MOST_BYTES))

    assert [len(spool.take(seq)) for seq in (1, 2, 3, 4)] == [1, 1, 1, 0]


def test_a_refusal_is_released_with_its_neighbours() -> None:
    spool = Spool()
    spool.add_unjournalled(end(1))
    spool.take(1)
    assert spool.release(1) == 0
    spool.add(5, start(2))
    spool.add_unjournalled(end(3))
    spool.take(2)

    assert spool.release(2) == 5


def test_ends_that_the_head_does_not_know_are_named_wherever_they_are() -> None:
    spool = Spool()
    spool.add(1, start(1))
    spool.add(2, end(1))
    spool.take(1)
    spool.add(3, end(2))

    assert [report.key[2] for report in spool.ends()] == [1, 2]
    spool.release(1)
    assert [report.key[2] for report in spool.ends()] == [2]


class AnyStory(RuleBasedStateMachine):
    """Reports, frames, acknowledgements and lost streams, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.spool = Spool()
        self.position = 0
        self.seq = 0
        self.acked = 0
        self.released = 0
        self.frames: dict[int, list[int]] = {}

    @rule(count=st.integers(1, 5))
    def report(self, count: int) -> None:
        for _ in range(count):
            self.position += 1
            assert self.spool.add(self.position, start(self.position))

    @rule()
    def report_again(self) -> None:
        assert not self.spool.add(self.position, start(0))

    @rule()
    def send(self) -> None:
        batch = self.spool.take(self.seq + 1)
        if batch:
            self.seq += 1
            self.frames[self.seq] = [report.key[2] for report in batch]

    @precondition(lambda self: self.seq > self.acked)
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        self.acked = data.draw(st.integers(self.acked + 1, self.seq))
        position = self.spool.release(self.acked)
        assert position == self.frames[self.acked][-1]
        self.released = position

    @rule()
    def lose_the_stream(self) -> None:
        self.spool.rewind()
        self.seq = self.acked = 0
        self.frames = {}

    @invariant()
    def all_that_is_not_released_is_here_in_order(self) -> None:
        sent = [n for _, batch in self.spool._sent for n, _ in batch]
        waiting = [n for n, _ in self.spool._waiting]
        assert sent + waiting == list(range(self.released + 1, self.position + 1))
        assert len(self.spool) == self.position - self.released


TestAnyStory = AnyStory.TestCase
