"""From selectors to ids, and verbs that act on several jobs or tasks in order."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Final, cast

from hpcsched.cli.problems import ProblemError, note
from hpcsched.cli.selectors import LAST, Chosen, Named
from hpcsched.common.errors import HpcError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence

    from hpcsched.api.v1 import job_pb2
    from hpcsched.cli.selectors import Selector, TaskName
    from hpcsched.client.api import Api

#: A job that was only chosen may change its state between the list and the verb; then
#: it is left out, as it would have been a moment later.
_STATE_CHANGED: Final = frozenset(
    {
        "JOB_NOT_FOUND",
        "INVALID_CANCEL_JOB_STATE",
        "JOB_NOT_CONFIGURABLE",
        "INVALID_OPERATION",
    }
)

#: Ids in one call; a longer list goes in several, in order.
BATCH: Final = 10_000


@dataclass(frozen=True, slots=True)
class Pick:
    """A job to act on; ``named`` if it was written out."""

    job_id: int
    named: bool


async def last_job(client: Api) -> int:
    """Return the id of the caller's newest job.

    Raises:
        ProblemError: there is none.
    """
    page = await client.jobs.list(mine=True, limit=1)
    if not page.items:
        owner = (await client.cluster.info()).user
        raise ProblemError(
            "JOB_NOT_FOUND", "you have no job", code="NOT_FOUND", user=owner
        )
    return page.items[0].id


async def job_id_of(client: Api, job: int) -> int:
    """Return the id of a job, which may have been called ``last``."""
    return await last_job(client) if job == LAST else job


async def pick_jobs(
    client: Api, selectors: Iterable[Selector], allowed: Collection[int]
) -> Sequence[Pick]:
    """Return the jobs that selectors name and choose, in the order of a command line.

    Args:
        client: To the cluster.
        selectors: As given.
        allowed: States in which the verb can act on a job.
    """
    picks: list[Pick] = []
    for selector in selectors:
        if isinstance(selector, Named):
            picks.append(Pick(await job_id_of(client, selector.job_id), named=True))
        else:
            found = await _choose(client, selector, allowed)
            picks.extend(Pick(job_id, named=False) for job_id in found)
    named = {pick.job_id for pick in picks if pick.named}
    seen: set[int] = set()
    result: list[Pick] = []
    for pick in picks:
        if pick.named or (pick.job_id not in named and pick.job_id not in seen):
            result.append(pick)
        seen.add(pick.job_id)
    if not result:
        note("no job matches")
    return result


async def _choose(
    client: Api, chosen: Chosen, allowed: Collection[int]
) -> Sequence[int]:
    states = [s for s in sorted(allowed) if not chosen.states or s in chosen.states]
    if not states:
        return ()
    page = await client.jobs.list(
        states=as_job_states(states),
        mine=True,
        labels=chosen.labels,
        min_id=chosen.first,
        max_id=chosen.last,
        ascending=True,
    )
    return [job.id for job in page.items]


def as_job_state(number: int) -> job_pb2.Job.State.ValueType:
    """Return a number as a state of the API, for the type checker."""
    return cast("job_pb2.Job.State.ValueType", number)


def as_job_states(numbers: Iterable[int]) -> list[job_pb2.Job.State.ValueType]:
    """Return numbers as states of the API."""
    return [as_job_state(number) for number in numbers]


class StoppedError(Exception):
    """A verb on several jobs or tasks stopped at its first refusal.

    Attributes:
        refusal: Why.
        done: What it had acted on before, in order.
    """

    def __init__(self, refusal: HpcError, done: Sequence[int]) -> None:
        self.refusal = refusal
        self.done = done
        super().__init__(str(refusal))


async def act_on_jobs(
    picks: Sequence[Pick],
    act: Callable[[Sequence[int]], Awaitable[object]],
    tell: Callable[[int, int], None] = lambda _done, _all: None,
) -> Sequence[int]:
    """Carry out a plural call; return the ids that it acted on, in order.

    Args:
        picks: Which jobs.
        act: The call. It stops at the first refusal, and says in the metadata ``done``
            how many it had acted on before (lifecycle.md 4.3).
        tell: Called before each batch with how many of how many jobs are done.

    Raises:
        StoppedError: at the first refusal of a job that was named, or of any for
            another reason than its state.
    """
    left = list(picks)
    done: list[int] = []
    while left:
        tell(len(picks) - len(left), len(picks))
        batch = [pick.job_id for pick in left[:BATCH]]
        try:
            await act(batch)
        except HpcError as refusal:
            count = _done_count(refusal, len(batch))
            done.extend(batch[:count])
            skip = left[count]
            if skip.named or refusal.reason not in _STATE_CHANGED:
                raise StoppedError(refusal, done) from None
            del left[: count + 1]
        else:
            done.extend(batch)
            del left[:BATCH]
    return done


def _done_count(refusal: HpcError, size: int) -> int:
    text = refusal.facts.get("done", "0")
    count = int(text) if text.isdecimal() else 0
    return min(count, size - 1)


async def act_on_tasks(
    client: Api,
    names: Sequence[TaskName],
    act: Callable[[int, Sequence[TaskName]], Awaitable[object]],
) -> Sequence[TaskName]:
    """Carry out a call on tasks, job by job in the order given.

    Raises:
        StoppedTasksError: at the first refusal.
    """
    done: list[TaskName] = []
    for job, group in groupby(names, key=lambda name: name.job_id):
        job_id = await job_id_of(client, job)
        batch = [type(one)(job_id, one.task_id, one.instance_id) for one in group]
        try:
            await act(job_id, batch)
        except HpcError as refusal:
            done.extend(batch[: _done_count(refusal, len(batch))])
            raise StoppedTasksError(refusal, done) from None
        done.extend(batch)
    return done


class StoppedTasksError(Exception):
    """A verb on several tasks stopped at its first refusal; see ``StoppedError``."""

    def __init__(self, refusal: HpcError, done: Sequence[TaskName]) -> None:
        self.refusal = refusal
        self.done = done
        super().__init__(str(refusal))
