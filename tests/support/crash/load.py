"""Clients that submit, cancel, requeue and change jobs, and write down what they saw.

Each works on jobs of its own, one call after the other, so that what a call can have
met is known. Every call has a request id and is repeated with it for as long as nobody
answers; now and then a client loses patience, and asks again or leaves it open.
"""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hpcsched.api.v1 import job_pb2, template_service_pb2
from hpcsched.client import AsyncClient, Patience
from hpcsched.common.clock import SystemClock
from hpcsched.common.errors import HpcError
from tests.support.crash import work
from tests.support.history.model import ACKED, REFUSED, UNKNOWN, Call

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from hpcsched.client import Target

#: Longer than any outage of a round.
PATIENCE = Patience(call_s=120.0, connect_s=120.0)

#: A call that nobody repeats is not known to have had an effect.
NO_ANSWER = frozenset({"HEAD_UNREACHABLE", "OUTCOME_UNKNOWN", "HEAD_STOPPING"})

LIVE_JOBS = 5

VERBS = (
    *("submit",) * 8,
    *("cancel",) * 2,
    *("force",),
    *("requeue",) * 2,
    *("requeue_tasks",),
    *("modify",),
    *("add",) * 2,
    *("finish",),
    *("hold",),
    *("set",),
    *("bulk",) * 2,
    *("template",),
    *("drain",),
)

#: Equal jobs of one call, of which some go ahead to a node.
BULK = (5, 40)

#: A parameter that changes nothing of what the rounds are about.
PARAMETER = "TTLCompletedJobs"

#: A template that jobs are submitted with once it is there; it asks nothing of them.
TEMPLATE = "crash"
TEMPLATE_NAME = f"template {TEMPLATE}"


