"""The queue says the same whether jobs that are alike stand in it as one or singly."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from hpcsched.core.job.packing import Cut
from hpcsched.core.scheduling.snapshot import Demand
from hpcsched.runtime.lots import Kind, Lot
from hpcsched.runtime.waiting import Waiting

PRIORITIES = (-3000, -2000)


def a_kind(priority: int, pool: str) -> Kind:
    like: Any = None
    demand = Demand(0, (priority, 1, 0), 1, 1, pool=pool)
    return Kind(like=like, blob=Cut(b""), specs={}, chunks={}, demand=demand)


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("lot"),
            st.integers(1, 6),
            st.sampled_from(PRIORITIES),
            st.sampled_from(["a", "b"]),
        ),
        st.tuples(
            st.just("one"), st.just(1), st.sampled_from(PRIORITIES), st.just("a")
        ),
        st.tuples(st.just("alone"), st.integers(0, 40), st.just(0), st.just("")),
        st.tuples(st.just("gone"), st.integers(0, 40), st.just(0), st.just("")),
        st.tuples(
            st.just("again"),
            st.integers(0, 40),
            st.sampled_from(PRIORITIES),
            st.just("b"),
        ),
    ),
    max_size=30,
)


class Both:
    """Two queues of the same jobs: one with lots in it, one without."""

    def __init__(self) -> None:
        self.lots, self.plain = Waiting(lambda _: False), Waiting(lambda _: False)
        self.lots.pools(on=True)
        self.last = self.order = 0

    def lot(self, number: int, priority: int, pool: str) -> Lot:
        """Return so many new jobs; the queue without lots has them already."""
        shift = self.order - self.last
        first, self.last = self.last + 1, self.last + number
        self.order += number + 1  # somebody else was queued meanwhile
        lot = Lot(a_kind(priority, pool), first, self.last, shift)
        for job_id in lot.ids:
            self.plain.put(job_id, lot.demand(job_id))
        return lot

    def step(self, what: str, number: int, priority: int, pool: str) -> None:
        """Do the same in both."""
        if what == "lot":
            self.lots.put_lot(self.lot(number, priority, pool))
        elif what == "one":
            one = self.lot(number, priority, pool)
            self.lots.put(one.first, one.demand(one.first))
        elif self.plain.has(number):
            lot = self.lots.lot_of(number)
            if lot is not None:
                self.lots.stand_alone(lot, number)
            if what != "alone":
                self.change(what, number, priority, pool)

    def change(self, what: str, number: int, priority: int, pool: str) -> None:
        demand = None
        if what == "again":
            self.order += 1
            order = (priority, 1, self.order)
            demand = Demand(number, order, 1, 1, pool=pool)
        assert self.lots.put(number, demand) is self.plain.put(number, demand) is True


@given(steps=STEPS)
@settings(max_examples=200, deadline=None)
def test_lots_stand_in_the_queue_as_their_jobs_would(
    steps: list[tuple[str, int, int, str]],
) -> None:
    both = Both()
    for step in steps:
        both.step(*step)

    lots, plain = both.lots, both.plain
    want = list(plain.in_order())
    assert list(lots.in_order()) == list(lots) == want
    assert (lots.first(), bool(lots)) == (plain.first(), bool(plain))
    for job_id in range(both.last + 2):
        assert lots.has(job_id) == plain.has(job_id)
        assert list(lots.before(job_id)) == list(plain.before(job_id))
    for demand in want:
        assert lots[demand.job_id] == demand
        assert lots.place(demand.job_id) == plain.place(demand.job_id)
    mine, theirs = lots.pools(on=True), plain.pools(on=True)
    for name in {*mine, *theirs}:
        assert list(mine.get(name, ())) == list(theirs.get(name, ()))
