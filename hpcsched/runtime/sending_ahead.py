"""Which queued jobs wait on nodes before a core is free there (core/job/ahead.py).

Only jobs of one small task that may run anywhere, in queue order from the very first on
and never past one that is not such a job, so that nobody is overtaken; and only behind
jobs of the same kind, whose cores come free one by one: as many as these would end
within a moment, judged by those before them. What comes free of those cores is theirs
(``Books.claim``). Those that sleep are sent together (``runtime.departing``). They are
asked for again when somebody comes before them in the queue, when the node has no news
for a second, and when policy is another one.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from hpcsched.core.job.ahead import may_go_ahead
from hpcsched.core.job.commands import RecallAhead, SendAhead
from hpcsched.core.job.recalling import LONG_S, QUIET_S
from hpcsched.core.job.states import JobState
from hpcsched.core.scheduling.snapshot import Demand
from hpcsched.runtime.departing import depart
from hpcsched.runtime.lots import Lot

if TYPE_CHECKING:
    from collections.abc import (
        Callable,
        Container,
        Iterable,
        Iterator,
        Mapping,
        Sequence,
    )

    from hpcsched.common.clock import Timer
    from hpcsched.core.job.model import Job
    from hpcsched.core.job.wholelife import Life
    from hpcsched.runtime.books import Books
    from hpcsched.runtime.waiting import Waiting
    from hpcsched.runtime.world import World

    Order = tuple[int, int, int]
    _Candidate = tuple[int, Order, Lot | None]

log = logging.getLogger(__name__)
AHEAD_S: Final = 0.1
"""What waits on a node should have started within this time."""
AHEAD_LIMIT: Final = 128
FEWEST: Final = 0.25
"""Of those that may wait on a node: fewer are not sent after others."""
_SMOOTH: Final = 0.3
_PLAIN: Final = Demand(job_id=0, order=(0, 0, 0), least=1, most=1).shape


class SendingAhead:
    """See the module.

    Args:
        world: The head's actors.
        books: The scheduler's.
        waiting: What jobs want.
        rests: Says whether a job is left out of plans for now.

    Attributes:
        sent: Job to the node that it waits on, or is about to.
    """

    def __init__(
        self,
        world: World,
        books: Books,
        waiting: Waiting,
        *,
        rests: Callable[[int], bool],
    ) -> None:
        self.sent: dict[int, int] = {}
        self._world = world
        self._books = books
        self._waiting = waiting
        self._rests = rests
        self._asked: set[int] = set()
        self._barred: set[int] = set()
        self._left: list[Container[int]] = []
        self._small: dict[int, dict[int, int]] = {}
        self._node_of: dict[int, int] = {}
        self._orders: dict[int, Order] = {}
        self._passing: dict[int, set[int]] = {}
        self._over: dict[int, int] = {}
        self._news: dict[int, float] = {}
        self._last: tuple[int, int, int] = (0, 0, 0)
        self._mean = -1.0
        self._timer: Timer | None = None

    # What jobs say

    def knows(self, job_id: int) -> bool:
        """Has it anything of a job that would be left if nobody told it more?"""
        return job_id in self.sent or job_id in self._barred or job_id in self._node_of

    def note(self, job: Job) -> None:
        """A job's state is durable: what does it hold, and where does it wait?"""
        job_id = job.job_id
        if job_id in self.sent or job.ahead:
            self._note_place(job)
        if job.uses:
            if job_id not in self._node_of and may_go_ahead(job):
                self._has_started(job)
        elif job_id in self._node_of:
            self._has_ended(job)
        if job.state.terminal:
            self._barred.discard(job_id)

    def _note_place(self, job: Job) -> None:
        job_id = job.job_id
        node_id = job.ahead[0] if job.ahead else 0
        before = self.sent.get(job_id, 0)
        if node_id == before:
            return
        if before:
            self._unclaim(before, (job_id,))
            if job.state is JobState.QUEUED and job_id not in self._asked:
                self._barred.add(job_id)  # it would not, or its node did not start it
            self._asked.discard(job_id)
        if node_id:  # it was loaded
            self._claim(node_id, {job_id: job.order}, job.ahead[1])
            self._books.line_up(node_id, self._orders)
            self._last = max(self._last, job.order)
            self._watch()

    def in_order(self, job_ids: Iterable[int]) -> list[int]:
        """Return jobs by number, and behind them those that wait on nodes, in order.

        A node starts what it gets again in the order in which it comes.
        """
        orders = self._orders
        return sorted(job_ids, key=lambda n: (n in orders, orders.get(n, ()), n))

    def _claim(
        self, node_id: int, orders: Mapping[int, Order], cores: tuple[int, ...]
    ) -> None:
        self.sent.update(dict.fromkeys(orders, node_id))
        self._orders.update(orders)
        self._books.claim(node_id, orders, cores)

    def _unclaim(self, node_id: int, ids: Iterable[int]) -> None:
        for job_id in ids:
            del self.sent[job_id], self._orders[job_id]
        self._books.unclaim(node_id, ids)
        if node_id not in self._books.claims:
            self._passing.pop(node_id, None)
        if self._books.open:
            # What comes back wants what it wanted before, which is no news to anybody:
            # it starts now where cores are idle, or somebody on those kept for it.
            self._world.scheduler.wake()

    def _has_started(self, job: Job) -> None:
        for node_id, use in job.uses.items():
            self._node_of[job.job_id] = node_id
            own = self._small.setdefault(node_id, {})
            own[job.job_id] = use.cores[0] if use.cores else 0
            self._news[node_id] = self._world.clock.mono()

    def _has_ended(self, job: Job) -> None:
        node_id = self._node_of.pop(job.job_id)
        own = self._small[node_id]
        del own[job.job_id]
        if not own:
            del self._small[node_id]
        self._news[node_id] = self._world.clock.mono()
        table = job.tables[0]
        start, end = table.get("start", 0), table.get("end", 0)
        if job.state is JobState.FINISHED and 0 < start <= end:
            self._learn(end - start)

    def _learn(self, took: float) -> None:
        mean = self._mean
        self._mean = took if mean < 0 else mean + _SMOOTH * (took - mean)

    def are_over(self, node_id: int, count: int) -> None:
        """So many jobs that waited on a node have run there, which is being written.

        Negative: it has been, or could not be. Where nothing is to be planned the next
        ones are written with it: that is one transaction and one frame for both.
        """
        self._over[node_id] = self._over.get(node_id, 0) + count
        if count > 0 and not self._books.open:
            self.send()

    def passed(self, node_id: int, lives: Mapping[int, Life]) -> None:
        """Jobs that waited on a node have run there, and are over.

        As long as others wait behind them they go on where these were.
        """
        self._unclaim(node_id, lives)
        self._news[node_id] = self._world.clock.mono()
        took = [life.end - life.start for life in lives.values()]
        self._learn(max(0.0, sum(took) / len(took)))
        if node_id in self._books.claims:
            passing = self._passing.setdefault(node_id, set())
            passing.update(life.core for life in lives.values())

    # Sending

    def send(self) -> None:
        """Let jobs wait on nodes; to be called after a pass.

        Behind what it has granted those wait that come next: they are decided on after
        the turns in which the first ones take their cores, and are in one transaction
        with them.
        """
        if not self._is_allowed():
            if self.sent:
                self.recall(list(self.sent))
            return
        if self._mean < 0 or not self._waiting:
            return
        cores = self._cores()
        rooms = list(self._rooms(cores))
        if not rooms:
            return
        chosen: dict[int, list[_Candidate]] = {}
        for number, candidate in enumerate(self._candidates()):
            at = number % len(rooms)
            node_id, room = rooms[at]
            chosen.setdefault(node_id, []).append(candidate)
            rooms[at] = (node_id, room - 1)
            if room <= 1:
                del rooms[at]
                if not rooms:
                    break
        for node_id, some in chosen.items():
            self._send(node_id, some, tuple(sorted(cores[node_id])))
        self._watch()

    def _is_allowed(self) -> bool:
        settings = self._world.settings
        plain = settings.mode == "Queued" and not settings.pools
        return plain and not settings.activation_filter and not self._world.resting

    def _rooms(self, cores: Mapping[int, set[int]]) -> Iterator[tuple[int, int]]:
        """Yield nodes, and how many more may wait there; a few alone are no news."""
        for node_id, own in cores.items():
            limit = int(len(own) * AHEAD_S / max(self._mean, 1e-4))
            limit = min(AHEAD_LIMIT, limit)
            room = limit - self._there(node_id)
            if room > 0 and room >= FEWEST * limit and node_id in self._books.ready:
                yield node_id, room

    def _there(self, node_id: int) -> int:
        """Return how many wait on a node, as far as is known."""
        claims = self._books.claims.get(node_id, ())
        return len(claims) - self._over.get(node_id, 0)

    def _cores(self) -> dict[int, set[int]]:
        """Return node to its cores on which such jobs come and go.

        Those included on which the first ones are about to start.
        """
        found: dict[int, set[int]] = {}
        for node_id in {**self._small, **self._passing}:
            if self._there(node_id) <= (1 - FEWEST) * AHEAD_LIMIT:
                found[node_id] = self._cores_of(node_id)
        for job_id, grants in self._world.scheduler.granting.pending.items():
            actor = self._world.jobs.get(job_id)
            if actor is not None and actor.job is not None and may_go_ahead(actor.job):
                for node_id, own in grants.items():
                    found.setdefault(node_id, set()).update(own)
        return found

    def _cores_of(self, node_id: int) -> set[int]:
        cores = set(self._passing.get(node_id, ()))
        if cores:
            for held in self._books.held_on(node_id).values():
                cores.difference_update(held)
        cores.update(self._books.kept(node_id))  # who waits there starts on them next
        return cores.union(self._small.get(node_id, {}).values())

    def _candidates(self) -> Iterator[_Candidate]:
        """Yield the first jobs of the queue, up to one that has to be planned for."""
        for entry in self._waiting.entries():
            if not isinstance(entry, Lot):
                if entry.job_id in self.sent or self._is_pending(entry.job_id):
                    continue
                if not (_is_small(entry) and self._may_go(entry.job_id)):
                    return
                yield entry.job_id, entry.order, None
            elif not entry.kind.ahead:
                small = _is_small(entry.kind.demand)
                for job_id in entry.ids:
                    if job_id in self.sent or self._is_pending(job_id):
                        continue
                    if not (small and self._may_go(job_id)):
                        return
                    yield job_id, entry.order_of(job_id), entry

    def _is_pending(self, job_id: int) -> bool:
        return job_id in self._world.scheduler.granting.pending

    def _may_go(self, job_id: int) -> bool:
        if job_id in self._barred or self._rests(job_id):
            return False
        return not (self._left and any(job_id in ids for ids in self._left))

    def _send(
        self, node_id: int, some: Sequence[_Candidate], cores: tuple[int, ...]
    ) -> None:
        """Let jobs wait on a node; those that sleep go on sleeping."""
        node = self._books.nodes[node_id]
        command = SendAhead(
            node_id=node_id,
            cores=cores,
            shape=(node.cores, node.sockets),
        )
        orders = {job_id: order for job_id, order, _ in some}
        self._claim(node_id, orders, command.cores)
        self._last = max(self._last, *(order for _, order, _ in some))
        for lot, group in groupby(some, key=itemgetter(2)):
            ids = [job_id for job_id, _, _ in group]
            if lot is None or not depart(self._world, lot, ids, command, self._forget):
                for job_id in ids:
                    self._send_one(job_id, command)

    def _send_one(self, job_id: int, command: SendAhead) -> None:
        def answered(_: Any, error: BaseException | None) -> None:
            if error is not None:
                log.warning("job %d was not sent ahead: %s", job_id, error)
                self._forget((job_id,))

        self._world.jobs.tell(job_id, command, answered)

    def _forget(self, ids: Iterable[int]) -> None:
        """They could not be sent, and are where they were."""
        for job_id in ids:
            node_id = self.sent.get(job_id, 0)
            if node_id:
                self._unclaim(node_id, (job_id,))
            self._asked.discard(job_id)

    # Taking back

    def make_way(self, demand: Demand) -> None:
        """Somebody wants something: who would be before its time comes back."""
        if not self.sent or demand.job_id in self.sent or demand.order >= self._last:
            return
        later = [n for n, order in self._orders.items() if order > demand.order]
        self.recall(later)
        self._last = demand.order

    def leave(self, node_id: int) -> None:
        """A node is another one now, or is given up: nobody waits there any more."""
        self.recall([job_id for job_id, there in self.sent.items() if there == node_id])

    @contextmanager
    def left_alone(self, job_ids: Container[int]) -> Iterator[None]:
        """One call wants something of each of these: none of them waits on a node.

        Those that do are asked for together, so that it need not wait for one after the
        other, and none is sent while it comes nearer.
        """
        self._left.append(job_ids)
        self.recall([job_id for job_id in self.sent if job_id in job_ids])
        try:
            yield
        finally:
            self._left.remove(job_ids)
            self._world.scheduler.wake()

    def recall(self, job_ids: Iterable[int]) -> None:
        """Ask for jobs that wait on nodes."""
        for job_id in job_ids:
            if job_id not in self._asked:
                self._asked.add(job_id)
                self._world.jobs.post(job_id, RecallAhead())

    def _watch(self) -> None:
        if self.sent and self._timer is None:
            clock = self._world.clock
            self._timer = clock.call_at(clock.mono() + QUIET_S, self._look)

    def _look(self) -> None:
        """Take back what waits on nodes that have had no news for a while."""
        self._timer = None
        now = self._world.clock.mono()
        quiet = {
            node_id
            for node_id in set(self.sent.values())
            if self._news.setdefault(node_id, now) + QUIET_S <= now
        }
        late = [n for n, node in self.sent.items() if node in quiet]
        if late:
            self._mean = max(self._mean, LONG_S)
            self.recall(late)
        self._watch()


def _is_small(demand: Demand) -> bool:
    return demand.shape == _PLAIN and demand.most == 1
