"""What must be true when everything has ended and nothing is on its way."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from hpcsched.common.errors import HpcError
from hpcsched.core.task.elements import HAS_EXIT
from hpcsched.core.task.states import EndReason, TaskState
from hpcsched.runtime.registry import decode_stored
from tests.support.head_bench import ANN
from tests.support.sim.accounts import AccountChecks
from tests.support.sim.extras import OWN
from tests.support.sim.workload import TEMPLATE

if TYPE_CHECKING:
    from tests.support.sim.host import Process
    from tests.support.sim.simulation import Simulation

TOLD = {EndReason.EXITED, EndReason.SIGNALED}


class EndChecks:
    """See the module."""

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim
        self._fail = sim.checks.fail

    async def run(self) -> None:
        self._processes()
        self._supervisors()
        self._books()
        self._jobs()
        self._requests()
        self._templates()
        self._watchers()
        AccountChecks(self._sim).run()
        await self._restart()

    def _processes(self) -> None:
        for node in self._sim.nodes:
            for process in node.host.living:
                self._fail(f"I16: {process.key} still lives on {node.name}")

    def _supervisors(self) -> None:
        for node in self._sim.nodes:
            spawner = node.supervisor.spawner
            assert spawner is not None
            table = spawner.node.table
            if table.live or table.queued:
                self._fail(f"I16: {node.name} still has {table.live} {table.queued}")
            if table.reports:
                waiting = [text for text, _ in table.reports.values()]
                self._fail(f"P5: {node.name} was never rid of {waiting[:2]}")
            if spawner.node.busy:
                self._fail(f"I6: {node.name}: cores {spawner.node.busy:b} stay busy")

    def _books(self) -> None:
        head = self._sim.site.head
        assert head is not None
        scheduler = head._world.scheduler
        for node in head._world.nodes:
            used = scheduler.cores_in_use(node.record.node_id)
            if used:
                self._fail(f"I6: {used} cores of {node.record.name} stay booked")
            if node.jobs:
                self._fail(f"I6: {node.record.name} still has jobs {node.jobs}")
            if not node.ready:
                self._fail(f"I8: {node.record.name} takes no work: {node.record}")
        if scheduler.granting.pending:
            self._fail(f"I6: grants are pending: {scheduler.granting.pending}")
        if scheduler.waiting:
            self._fail(f"I8: jobs wait: {list(scheduler.waiting.in_order())}")

    def _jobs(self) -> None:
        sim = self._sim
        state = sim.site.state
        counts: dict[int, int] = {}
        for job_id, stored in state.jobs.items():
            job = decode_stored(stored.stored())
            counts[int(job.state)] = counts.get(int(job.state), 0) + 1
            unknown = stored.row.name not in sim.workload.numbers
            if not job.state.terminal and not unknown:
                self._fail(f"I8: job {job_id} is {job.state.label}")
            self._elements(job)
        self._acknowledged()

    def _acknowledged(self) -> None:
        """What was acknowledged is there, and has had its effect (I1)."""
        workload, jobs = self._sim.workload, self._sim.site.state.jobs
        for ids in workload.lots.values():
            for number, job_id in enumerate(ids):
                stored = jobs.get(job_id)
                task = decode_stored(stored.stored()).tasks[0] if stored else None
                own = task and task.spec.environment.get(OWN)
                if own and own != str(number):
                    self._fail(f"I1: job {job_id} has what was asked of job {own}")
        for name, job_id in workload.numbers.items():
            if job_id in jobs and jobs[job_id].row.name != name:
                self._fail(f"I1: job {job_id} is not {name}, as was acknowledged")
        known = {*workload.numbers.values()}.union(*workload.lots.values())
        for job_id in sorted(known - workload.forgotten - jobs.keys()):
            if not self._may_be_purged(job_id):
                self._fail(f"I1: job {job_id} was acknowledged and is gone")
        for kind, job_id in workload.acked:
            row = jobs.get(job_id)
            if kind == "cancel" and row is not None and row.row.active:
                self._fail(f"I1: the cancel of job {job_id} was lost")

    def _may_be_purged(self, job_id: int) -> bool:
        """Had it ended, where jobs that ended long ago are deleted?"""
        checks = self._sim.checks
        return self._sim.workload.extras.purges and checks.has_ended(job_id)

    def _elements(self, job: Any) -> None:
        """Compare what is recorded of each element with what really ran (I5)."""
        starts = self._sim.checks._starts
        for record in job.tasks:
            table = job.table_of(record)
            for place in range(record.count):
                row = record.base + place
                attempt = table.get("attempt", row)
                state = table.state[row]
                instance = record.instance(row) if record.has_elements else 0
                key = (job.job_id, record.task_id, instance, attempt)
                reason = table.get("reason", row)
                process = starts.get(key)
                flags = table.get("flags", row)
                if state == TaskState.FINISHED and process is None:
                    self._fail(f"I5: {key} is Finished and never ran")
                if reason in TOLD and flags & HAS_EXIT:
                    self._exit(key, process, table.get("exit", row), reason)

    def _exit(self, key: Any, process: Process | None, code: int, reason: int) -> None:
        if process is None:
            self._fail(f"I5: {key} has exit code {code} and never ran")
            return
        status = process.status
        if reason == EndReason.EXITED and (status is None or status != code << 8):
            self._fail(f"I5: {key} ended with {status}, and {code} is recorded")

    def _requests(self) -> None:
        names: dict[str, int] = {}
        for job in self._sim.site.state.jobs.values():
            name = job.row.name
            names[name] = names.get(name, 0) + 1
            if name in self._sim.workload.refused:
                self._fail(f"I1: {name} was refused and is there")
        for name, count in names.items():
            if count > self._sim.workload.asked.get(name, 1):
                self._fail(f"I11: {count} jobs have the name {name}")

    def _templates(self) -> None:
        head, workload = self._sim.site.head, self._sim.workload
        assert head is not None
        found = head._world.settings.templates.get(TEMPLATE)
        revision = 0 if found is None else found.revision
        if revision < workload.templates_kept:
            kept = workload.templates_kept
            self._fail(f"I1: {kept} changes were acknowledged, {revision} are there")
        if revision > workload.templates_sent:
            sent = workload.templates_sent
            self._fail(f"I11: {sent} changes were asked for, {revision} were made")

    def _watchers(self) -> None:
        events = self._sim.site.state.events
        floor = self._sim.site.state.floor_seq
        for watcher in self._sim.watchers:
            seqs = [one[0] for one in watcher.told]
            log = {e.seq: (e.job_id, e.revision) for e in events}
            if floor == 0 and seqs != list(range(1, len(seqs) + 1)):
                self._fail(f"I7: watcher {watcher.number} has gaps")
            if floor == 0 and len(seqs) != len(events):
                self._fail(f"I7: watcher {watcher.number} missed the last events")
            for seq, job_id, revision, _ in watcher.told:
                if seq in log and log[seq] != (job_id, revision):
                    self._fail(f"I7: watcher {watcher.number} was told another {seq}")

    async def _restart(self) -> None:
        """A new head knows the same of every job (P7)."""
        sim = self._sim
        head = sim.site.head
        assert head is not None
        ids = sorted(sim.site.state.jobs)
        before = [await head.get_job(ANN, job_id, full=True) for job_id in ids]
        assert sim.site.program is not None
        sim.vigil.at_rest(head)
        pending = sim.vigil.pending(sim.site.program)
        sim.site.program.kill()
        if found := sim.site.disk.look():
            self._fail(f"P16: hpcschedd --check finds {found}")
        new = await sim.site.serving()
        await asyncio.sleep(60.0)
        left = sim.vigil.pending(sim.site.program)
        if more := pending - left:
            self._fail(f"I12: at rest {more} wait that do not after a restart")
        jobs = sim.site.state.jobs
        for one in before:
            try:
                other = await new.get_job(ANN, one.job_id, full=True)
            except HpcError:
                if one.job_id not in jobs and self._may_be_purged(one.job_id):
                    continue
                raise
            if one != other:
                self._fail(f"P7: after a restart {one} is {other}")
