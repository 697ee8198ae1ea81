"""Accepting starts, and starting what its job's cores allow, without asking anyone."""

from __future__ import annotations

from node_agent.supervisor import protocol, records, reports
from node_agent.supervisor.attempt import Attempt
from node_agent.supervisor.failure import StartFailedError
from node_agent.supervisor.probing import Probes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from node_agent.supervisor.alike import Alike
    from node_agent.supervisor.attempt import InstanceKey, Queued
    from node_agent.supervisor.ending import Ender
    from node_agent.supervisor.node import Node
    from node_agent.supervisor.pinned import Birth
    from node_agent.supervisor.slots import Slot
    from node_agent.supervisor.stopping import Stopper
    from node_agent.supervisor.table import Job

STARTS_PER_TURN = 16
"""Then ends are reaped and reports sent before more is started."""

MOST_WAITING = 50_000
"""Attempts that wait for cores. A head sends few ahead of free cores; one that sends
more than this is not believed, and costs no more memory and no more of the disk."""

START_BYTES = 1024
RETRY_S = 1.0


class Starter:
    """Accepts attempts and starts them, in order of arrival within their job."""

    def __init__(self, node: Node, ender: Ender, stopper: Stopper) -> None:
        self._node = node
        self._ender = ender
        self._stopper = stopper
        self._space_at = 0.0
        self.probes = Probes(node, self._give_up)

    # -- accepting

    def accept(self, job: int, task: int, number: int, items: list[list[Any]]) -> None:
        """Put attempts into the queue; answer those that cannot be with the reason.

        An attempt is started at most once, ever: one that is known is answered with
        its state, an older one refused. A newer one waits until nothing is left of the
        older: the head must not have to try again, and two never run at once.
        """
        node = self._node
        if node.retiring:  # as if it had been lost on the way: nothing is refused
            return
        table = node.table
        owner = table.jobs.get(job)
        definition = None if owner is None else owner.definitions.get((task, number))
        if owner is None or definition is None or owner.ending:
            ending = owner is not None and owner.ending
            text = "the job is ending" if ending else f"definition {number} not known"
            for instance, attempt, *_ in items:
                self._refuse((job, task, instance), attempt, text)
            return
        new = self._new_ones(owner, task, items)
        if not new:
            return
        record = records.accepted(job, task, number, new)
        if not node.journal.has_room(len(record)) and not node.compact():
            for instance, attempt, *_ in new:
                text = "no space left for the node's journal"
                self._refuse((job, task, instance), attempt, text)
            return
        node.journal.add(record)
        canceled = []
        for instance, attempt, *rest in new:
            queued = table.accept(definition, instance, attempt, *rest)
            if owner.stopped and table.take_early(owner, (task, instance, attempt)):
                table.unqueue((job, task, instance))
                canceled.append(queued)
        if canceled:
            self._ender.never_tried(canceled, protocol.CANCELED, protocol.CANCELED)

    def accept_alike(self, alike: Alike) -> bool:
        """Take in jobs of which nothing has been here before, if there is room.

        False: they have to be accepted one by one.
        """
        node = self._node
        if node.retiring:
            return True
        table = node.table
        if len(alike.numbers) > table.room_for_jobs:
            return False
        if len(table.queued) + alike.count > MOST_WAITING or any(
            job in table.jobs or job in table.refused for job in alike.numbers
        ):
            return False
        record = records.alike(alike.items)
        if not node.journal.has_room(len(record)):
            return False
        node.journal.add(record)
        alike.take_in(table)
        return True

    def _new_ones(
        self, owner: Job, task: int, items: list[list[Any]]
    ) -> list[list[Any]]:
        """Return those that were never here, as far as there is room; answer others."""
        new = [item for item in items if self._is_new(owner, task, item)]
        room = max(0, MOST_WAITING - len(self._node.table.queued))
        for instance, attempt, *_ in new[room:]:
            text = f"{MOST_WAITING} attempts wait on this node"
            self._refuse((owner.number, task, instance), attempt, text)
        return new[:room]

    def _is_new(self, owner: Job, task: int, item: list[Any]) -> bool:
        """Say whether an attempt has never been here; answer it if it has."""
        node = self._node
        instance, attempt = item[0], item[1]
        key = (owner.number, task, instance)
        waiting, alive = node.table.queued.get(key), node.table.live.get(key)
        here = [known.attempt for known in (waiting, alive) if known is not None]
        if attempt in here:
            if alive is not None and alive.attempt == attempt and alive.started_text:
                node.report(alive.started_text)
            return False
        if here and attempt < max(here):
            self._refuse(key, attempt, f"attempt {max(here)} is newer")
            return False
        if node.table.was_refused(key, attempt):
            self._refuse(key, attempt, "it was refused before")
            return False
        if waiting is not None:  # the head has given it up: it will never be started
            node.table.unqueue(key)
            self._ender.never_tried([waiting], protocol.CANCELED)
        if here:
            return True
        newest = node.table.newest_ended(key)
        if newest is None or attempt > newest:
            return True
        position = node.table.ends.get(key)
        if attempt == newest and position is not None:
            node.report(node.table.reports[position][0])
        else:
            text = f"attempt {newest} has ended here and was acknowledged"
            self._refuse(key, attempt, text)
        return False

    def _refuse(self, key: InstanceKey, attempt: int, text: str) -> None:
        """Say that an attempt is not started, now or ever.

        The head may have asked for it twice before it reads this.
        """
        self._node.table.refuse(key, attempt)
        self._node.say(protocol.REFUSED, *key, attempt, text)

    # -- starting

    def start_what_fits(self) -> bool:
        """Start waiting attempts; return whether more could be started at once."""
        table = self._node.table
        budget = STARTS_PER_TURN
        while table.urgent:
            if not budget or not self._has_space():
                return bool(not budget)
            queued = table.urgent.popleft()
            if not queued.dropped and not self._must_wait(queued):
                self._start(queued, 0)
                budget -= 1
        if table.waiting:
            return self._start_waiting(budget)
        return False

    def _start_waiting(self, budget: int) -> bool:
        node = self._node
        waiting, granted = node.table.waiting, node.table.granted
        jobs = list(waiting.values())
        if len(jobs) > 1 and not node.table.in_order:
            jobs.sort(key=lambda job: job.queue[0].arrival if job.queue else 0)
        for job in jobs:
            if not granted & ~node.busy:
                break
            queue = job.queue
            while queue:
                queued = queue[0]
                if queued.dropped:
                    queue.popleft()
                    continue
                idle = job.grant & ~node.busy
                if idle.bit_count() < queued.ncores:
                    break
                if self._must_wait(queued):
                    queue.popleft()
                    continue
                if not budget or not self._has_space():
                    return not budget
                queue.popleft()
                self._start(queued, _lowest(idle, queued.ncores))
                budget -= 1
            else:
                del waiting[job.number]
        return False

    def _must_wait(self, queued: Queued) -> bool:
        """Take an attempt out of its queue that cannot start now, whatever is idle."""
        return self._node.table.must_wait(queued) or self.probes.must_wait(queued)

    def _give_up(self, queued: Queued, path: bytes) -> None:
        """End an attempt whose files lie where nobody answers; another node may."""
        node = self._node
        node.table.unqueue(queued.instance_key)
        shown = path.decode("utf-8", "replace")
        text = f"cwd: ETIMEDOUT: the file system does not answer: {shown}"
        self._ender.never_tried([queued], protocol.NOT_STARTED, code="cwd", text=text)

    def _has_space(self) -> bool:
        """Say whether the journal can take one more attempt and its end."""
        node = self._node
        if node.journal.has_room(START_BYTES):
            return True
        now = node.clock.boot()
        if now < self._space_at:
            return False
        if node.publish() and node.compact() and node.journal.has_room(START_BYTES):
            self._space_at = 0.0
            return True
        if not self._space_at:
            node.warn("no space left for the node's journal: starts wait")
        self._space_at = now + RETRY_S
        node.timers.at(self._space_at, lambda: None)
        return False

    def _start(self, queued: Queued, cores: int) -> None:
        node, table = self._node, self._node.table
        definition = queued.definition
        slot = node.slots.take()
        if slot.number + 1 == len(node.slots):
            node.launcher.make_room()
        attempt = Attempt(
            definition,
            queued.instance,
            queued.attempt,
            slot=slot.number,
            cores=cores,
            contained=node.cgroups is not None
            and (definition.cgroup or node.config.cgroup == "require"),
            tried_at=node.clock.boot(),
        )
        node.activity += 1
        table.try_attempt(attempt)
        node.busy |= cores
        node.journal.tasks += 1
        node.journal.add(records.intent(attempt))
        if not node.journal.flush():
            text = f"the node's journal cannot be written: {node.journal.failure}"
            ending = reports.Ending(protocol.NOT_STARTED, message=text)
            self._ender.close(attempt, ending)
            return
        try:
            self._enter_cgroup(attempt)
            alone = len(table.live) == 1 and not table.queued and not node.tells_end
            attempt.pid = node.launcher.start(attempt, queued, slot, alone=alone)
        except StartFailedError as error:
            self._ender.start_failed(attempt, error)
            return
        if not attempt.pid:  # settle() goes on with it
            attempt.born = (attempt.tried_at, attempt.tried_at)
            node.gathering.expect_end(attempt.tried_at)
            return
        node.own.mains.add(attempt.pid)
        node.was_behind = True
        self._started(attempt, slot)
        if definition.account:  # not before there is a record of its process
            node.launcher.let_go(on_record=node.journal.flush())

    def look(self) -> None:
        """Take note of the processes that other threads have made."""
        node = self._node
        for birth in node.pinned.finished():
            attempt = birth.attempt
            if birth.pid:
                attempt.pid = birth.pid
                node.own.elsewhere.add(attempt.pid)
            else:  # nothing was executed: find out here what is wrong
                self._start_again(birth)
                if not attempt.pid:
                    continue
            self._started(attempt, birth.slot)

    def _start_again(self, birth: Birth) -> None:
        node = self._node
        attempt = birth.attempt
        try:
            attempt.pid = node.launcher.start_here(attempt, birth.queued, birth.slot)
        except StartFailedError as error:
            self._ender.start_failed(attempt, error)
        else:
            node.own.mains.add(attempt.pid)

    def settle(self, pid: int = 0) -> None:
        """Wait until no process is being made; if one is named, only for that one.

        That is until it has executed its program, as posix_spawn itself would wait.
        """
        node = self._node
        self.look()
        while len(node.pinned) and pid not in node.by_pid:
            node.pinned.wait()
            self.look()

    def _enter_cgroup(self, attempt: Attempt) -> None:
        cgroups = self._node.cgroups
        if cgroups is None or attempt.definition.account:  # it is born in its own
            return
        try:
            if attempt.contained:
                cgroups.enter(attempt.slot)
            else:
                cgroups.leave()
        except OSError as error:
            raise StartFailedError(
                "cgroup", error, b"entering it", is_of_node=True
            ) from None

    def _started(self, attempt: Attempt, slot: Slot) -> None:
        node = self._node
        now = node.clock.boot()
        attempt.born = (attempt.tried_at, now)
        attempt.started_at = node.clock.wall()
        node.by_pid[attempt.pid] = attempt
        node.gathering.expect_end(now)
        self.report_started(attempt, slot)
        if attempt.definition.limit_s is not None:
            self._stopper.watch_limit(attempt)

    def report_started(self, attempt: Attempt, slot: Slot) -> None:
        """Journal that the process exists, and tell the agent."""
        node = self._node
        position = node.next_position()
        text = reports.started_text(position, attempt, slot)
        attempt.started_text = text
        definition = attempt.definition
        attempt.out_path = None if definition.stdout is not None else slot.paths[0]
        attempt.err_path = None if definition.stderr is not None else slot.paths[1]
        node.journal.add(records.started(attempt))
        node.table.add_started(position, text)
        node.report(text, tells_end=False)


def _lowest(mask: int, count: int) -> int:
    """Return a mask of the lowest ``count`` bits that are set."""
    chosen = 0
    for _ in range(count):
        low = mask & -mask
        chosen |= low
        mask ^= low
    return chosen
