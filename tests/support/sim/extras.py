"""What some users and administrators do beside: floods, pools, policies, drafts …

Every seed has some of it, by dice of its own (extras of the seed), so that what other
seeds tell stays as it was.
"""

from __future__ import annotations

import asyncio
import dataclasses
import random
import zlib
from typing import TYPE_CHECKING, Any

from hpcsched.common.errors import HpcError
from hpcsched.core.job.spec import DEFAULT_POOL, JobSpec
from hpcsched.core.task.spec import TaskSpec
from hpcsched.core.template.template import Rule, Template
from hpcsched.runtime.front import Edit, Exclusion, NewJob, Stop
from tests.support.head_bench import ANN, ROOT
from tests.support.sim.clients import Unanswered
from tests.support.sim.stores import MEMORY

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.support.sim.simulation import Simulation
    from tests.support.sim.workload import Workload

DAY_S = 86_400.0
OWN = "N"
"""Variable of a task that says which of the jobs of its call it is of."""
STRICT = "strict"
POOLS = ("red", "blue")
POLICIES = {
    "BackfillLookahead": ("0", "1", "1000", "-1"),
    "PreemptionType": ("None", "Graceful", "Immediate"),
    "SchedulingMode": ("Queued", "Balanced"),
    "PreemptionBalancedMode": ("None", "Graceful", "Immediate"),
    "AutomaticGrowthEnabled": ("True", "False"),
    "AutomaticShrinkEnabled": ("True", "False"),
    "GrowByPreemptionEnabled": ("True", "False"),
    "PriorityBias": ("HighBias", "MediumBias", "LowBias"),
    "TaskCancelGracePeriod": ("0", "3", "15"),
}


MEDDLING = (
    *("cancel", "force", "finish", "graceful", "hold", "modify", "requeue"),
    *("configure", "exclude", "forget", "task"),
)