class Loader:
    """One client.

    Attributes:
        calls: What it did.
        forgotten: Jobs whose records were deleted for certain.
        refused: Deletions that were refused, though nothing stands against them.
    """

    def __init__(
        self,
        name: str,
        target: Target,
        place: Path,
        chance: random.Random,
        *,
        node_loss: str = "NODE_LOSS_UNSPECIFIED",
    ) -> None:
        self.name = name
        self.calls: list[Call] = []
        self.forgotten: set[int] = set()
        self.refused: list[str] = []
        self._client = AsyncClient(target, patience=PATIENCE)
        self._place = place
        self._node_loss = job_pb2.NodeLoss.Value(node_loss)
        self._chance = chance
        self._jobs: list[int] = []
        self._held: set[int] = set()
        self._has_template = False
        self._clock = SystemClock()

    async def run(self, seconds: float, parameters: bool) -> None:
        """Make calls until the time is over; then nothing is held any more."""
        end = self._clock.boot() + seconds
        while self._clock.boot() < end:
            verb = self._chance.choice(VERBS)
            if verb in ("set", "template", "drain") and not parameters:
                verb = "submit"
            if not self._jobs and verb not in ("set", "template", "drain", "bulk"):
                verb = "submit"
            if verb == "submit" and len(self._jobs) >= LIVE_JOBS:
                self._jobs.pop(0)  # left to itself
            await getattr(self, f"_{verb}")()
            await asyncio.sleep(self._chance.uniform(0, 0.3))
        for job_id in sorted(self._held):
            await self._call(
                "release",
                lambda i, n=job_id: self._api.release([n], request_id=i),  # type: ignore[misc]
            )

    async def close(self) -> None:
        await self._client.connection.close()

    @property
    def _api(self) -> Any:
        return self._client.jobs

    async def _call(
        self,
        verb: str,
        call: Callable[[str], Awaitable[Any]],
        *,
        job_id: int = 0,
        name: str = "",
        **facts: Any,
    ) -> Any:
        """Make a call with a request id of its own; return its answer, if any."""
        request_id = str(uuid.UUID(int=self._chance.getrandbits(128), version=4))
        sent = self._clock.boot()
        outcome, reason, answer = UNKNOWN, "", None
        patience = None
        certain = ("submit_again", "release", "online")
        if verb not in certain and self._chance.random() < 0.1:
            patience = self._chance.uniform(0.0, 0.05)
        while True:
            try:
                async with asyncio.timeout(patience):
                    answer = await call(request_id)
                outcome = ACKED
            except TimeoutError:
                if self._chance.random() < 0.7:
                    patience = None
                    continue
            except HpcError as error:
                reason = error.reason
                facts["why"] = repr(error)
                outcome = UNKNOWN if reason in NO_ANSWER else REFUSED
            break
        if verb == "submit" and answer:
            job_id = answer[0]
        if verb == "add" and answer:
            facts["task_ids"] = list(answer)
        self.calls.append(
            Call(
                request_id=request_id,
                verb=verb,
                job_id=job_id,
                name=name,
                outcome=outcome,
                reason=reason,
                sent=sent,
                answered=self._clock.boot(),
                facts=facts,
            )
        )
        return answer

    def _one(self) -> int:
        return self._chance.choice(self._jobs)

    async def _submit(self) -> None:
        name = f"{self.name}-{len(self.calls)}"
        spec = work.random_job(self._place, name, self._chance)
        spec.node_loss = self._node_loss
        if self._has_template and self._chance.random() < 0.5:
            spec.job_template = TEMPLATE
        answer = await self._call(
            "submit",
            lambda i: self._api.submit_all([spec], request_id=i),
            name=name,
            sizes=work.sizes(spec),
        )
        if answer:
            self._jobs.append(answer[0])

    async def _bulk(self) -> None:
        """Submit equal jobs in one call: all of them are there, or none."""
        name = f"{self.name}-{len(self.calls)}"
        spec = work.job(name)
        spec.tasks.append(work.task(self._place, "quick", self._chance.randrange(30)))
        spec.node_loss = self._node_loss
        count = self._chance.randint(*BULK)
        answer = await self._call(
            "bulk",
            lambda i: self._api.submit_all([spec] * count, request_id=i),
            name=name,
        )
        call = self.calls.pop()
        for number in range(count):
            one = replace(
                call,
                verb="submit",
                request_id=f"{call.request_id} {number}",
                job_id=answer[number] if answer else 0,
                facts={"sizes": [1]},
            )
            self.calls.append(one)
        if answer:
            self._jobs.append(self._chance.choice(answer))

    async def _template(self) -> None:
        value = f"by {self.name}, {len(self.calls)}"
        template = template_service_pb2.JobTemplate(name=TEMPLATE, description=value)
        await self._call(
            "set",
            lambda i: self._client.templates.set(template, request_id=i),
            name=TEMPLATE_NAME,
            value=value,
        )
        self._has_template |= self.calls[-1].outcome == ACKED

    async def _drain(self) -> None:
        """Take a node out after what runs there, and let it take work again."""
        nodes = [node.name for node in (await self._client.nodes.list()).items]
        name = self._chance.choice(nodes)
        await self._call(
            "drain",
            lambda i: self._client.nodes.offline([name], drain=True, request_id=i),
        )
        await asyncio.sleep(self._chance.uniform(0, 0.4))
        await self._call(
            "online", lambda i: self._client.nodes.online([name], request_id=i)
        )

    async def _cancel(self, *, force: bool = False) -> None:
        job_id = self._one()
        message = f"by {self.name}, {len(self.calls)}"
        await self._call(
            "cancel",
            lambda i: self._api.cancel(
                [job_id], message=message, force=force, request_id=i
            ),
            job_id=job_id,
            message=message,
            force=force,
        )

    async def _force(self) -> None:
        await self._cancel(force=True)

    async def _finish(self) -> None:
        job_id = self._one()
        await self._call(
            "finish",
            lambda i: self._api.finish([job_id], request_id=i),
            job_id=job_id,
        )

    async def _requeue(self) -> None:
        job_id = self._one()
        await self._call(
            "requeue",
            lambda i: self._api.requeue([job_id], request_id=i),
            job_id=job_id,
        )

    async def _requeue_tasks(self) -> None:
        job_id = self._one()
        tasks = await self._client.tasks.list(job_id, elements=True, limit=50)
        ended = [t for t in tasks.items if t.v1_status in ("Failed", "Cancelled")]
        if not ended:
            return
        from hpcsched.client.tasks import ref  # noqa: PLC0415 - one use

        some = self._chance.sample(ended, min(len(ended), 3))
        refs = [ref(t.task_id, t.instance_id) for t in some]
        await self._call(
            "requeue_tasks",
            lambda i: self._client.tasks.requeue(job_id, refs, request_id=i),
            job_id=job_id,
        )
        if self.calls[-1].outcome == REFUSED and len(refs) > 1:
            # It ends at the first refusal; what came before that stays queued.
            self.calls[-1] = replace(self.calls[-1], outcome=UNKNOWN)

    async def _modify(self) -> None:
        job_id = self._one()
        priority = self._chance.randrange(4000)
        spec = job_pb2.JobSpec(priority=priority)
        await self._call(
            "modify",
            lambda i: self._api.modify(job_id, spec, fields=["priority"], request_id=i),
            job_id=job_id,
            priority=priority,
        )
        if self.calls[-1].outcome != REFUSED:
            # A job that had ended is Configuring now, also if the answer was lost.
            await self._call(
                "submit_again",
                lambda i: self._api.submit(job_id, request_id=i),
                job_id=job_id,
            )

    async def _add(self) -> None:
        job_id = self._one()
        count = self._chance.randint(1, 3)
        value = self._chance.randrange(30)
        tasks = [work.task(self._place, "quick", value) for _ in range(count)]
        await self._call(
            "add",
            lambda i: self._client.tasks.add(job_id, tasks, submit=True, request_id=i),
            job_id=job_id,
            sizes=[1] * count,
        )

    async def _hold(self) -> None:
        job_id = self._one()
        self._held.add(job_id)
        await self._call(
            "hold", lambda i: self._api.hold([job_id], request_id=i), job_id=job_id
        )
        await asyncio.sleep(self._chance.uniform(0, 0.2))
        await self._call(
            "release",
            lambda i: self._api.release([job_id], request_id=i),
            job_id=job_id,
        )

    async def forget(self, job_ids: Sequence[int]) -> None:
        """Delete the records of ended jobs, some at a time."""
        for start in range(0, len(job_ids), 5):
            some = list(job_ids[start : start + 5])
            await self._call(
                "forget",
                lambda i, some=some: self._api.forget(some, request_id=i),  # type: ignore[misc]
            )
            last = self.calls[-1]
            if last.outcome == ACKED:
                self.forgotten.update(some)
            elif last.outcome == REFUSED:
                why = last.facts.get("why", last.reason)
                self.refused.append(f"forget {some}: {why}")

    async def _set(self) -> None:
        value = str(self._chance.randint(1000, 30000))
        await self._call(
            "set",
            lambda i: self._client.cluster.set_parameters(
                {PARAMETER: value}, request_id=i
            ),
            name=PARAMETER,
            value=value,
        )
