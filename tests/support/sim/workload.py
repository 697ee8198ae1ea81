"""What users and administrators ask for during a run."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

from hpcsched.common.errors import HpcError
from hpcsched.core.job.states import JobState
from hpcsched.core.template.template import Template
from hpcsched.runtime.front import Edit, Stop
from tests.support.head_bench import ANN, BOB, ROOT
from tests.support.sim.clients import Unanswered
from tests.support.sim.crowds import Crowds
from tests.support.sim.extras import Extras
from tests.support.sim.jobkinds import JobKinds

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.support.sim.simulation import Simulation

#: A template that administrators change, and nobody's job has.
TEMPLATE = "changing"


class Workload:
    """Submits jobs and meddles with them.

    Attributes:
        acked: What the head has confirmed: kind, and what it was about.
        names: Of every job that was asked for, acknowledged or not.
        numbers: Name of a job to the numbers that its submission was answered with.
        asked: How many equal jobs were asked for by a name, in one call; mostly one.
        lots: Numbers of several equal jobs of one call, by the first of them.
    """

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim
        self._rng = sim.rng
        self.acked: list[tuple[str, int]] = []
        self.names: list[str] = []
        self.refused: set[str] = set()
        self.numbers: dict[str, int] = {}
        self.forgotten: set[int] = set()
        self.meddled: set[int] = set()
        self.kinds = JobKinds(self._rng, sim.size)
        self.actions = [
            action
            for action in (
                self.cancel,
                self.force,
                self._requeue,
                self._finish,
                self._cancel_task,
                self._requeue_task,
                self.hold,
                self._wait,
                self._offline,
                self._add_tasks,
                self.modify,
                self._forget,
                self.look,
                self._trespass,
                self._template,
            )
            if self._rng.random() < 0.6
        ]
        self.templates_sent = self.templates_kept = 0
        self._count = 0
        self.asked: dict[str, int] = {}
        self.lots: dict[int, list[int]] = {}
        # Numbers of its own: what seeds did that have no equal jobs, they still do.
        self._lots = random.Random(f"lots of {sim.seed}") if sim.seed % 3 == 0 else None
        if self._lots is not None:
            self.actions.append(self._cancel_lot)
        self._crowds = Crowds(sim, self)
        self.extras = Extras(sim, self)

    @property
    def about(self) -> set[str]:
        """What this seed has of all that users, administrators and jobs may do."""
        parts = [*self.actions, *self.extras.themes, *self.kinds.kinds]
        found = {part.__qualname__ for part in parts} | set(self.kinds.traits)
        return found | self._crowds.about

    async def run(self, seconds: float) -> None:
        """Act for so long."""
        sim = self._sim
        end = sim.loop.time() + seconds
        jobs = self._rng.randint(*sim.size.jobs)
        pause = seconds / jobs
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.extras.run(seconds))
            for crowd in self._crowds.all(seconds):
                tasks.create_task(crowd)
            for _ in range(jobs):
                tasks.create_task(self._job())
                if self.actions and self._rng.random() < 0.9:
                    tasks.create_task(self._meddle())
                await asyncio.sleep(self._rng.random() * 2 * pause)
                if sim.loop.time() > end:
                    return

    async def set_up(self) -> None:
        """Choose how the cluster is run."""
        values = {"HeartbeatInterval": str(self._sim.heartbeat_s)}
        if self._rng.random() < 0.3:
            values["PreemptionType"] = self._rng.choice(("Immediate", "None"))
        if self._rng.random() < 0.2:
            values["SchedulingMode"] = "Balanced"
        if self._rng.random() < 0.3:
            values["TaskCancelGracePeriod"] = "2"
        request = self.request("parameters")
        await self._sim.clients.call(
            "set parameters", lambda head: head.set_parameters(ROOT, values, request)
        )

    async def _job(self) -> None:
        new = self.kinds.draw()
        name = new.spec.name
        self.names.append(name)
        request = self._sim.clients.request(f"submit {name}")
        two_steps = self._rng.random() < 0.2
        count = 1
        if self._lots is not None and not two_steps and self._lots.random() < 0.4:
            count = self.asked[name] = self._lots.randint(2, 5)
        ids: list[int] = []

        async def submit(head: Any) -> int:
            if not two_steps:
                ids[:] = await head.submit_jobs(
                    ANN, [new] * count, request, validate_only=False
                )
                return int(ids[0])
            view = await head.create_job(ANN, new, request, validate_only=False)
            return int(view.job_id)

        try:
            job_id = await self._sim.clients.call(f"submit {name}", submit)
        except Unanswered:
            return
        except HpcError:
            self.refused.add(name)
            return
        self.numbers[name] = job_id
        if count > 1:
            self.lots[job_id] = ids
        self._sim.story.tell(f"client: {name} is job {job_id}")
        if two_steps:
            second = self._sim.clients.request(f"submit draft {name}")
            await self._try(
                f"submit draft {job_id}",
                lambda head: head.submit_job(ANN, job_id, second),
            )

    def meddle_with(self, die: random.Random) -> Callable[[int], Awaitable[None]]:
        """Return something that people do with one of many jobs."""
        some = (self.cancel, self.force, self.hold, self.modify, self.look)
        return die.choice(some)

    # Meddling

    async def _meddle(self) -> None:
        await asyncio.sleep(self._rng.random() * self._sim.size.meddle_s)
        action = self._rng.choice(self.actions)
        if not self.numbers:
            return
        name = self._rng.choice(list(self.numbers))
        await action(self.numbers[name])

    async def _try(self, what: str, operation: Any) -> bool:
        """Make a call; return whether it was done."""
        try:
            await self._sim.clients.call(what, operation)
        except (HpcError, Unanswered):
            return False
        return True

    def request(self, what: str) -> Any:
        self._count += 1
        return self._sim.clients.request(f"{what} {self._count}")

    async def cancel(self, job_id: int) -> None:
        await self.cancel_all([job_id], Stop(message="enough"))

    async def force(self, job_id: int) -> None:
        await self.cancel_all([job_id], Stop(force=True))

    async def cancel_all(self, ids: list[int], stop: Stop) -> None:
        """Cancel jobs in one call; what was done before a refusal stays."""
        since, request = self._sim.checks.durable, self.request("cancel")
        force = " by force" if stop.force else ""
        if await self._try(
            f"cancel {ids}{force}",
            lambda head: head.cancel_jobs(ANN, ids, stop, request),
        ):
            for one in ids:
                self.acked.append(("cancel", one))
                self._sim.checks.canceled(one, since)

    async def _cancel_lot(self, job_id: int) -> None:
        """Cancel equal jobs in one call."""
        ids = self.lots.get(job_id) or next(iter(self.lots.values()), [])
        if ids:
            await self.cancel_all(ids, Stop(message="enough of these"))

    async def _requeue(self, job_id: int) -> None:
        request = self.request("requeue")
        self.meddled.add(job_id)
        await self._try(
            f"requeue {job_id}", lambda head: head.requeue_jobs(ANN, [job_id], request)
        )

    async def _finish(self, job_id: int) -> None:
        request = self.request("finish")
        stop = Stop(graceful=self._rng.random() < 0.5)
        await self._try(
            f"finish {job_id}",
            lambda head: head.finish_jobs(ANN, [job_id], stop, request),
        )

    async def _cancel_task(self, job_id: int) -> None:
        request = self.request("cancel task")
        stop = Stop(force=self._rng.random() < 0.3)
        await self._try(
            f"cancel task {job_id}.1",
            lambda head: head.cancel_tasks(ANN, job_id, [(1, 0)], stop, request),
        )

    async def _requeue_task(self, job_id: int) -> None:
        request = self.request("requeue task")
        self.meddled.add(job_id)
        await self._try(
            f"requeue task {job_id}.1",
            lambda head: head.requeue_tasks(ANN, job_id, [(1, 0)], request),
        )

    async def hold(self, job_id: int) -> None:
        hold, release = self.request("hold"), self.request("release")
        await self._try(
            f"hold {job_id}", lambda head: head.hold_jobs(ANN, [job_id], None, hold)
        )
        await asyncio.sleep(self._rng.random() * 30)
        await self._try(
            f"release {job_id}",
            lambda head: head.release_jobs(ANN, [job_id], release),
        )

    async def _wait(self, job_id: int) -> None:
        try:
            view = await self._sim.clients.once(
                lambda head: head.wait_job(ANN, job_id, 15.0)
            )
        except (HpcError, Unanswered):
            return
        self._sim.story.tell(f"client: waited for {job_id}: {view.state.label}")

    async def _offline(self, job_id: int) -> None:
        name = self._rng.choice(self._sim.nodes).name
        request = self.request("offline")
        drain = self._rng.random() < 0.5
        await self._try(
            f"offline {name}",
            lambda head: head.offline_nodes(
                ROOT, [name], request, drain=drain, reason="test"
            ),
        )
        await asyncio.sleep(self._rng.random() * 60)
        await self.online(name)

    async def online(self, name: str) -> None:
        request = self.request("online")
        await self._try(
            f"online {name}", lambda head: head.online_nodes(ROOT, [name], request)
        )

    async def _add_tasks(self, job_id: int) -> None:
        request = self.request("add")
        tasks = [self.kinds.task() for _ in range(2)]
        await self._try(
            f"add tasks to {job_id}",
            lambda head: head.add_tasks(ANN, job_id, tasks, request, submit=True),
        )

    async def modify(self, job_id: int) -> None:
        request = self.request("modify")
        edit = Edit(changes={"priority": self._rng.choice((500, 2000, 3500))})
        await self._try(
            f"modify {job_id}",
            lambda head: head.modify_job(ANN, job_id, edit, request),
        )

    async def _forget(self, job_id: int) -> None:
        request = self.request("forget")
        self.forgotten.add(job_id)  # perhaps: the answer may never come
        await self._try(
            f"forget {job_id}", lambda head: head.forget_jobs(ANN, [job_id], request)
        )

    async def look(self, job_id: int) -> None:
        async def look(head: Any) -> Any:
            await head.get_job(ANN, job_id, full=True)
            return await head.explain(ANN, job_id, None)

        await self._try(f"look at {job_id}", look)

    async def _trespass(self, job_id: int) -> None:
        """Meddle with a job of somebody else's: it has to be refused (I13)."""
        request = self.request("trespass")
        calls = (
            lambda head: head.cancel_jobs(BOB, [job_id], Stop(), request),
            lambda head: head.requeue_jobs(BOB, [job_id], request),
            lambda head: head.forget_jobs(BOB, [job_id], request),
            lambda head: head.hold_jobs(BOB, [job_id], None, request),
            lambda head: head.offline_nodes(
                BOB, ["n0"], request, drain=True, reason=""
            ),
        )
        what = f"trespass on {job_id}"
        if await self._try(what, self._rng.choice(calls)):
            self._sim.checks.fail(f"I13: {what} was done")

    async def _template(self, job_id: int) -> None:
        """Change a template; each change raises its revision by one."""
        request = self.request("template")
        template = Template(name=TEMPLATE, description=request.request_id)
        self.templates_sent += 1
        self.templates_kept += await self._try(
            "set template",
            lambda head: head.set_template(ROOT, template, request, create_only=False),
        )

    # The end

    async def let_go(self) -> None:
        """Let everything end that waits for its user."""
        for job_id, job in list(self._sim.site.state.jobs.items()):
            if job.row.state == JobState.CONFIGURING:
                await self.cancel(job_id)
            elif job.row.state == JobState.QUEUED:
                request = self.request("release")
                await self._try(
                    f"release {job_id}",
                    lambda head, one=job_id, it=request: head.release_jobs(
                        ANN, [one], it
                    ),
                )

    async def give_up(self, job_id: int) -> None:
        """Cancel a job that waits for what will never be there."""
        reason = await self._sim.clients.call(
            f"explain {job_id}", lambda head: head.explain(ANN, job_id, None)
        )
        job = self._sim.site.state.jobs.get(job_id)
        waits = job is not None and job.row.state == JobState.QUEUED
        if waits and reason[0] in {"", "None"}:  # it may have started at last
            self._sim.checks.fail(f"I8: job {job_id} waits, and nobody knows why")
        await self.cancel(job_id)