class Extras:
    """See the module.

    Attributes:
        purges: Jobs that had ended may be gone: they were kept long enough.
    """

    def __init__(self, sim: Simulation, workload: Workload) -> None:
        self._sim = sim
        self._work = workload
        self._die = die = random.Random(f"extras of {sim.seed}")
        self.purges = False
        self.themes: list[Callable[[], Awaitable[None]]] = [
            theme
            for theme, chance in (
                (self._flood, 0.4),
                (self._pool, 0.15),
                (self._policy, 0.25),
                (self._later, 0.25),
                (self._draft, 0.25),
                (self._strict, 0.2),
                (self.purge, 0.15),
                (self._back_up, 0.2),
                (self._change_task, 0.2),
            )
            if die.random() < chance
        ]
        self._uses_pools = self._pool in self.themes
        least, more = sim.size.theme_s
        self._pause_s = least + die.random() * more

    async def run(self, seconds: float) -> None:
        """Do what this seed does of it, for so long."""
        async with asyncio.TaskGroup() as tasks:
            for theme in self.themes:
                tasks.create_task(self._again_and_again(theme, seconds))

    async def _again_and_again(
        self, theme: Callable[[], Awaitable[None]], seconds: float
    ) -> None:
        loop = self._sim.loop
        end = loop.time() + seconds
        while True:
            await asyncio.sleep(self._die.expovariate(1 / self._pause_s))
            if loop.time() > end:
                return
            await theme()

    async def attempt(self, what: str, operation: Any) -> Any:
        """Make a call; return its answer, or None where there is none."""
        try:
            return await self._sim.clients.call(what, operation)
        except (HpcError, Unanswered):
            return None

    def _request(self, what: str) -> Any:
        return self._work.request(what)

    def _some_job(self) -> int:
        return self._die.choice([*self._work.numbers.values(), 0])

    # Floods of equal jobs, most of which wait on nodes for a free core

    async def _flood(self) -> None:
        """Submit many equal jobs in one call, and meddle with them at once."""
        die = self._die
        words = die.choice(("quick",) * 4 + ("short", "quick,flaky", "medium"))
        pool = die.choice(POOLS) if self._uses_pools else DEFAULT_POOL
        spec = JobSpec(
            name=self._work.kinds.name("flood"),
            priority=die.choice((2000, 2000, 2000, 1000, 3000)),
            pool=pool,
        )
        task = TaskSpec(arguments=("live", words))
        new = [NewJob(spec=spec, tasks=(task,))] * die.choice(self._sim.size.floods)
        if zlib.crc32(spec.name.encode()) & 1:  # what their tasks get differs
            new = [
                NewJob(
                    spec=spec,
                    tasks=(dataclasses.replace(task, environment={OWN: str(number)}),),
                )
                for number in range(len(new))
            ]
        ids = await self.submit_all(new)
        if not ids:
            return
        async with asyncio.TaskGroup() as tasks:
            for _ in range(die.randint(0, 4)):
                many = die.sample(ids, die.randint(1, len(ids)))
                tasks.create_task(self._meddle(many[:20]))

    async def submit(self, new: NewJob) -> list[int]:
        """Submit a job; return its number, none if it is refused."""
        return await self.submit_all([new])

    async def submit_all(self, new: list[NewJob]) -> list[int]:
        """Submit jobs in one call; return their numbers, none if refused."""
        work, name, count = self._work, new[0].spec.name, len(new)
        work.names.append(name)
        work.asked[name] = count
        request = self._sim.clients.request(f"submit {name}")
        try:
            ids = await self._sim.clients.call(
                f"submit {count} times {name}",
                lambda head: head.submit_jobs(ANN, new, request, validate_only=False),
            )
        except Unanswered:
            return []
        except HpcError:
            work.refused.add(name)
            return []
        found = [int(one) for one in ids]
        work.numbers[name] = found[0]
        work.lots[found[0]] = found
        return found

    async def _meddle(self, ids: list[int]) -> None:
        """Do something with some jobs of one call, most of them within moments."""
        die, work = self._die, self._work
        await asyncio.sleep(die.random() * die.choice((0.005, 0.05, 0.5, 5.0)))
        one = ids[0]
        request, second = self._request("flood"), self._request("flood")
        kind = die.choice(MEDDLING)
        if kind in {"cancel", "force"}:
            await work.cancel_all(ids, Stop(force=kind == "force"))
        elif kind in {"finish", "graceful"}:
            stop = Stop(graceful=kind == "graceful")
            await self.attempt(
                f"{kind} {ids}", lambda head: head.finish_jobs(ANN, ids, stop, request)
            )
        elif kind == "hold":
            await self.attempt(
                f"hold {ids}", lambda head: head.hold_jobs(ANN, ids, None, request)
            )
            await asyncio.sleep(die.random() * 20)
            await self.attempt(
                f"release {ids}", lambda head: head.release_jobs(ANN, ids, second)
            )
        elif kind == "requeue":
            work.meddled.update(ids)
            await self.attempt(
                f"requeue {ids}", lambda head: head.requeue_jobs(ANN, ids, request)
            )
        elif kind == "forget":
            work.forgotten.update(ids)
            await self.attempt(
                f"forget {ids}", lambda head: head.forget_jobs(ANN, ids, request)
            )
        elif kind == "configure":
            await self.reconsider(one)
        else:
            await self._change(kind, one, request)

    async def _change(self, kind: str, one: int, request: Any) -> None:
        die = self._die
        if kind == "exclude":
            nodes = (die.choice(self._sim.nodes).name,)
            await self.attempt(
                f"exclude {nodes} from {one}",
                lambda head: head.exclude_nodes(
                    ANN, one, Exclusion(add=nodes), request
                ),
            )
            await asyncio.sleep(die.random() * 20)
            again = self._request("include")
            await self.attempt(
                f"include {nodes} in {one}",
                lambda head: head.exclude_nodes(ANN, one, Exclusion(clear=True), again),
            )
        elif kind == "task":
            stop = Stop(force=die.random() < 0.3)
            await self.attempt(
                f"cancel task {one}.1",
                lambda head: head.cancel_tasks(ANN, one, [(1, 0)], stop, request),
            )
        else:
            edit = Edit(changes={"priority": die.choice((0, 1500, 4000))})
            await self.attempt(
                f"modify {one}", lambda head: head.modify_job(ANN, one, edit, request)
            )

    # Drafts

    async def reconsider(self, job_id: int) -> None:
        """Make a draft of a queued job, change it, and submit it again."""
        request, second = self._request("configure"), self._request("draft")
        self._work.meddled.add(job_id)
        if await self.attempt(
            f"configure {job_id}",
            lambda head: head.configure_jobs(ANN, [job_id], request),
        ):
            await asyncio.sleep(self._die.random() * 5)
            await self.attempt(
                f"submit draft {job_id}",
                lambda head: head.submit_drafts(
                    ANN, [job_id], second, validate_only=False
                ),
            )

    async def _draft(self) -> None:
        """Take a job back, or clone one."""
        job_id = self._some_job()
        if self._die.random() < 0.5:
            await self.reconsider(job_id)
            return
        request, second = self._request("clone"), self._request("draft")
        row = self._sim.site.state.jobs.get(job_id)
        if row is None:
            return
        name = row.row.name
        self._work.asked[name] = self._work.asked.get(name, 1) + 1
        made = await self.attempt(
            f"clone {job_id}", lambda head: head.clone_job(ANN, job_id, request)
        )
        if made is not None and self._die.random() < 0.8:
            await self.attempt(
                f"submit clone {made.job_id}",
                lambda head: head.submit_job(ANN, made.job_id, second),
            )

    async def _change_task(self) -> None:
        """Change, or finish, a task."""
        job_id, request = self._some_job(), self._request("task")
        if self._die.random() < 0.5:
            edit = Edit(changes={"runtime": 30.0 + self._die.random() * 60.0})
            await self.attempt(
                f"modify task {job_id}.1",
                lambda head: head.modify_task(ANN, job_id, 1, edit, request),
            )
        else:
            await self.attempt(
                f"finish task {job_id}.1",
                lambda head: head.finish_tasks(ANN, job_id, [(1, 0)], Stop(), request),
            )

    # Jobs that wait for a time, for others, or that a template shapes

    async def _later(self) -> None:
        die = self._die
        new = self._work.kinds.draw()
        parent = self._some_job()
        if parent and die.random() < 0.5:
            more: dict[str, Any] = {"parent_job_ids": (parent,)}
        else:
            now = self._sim.site.machine.wall()
            more = {"hold_until": now + die.random() * 60.0}
        spec = dataclasses.replace(new.spec, **more)
        await self.submit(dataclasses.replace(new, spec=spec))

    async def _strict(self) -> None:
        """Change a template with rules, and submit a job of it."""
        die = self._die
        request = self._request("template")
        rules = {
            "priority": Rule(default=str(die.choice((1000, 2000, 3000)))),
            "runtime": Rule(default="120", maximum="600"),
        }
        template = Template(name=STRICT, rules=rules)
        await self.attempt(
            "set strict template",
            lambda head: head.set_template(ROOT, template, request, create_only=False),
        )
        new = self._work.kinds.draw()
        spec = dataclasses.replace(new.spec, job_template=STRICT)
        await self.submit(dataclasses.replace(new, spec=spec))

    # Administrators

    async def _pool(self) -> None:
        """Make pools, change their weights, delete them, and turn them on and off."""
        die = self._die
        name = die.choice(POOLS)
        request, second = self._request("pool"), self._request("pool")
        weight = die.randint(1, 100)
        values = {"EnablePools": die.choice(("True", "True", "False"))}
        await self.attempt(
            f"pools: {values}", lambda head: head.set_parameters(ROOT, values, request)
        )
        await self.attempt(
            f"create pool {name}",
            lambda head: head.create_pool(ROOT, name, weight, second),
        )
        third = self._request("pool")
        if die.random() < 0.2:
            await self.attempt(
                f"delete pool {name}",
                lambda head: head.delete_pool(ROOT, name, third, force=True),
            )
        else:
            await self.attempt(
                f"set pool {name}",
                lambda head: head.set_pool(ROOT, name, weight, third),
            )

    async def _policy(self) -> None:
        """Change how the cluster is run."""
        chosen = self._die.sample(sorted(POLICIES), 3)
        values = {name: self._die.choice(POLICIES[name]) for name in chosen}
        request = self._request("policy")
        await self.attempt(
            f"set {values}", lambda head: head.set_parameters(ROOT, values, request)
        )

    async def _back_up(self) -> None:
        """Make a backup while everybody goes on: it holds one moment of the store."""
        if self._sim.site.disk.kind == MEMORY:
            return
        made = await self.attempt("back up", lambda head: head.create_backup(ROOT, 2))
        if made is not None:
            self._sim.site.disk.look_at_backup(made.name)

    async def purge(self) -> None:
        """Let more than a day go by at once, after which ended jobs are deleted.

        As the answers to old calls are; so nobody may be about to repeat one.
        """
        clients = self._sim.clients
        risky = clients.doubled or clients.lossy or clients.late or clients.impatient
        if self.purges or risky:
            return
        values, request = {"TTLCompletedJobs": "1"}, self._request("ttl")
        await self.attempt(
            "set TTL", lambda head: head.set_parameters(ROOT, values, request)
        )
        while clients.under_way:  # noqa: ASYNC110  it is virtual time
            await asyncio.sleep(0.1)
        self.purges = True
        self._sim.story.tell("more than a day goes by on the head's clock")
        self._sim.site.machine.wall_offset += DAY_S * 1.3
