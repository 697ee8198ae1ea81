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
from tests.support.sim.jobkinds import JobKinds

if TYPE_CHECKING:
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
        self.kinds = JobKinds(self._rng)
        self.actions = [
            action
            for action in (
                self._cancel,
                self._force,
                self._requeue,
                self._finish,
                self._cancel_task,
                self._requeue_task,
                self._hold,
                self._wait,
                self._offline,
                self._add_tasks,
                self._modify,
                self._forget,
                self._look,
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
        # By a die of their own: what a seed tells otherwise stays as it was.
        self._die = random.Random(f"crowds of {sim.seed}")
        self._crowds = self._die.choice((0, 0, 1, 3))
        self._flock_die = random.Random(f"flocks of {sim.seed}")
        self._flocks = self._flock_die.choice((0, 0, 1, 3))

    async def run(self, seconds: float) -> None:
        """Act for so long."""
        sim = self._sim
        end = sim.loop.time() + seconds
        jobs = self._rng.randint(4, 24)
        pause = seconds / jobs
        async with asyncio.TaskGroup() as tasks:
            for _ in range(self._crowds):
                tasks.create_task(self._crowd(seconds))
            for _ in range(self._flocks):
                tasks.create_task(self._flock(seconds))
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
        request = self._request("parameters")
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

    async def _crowd(self, seconds: float) -> None:
        """Submit many small jobs at once, of which some wait on nodes for a core."""
        await asyncio.sleep(self._die.random() * seconds)
        new = self.kinds.crowd(self._die)
        names = [one.spec.name for one in new]
        self.names += names
        request = self._sim.clients.request(f"submit {names[0]} and more")
        try:
            ids = await self._sim.clients.call(
                f"submit {names[0]} and more",
                lambda head: head.submit_jobs(ANN, new, request, validate_only=False),
            )
        except Unanswered:
            return
        except HpcError:
            self.refused.update(names)
            return
        self.numbers.update(zip(names, map(int, ids), strict=True))
        for job_id in self._die.sample(list(ids), 3):
            await asyncio.sleep(self._die.random() * 0.02)
            action = self._die.choice(
                (self._cancel, self._force, self._hold, self._modify, self._look)
            )
            await action(int(job_id))

    async def _flock(self, seconds: float) -> None:
        """Submit equal small jobs in one call; they pass nodes asleep, many at once."""
        die = self._flock_die
        await asyncio.sleep(die.random() * seconds)
        new = self.kinds.equal(die)
        name, count = new.spec.name, die.randint(10, 60)
        self.names.append(name)
        self.asked[name] = count
        request = self._sim.clients.request(f"submit {name}")
        try:
            ids = await self._sim.clients.call(
                f"submit {name}",
                lambda head: head.submit_jobs(
                    ANN, [new] * count, request, validate_only=False
                ),
            )
        except Unanswered:
            return
        except HpcError:
            self.refused.add(name)
            return
        self.numbers[name] = int(ids[0])
        self.lots[int(ids[0])] = list(map(int, ids))
        for job_id in die.sample(list(ids), die.choice((0, 1, 4))):
            await asyncio.sleep(die.random() * 0.03)
            actions = (self._cancel, self._force, self._hold, self._modify, self._look)
            await die.choice(actions)(int(job_id))

    # Meddling

    async def _meddle(self) -> None:
        await asyncio.sleep(self._rng.random() * 60)
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

    def _request(self, what: str) -> Any:
        self._count += 1
        return self._sim.clients.request(f"{what} {self._count}")

    async def _cancel(self, job_id: int) -> None:
        request = self._request("cancel")
        stop = Stop(message="enough")
        if await self._try(
            f"cancel {job_id}",
            lambda head: head.cancel_jobs(ANN, [job_id], stop, request),
        ):
            self.acked.append(("cancel", job_id))
            self._sim.checks.canceled(job_id)

    async def _force(self, job_id: int) -> None:
        request = self._request("force")
        stop = Stop(force=True)
        if await self._try(
            f"cancel {job_id} by force",
            lambda head: head.cancel_jobs(ANN, [job_id], stop, request),
        ):
            self.acked.append(("cancel", job_id))
            self._sim.checks.canceled(job_id)

    async def _cancel_lot(self, job_id: int) -> None:
        """Cancel equal jobs in one call; what was done before a refusal stays."""
        ids = self.lots.get(job_id) or next(iter(self.lots.values()), [])
        if not ids:
            return
        request = self._request("cancel lot")
        stop = Stop(message="enough of these")
        if await self._try(
            f"cancel {ids}", lambda head: head.cancel_jobs(ANN, ids, stop, request)
        ):
            for one in ids:
                self.acked.append(("cancel", one))
                self._sim.checks.canceled(one)

    async def _requeue(self, job_id: int) -> None:
        request = self._request("requeue")
        self.meddled.add(job_id)
        await self._try(
            f"requeue {job_id}", lambda head: head.requeue_jobs(ANN, [job_id], request)
        )

    async def _finish(self, job_id: int) -> None:
        request = self._request("finish")
        stop = Stop(graceful=self._rng.random() < 0.5)
        await self._try(
            f"finish {job_id}",
            lambda head: head.finish_jobs(ANN, [job_id], stop, request),
        )

    async def _cancel_task(self, job_id: int) -> None:
        request = self._request("cancel task")
        stop = Stop(force=self._rng.random() < 0.3)
        await self._try(
            f"cancel task {job_id}.1",
            lambda head: head.cancel_tasks(ANN, job_id, [(1, 0)], stop, request),
        )

    async def _requeue_task(self, job_id: int) -> None:
        request = self._request("requeue task")
        self.meddled.add(job_id)
        await self._try(
            f"requeue task {job_id}.1",
            lambda head: head.requeue_tasks(ANN, job_id, [(1, 0)], request),
        )

    async def _hold(self, job_id: int) -> None:
        hold, release = self._request("hold"), self._request("release")
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
        request = self._request("offline")
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
        request = self._request("online")
        await self._try(
            f"online {name}", lambda head: head.online_nodes(ROOT, [name], request)
        )

    async def _add_tasks(self, job_id: int) -> None:
        request = self._request("add")
        tasks = [self.kinds.task() for _ in range(2)]
        await self._try(
            f"add tasks to {job_id}",
            lambda head: head.add_tasks(ANN, job_id, tasks, request, submit=True),
        )

    async def _modify(self, job_id: int) -> None:
        request = self._request("modify")
        edit = Edit(changes={"priority": self._rng.choice((500, 2000, 3500))})
        await self._try(
            f"modify {job_id}",
            lambda head: head.modify_job(ANN, job_id, edit, request),
        )

    async def _forget(self, job_id: int) -> None:
        request = self._request("forget")
        self.forgotten.add(job_id)  # perhaps: the answer may never come
        await self._try(
            f"forget {job_id}", lambda head: head.forget_jobs(ANN, [job_id], request)
        )

    async def _look(self, job_id: int) -> None:
        async def look(head: Any) -> Any:
            await head.get_job(ANN, job_id, full=True)
            return await head.explain(ANN, job_id, None)

        await self._try(f"look at {job_id}", look)

    async def _trespass(self, job_id: int) -> None:
        """Meddle with a job of somebody else's: it has to be refused (I13)."""
        request = self._request("trespass")
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
        request = self._request("template")
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
                await self._cancel(job_id)
            elif job.row.state == JobState.QUEUED:
                request = self._request("release")
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
        if reason[0] in {"", "None"}:
            self._sim.checks.fail(f"I8: job {job_id} waits, and nobody knows why")
        await self._cancel(job_id)
