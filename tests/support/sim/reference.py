"""A short run of which every moment is to be a head's last: each kind of call, once.

In the order of a working day: templates and pools, jobs of many kinds, floods of equal
ones that wait on nodes, changes and cancels of all of them, drafts, preemption, a node
that drains, one that is lost, a backup, and the purge of what is old.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from hpcsched.core.job.edits import TaskEdit
from hpcsched.core.job.spec import JobSpec
from hpcsched.core.job.states import NodeLoss
from hpcsched.core.task.spec import TaskSpec
from hpcsched.core.task.states import TaskType
from hpcsched.core.template.template import Rule, Template
from hpcsched.runtime.front import Edit, Exclusion, NewJob, Stop
from tests.support.head_bench import ANN, ROOT
from tests.support.sim.stores import SQLITE
from tests.support.sim.workload import Workload

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Longer than a node may be silent with the shortest heartbeat, seconds.
LOST_S = 25.0


def _task(words: str, **fields: Any) -> TaskSpec:
    return TaskSpec(arguments=("live", words), **fields)


class Reference(Workload):
    """See the module."""

    async def set_up(self) -> None:
        values = {"HeartbeatInterval": "5", "TaskCancelGracePeriod": "2"}
        self._sim.heartbeat_s = 5
        request = self.request("parameters")
        await self._call(
            "set parameters", lambda head: head.set_parameters(ROOT, values, request)
        )

    async def run(self, seconds: float) -> None:
        for part in (
            *(self._shapes, self._kinds, self._floods, self._changes, self._ends),
            *(self._drafts, self._preempts, self._nodes, self._last),
        ):
            await part()

    async def _call(self, what: str, operation: Any) -> Any:
        return await self.extras.attempt(what, operation)

    async def _submit(self, name: str, *tasks: TaskSpec, **spec: Any) -> int:
        (job_id, *_) = await self._many(name, 1, *tasks, **spec) or [0]
        return job_id

    async def _many(
        self, name: str, count: int, *tasks: TaskSpec, **spec: Any
    ) -> list[int]:
        new = NewJob(spec=JobSpec(name=name, **spec), tasks=tasks)
        return await self.extras.submit_all([new] * count)

    async def _shapes(self) -> None:
        """Templates, pools, and jobs of them."""
        first, second, third = (self.request("shapes") for _ in range(3))
        template = Template(name="short", rules={"runtime": Rule(default="60")})
        await self._call(
            "set template",
            lambda head: head.set_template(ROOT, template, first, create_only=False),
        )
        await self._call(
            "enable pools",
            lambda head: head.set_parameters(ROOT, {"EnablePools": "True"}, third),
        )
        await self._call(
            "create pool", lambda head: head.create_pool(ROOT, "red", 30, second)
        )
        await self._submit("shaped", _task("quick"), job_template="short", pool="red")

    async def _kinds(self) -> None:
        """Prepared, in an order, swept, a service, one that fails and runs again."""
        prep = _task("quick", type=TaskType.NODE_PREP)
        release = _task("quick", type=TaskType.NODE_RELEASE)
        await self._submit("prepared", _task("quick"), prep, release)
        chain = _task("quick", name="a"), _task("quick", name="b", depends_on=("a",))
        await self._submit("chain", *chain)
        sweep = _task("quick", type=TaskType.PARAMETRIC_SWEEP, end=9)
        await self._submit("sweep", sweep)
        service = _task("short", type=TaskType.SERVICE)
        await self._submit("service", service, runtime=8.0)
        await self._submit("flaky", _task("quick,flaky"), retry_limit=2)
        await asyncio.sleep(3.0)

    async def _floods(self) -> None:
        """Equal jobs: their whole lives, and what is asked of them while they wait."""
        await self._many("quick", 24, _task("quick"))
        ids = await self._many("short", 24, _task("short"))
        requests = [self.request("flood") for _ in range(6)]
        await asyncio.gather(
            self._call("hold", lambda h: h.hold_jobs(ANN, ids[5:8], None, requests[0])),
            self.cancel_all(ids[8:12], Stop(message="enough")),
            self.cancel_all(ids[12:14], Stop(force=True)),
            self._call(
                "finish",
                lambda h: h.finish_jobs(ANN, ids[14:16], Stop(), requests[1]),
            ),
            *(self.modify(one) for one in ids[16:18]),
            self._call(
                "exclude",
                lambda h: h.exclude_nodes(
                    ANN, ids[18], Exclusion(add=("n0",)), requests[2]
                ),
            ),
        )
        await asyncio.sleep(1.0)
        await self._call(
            "release", lambda h: h.release_jobs(ANN, ids[5:8], requests[3])
        )
        await asyncio.sleep(5.0)
        await self._call(
            "requeue", lambda h: h.requeue_jobs(ANN, ids[8:10], requests[4])
        )

    async def _changes(self) -> None:
        """Tasks that are added, changed, canceled, finished and run again."""
        job_id = await self._submit("changed", _task("medium"), _task("medium"))
        requests = [self.request("change") for _ in range(6)]
        more = [_task("quick"), _task("medium")]
        await asyncio.sleep(0.5)
        await self._call(
            "add tasks",
            lambda h: h.add_tasks(ANN, job_id, more, requests[0], submit=True),
        )
        edit = Edit(changes={"priority": 1500}, tasks=(self._edit(),))
        await self._call(
            "modify", lambda h: h.modify_job(ANN, job_id, edit, requests[1])
        )
        await self._call(
            "cancel task",
            lambda h: h.cancel_tasks(ANN, job_id, [(1, 0)], Stop(), requests[2]),
        )
        await self._call(
            "finish task",
            lambda h: h.finish_tasks(ANN, job_id, [(4, 0)], Stop(), requests[3]),
        )
        await self._call(
            "requeue task",
            lambda h: h.requeue_tasks(ANN, job_id, [(1, 0)], requests[4]),
        )

    def _edit(self) -> TaskEdit:
        return TaskEdit(spec=TaskSpec(), task_id=2, changes={"runtime": 30.0})

    async def _ends(self) -> None:
        """Ends of all kinds: with grace, by force, by a limit, at the user's word."""
        deaf = await self._submit("deaf", _task("forever,deaf"))
        slow = await self._submit("slow", _task("forever,slow"))
        done = await self._submit("done", _task("medium"))
        await self._submit("limited", _task("forever"), runtime=4.0)
        requests = [self.request("end") for _ in range(3)]
        await asyncio.sleep(1.0)
        await asyncio.gather(
            self.cancel_all([deaf], Stop(message="enough")),
            self.cancel_all([slow], Stop(force=True)),
            self._call(
                "finish",
                lambda h: h.finish_jobs(ANN, [done], Stop(graceful=True), requests[0]),
            ),
        )
        await asyncio.sleep(5.0)

    async def _drafts(self) -> None:
        soon = self._sim.site.machine.wall() + 20.0
        job_id = await self._submit("draft", _task("short"), hold_until=soon)
        await self.extras.reconsider(job_id)
        requests = [self.request("clone") for _ in range(2)]
        self.asked["draft"] = 2
        made = await self._call(
            "clone", lambda h: h.clone_job(ANN, job_id, requests[0])
        )
        if made is not None:
            await self._call(
                "submit", lambda h: h.submit_job(ANN, made.job_id, requests[1])
            )
        child = {"parent_job_ids": (job_id,)}
        await self._submit("child", _task("quick"), **child)
        later = self._sim.site.machine.wall() + 5.0
        await self._submit("later", _task("quick"), hold_until=later)

    async def _preempts(self) -> None:
        sweep = _task("medium", type=TaskType.PARAMETRIC_SWEEP, end=20)
        await self._submit("low", sweep, priority=0, can_preempt=True)
        await asyncio.sleep(0.5)
        request = self.request("policy")
        values = {"PreemptionType": "Immediate"}
        await self._call("policy", lambda h: h.set_parameters(ROOT, values, request))
        tasks = [_task("short", min_cores=1) for _ in range(3)]
        await self._submit("high", *tasks, priority=4000)
        await asyncio.sleep(2.0)

    async def _nodes(self) -> None:
        """One drains, one is lost with what runs there, and both come back."""
        drained, lost = self._sim.nodes[0], self._sim.nodes[-1]
        sweep = _task("medium", type=TaskType.PARAMETRIC_SWEEP, end=8)
        await self._submit("moved", sweep)
        await self._submit("careful", _task("medium"), node_loss=NodeLoss.HOLD)
        await self._many("waiting", 12, _task("short"))
        request = self.request("offline")
        await self._call(
            "offline",
            lambda h: h.offline_nodes(
                ROOT, [drained.name], request, drain=True, reason="service"
            ),
        )
        await asyncio.sleep(2.0)
        lost.power_off()
        await asyncio.sleep(LOST_S)
        await self.online(drained.name)
        lost.power_on()
        await asyncio.sleep(5.0)

    async def _last(self) -> None:
        """A backup, what is forgotten by name, and by age."""
        disk = self._sim.site.disk
        if disk.kind == SQLITE:
            made = await self._call("back up", lambda h: h.create_backup(ROOT, 1))
            if made is not None:
                disk.look_at_backup(made.name)
        gone = self._ended()[:3]
        self.forgotten.update(gone)
        request = self.request("forget")
        await self._call("forget", lambda h: h.forget_jobs(ANN, gone, request))
        await self.extras.purge()
        await asyncio.sleep(70.0)

    def _ended(self) -> Sequence[int]:
        checks = self._sim.checks
        return [
            one for one in sorted(self._sim.site.state.jobs) if checks.has_ended(one)
        ]
