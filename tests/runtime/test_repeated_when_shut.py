"""A repeated call gets its first answer also where it would be refused by now.

The head may take no work any more, and what was named may be gone. The answer that was
lost is told all the same; a call that was never made is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hpcsched.common.errors import HpcError
from hpcsched.core.job.commands import TaskEdit
from hpcsched.runtime.front import Edit, Stop
from tests.support.head_bench import ANN, NO_ID, ROOT, a_job, a_task, once

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hpcsched.core.caller import Caller
    from hpcsched.runtime.front import Request
    from tests.support.head_bench import Bench

    Call = Callable[[Bench, int, Caller, Request], Awaitable[Any]]


async def create(bench: Bench, _: int, caller: Caller, request: Request) -> Any:
    made = await bench.head.create_job(caller, a_job(), request, validate_only=False)
    return made.job_id


async def submit(bench: Bench, _: int, caller: Caller, request: Request) -> Any:
    jobs = [a_job(), a_job()]
    head = bench.head
    return list(await head.submit_jobs(caller, jobs, request, validate_only=False))


async def clone(bench: Bench, job_id: int, caller: Caller, request: Request) -> Any:
    return (await bench.head.clone_job(caller, job_id, request)).job_id


async def submit_draft(
    bench: Bench, job_id: int, caller: Caller, request: Request
) -> Any:
    return (await bench.head.submit_job(caller, job_id, request)).job_id


async def submit_drafts(
    bench: Bench, job_id: int, caller: Caller, request: Request
) -> Any:
    ids = [job_id]
    head = bench.head
    return list(await head.submit_drafts(caller, ids, request, validate_only=False))


async def add_tasks(bench: Bench, job_id: int, caller: Caller, request: Request) -> Any:
    tasks = [a_task(), a_task()]
    return list(await bench.head.add_tasks(caller, job_id, tasks, request, submit=True))


async def modify(bench: Bench, job_id: int, caller: Caller, request: Request) -> Any:
    edit = Edit(changes={}, entries={}, tasks=(TaskEdit(task_id=0, spec=a_task()),))
    return list((await bench.head.modify_job(caller, job_id, edit, request)).task_ids)


CALLS: dict[str, Call] = {
    "create": create,
    "submit": submit,
    "clone": clone,
    "submit draft": submit_draft,
    "submit drafts": submit_drafts,
    "add tasks": add_tasks,
    "modify": modify,
}


def unsafe(bench: Bench) -> None:
    bench.world.unsafe = "its store is older than what nodes know"


def full(bench: Bench) -> None:
    bench.world.full = "90 % of the disk are in use"


SHUT = {"SAFE_MODE": unsafe, "DISK_LOW": full}


@pytest.mark.parametrize("shut", SHUT)
@pytest.mark.parametrize("call", CALLS)
async def test_a_head_that_takes_no_work_tells_the_first_answer_again(
    bench: Bench, call: str, shut: str
) -> None:
    draft = await create(bench, 0, ANN, NO_ID)
    first = await CALLS[call](bench, draft, ANN, once("a"))
    count = len(bench.world.jobs)
    SHUT[shut](bench)

    assert await CALLS[call](bench, draft, ANN, once("a")) == first
    with pytest.raises(HpcError) as refusal:
        await CALLS[call](bench, draft, ANN, once("b"))

    assert refusal.value.reason == shut
    assert len(bench.world.jobs) == count


async def test_users_who_may_make_no_jobs_any_more_are_told_what_they_made(
    bench: Bench,
) -> None:
    first = await submit(bench, 0, ANN, once("a"))
    values = {"AllowNewUserConnections": "False"}
    await bench.head.set_parameters(ROOT, values, NO_ID)

    assert await submit(bench, 0, ANN, once("a")) == first
    with pytest.raises(HpcError, match="AllowNewUserConnections"):
        await submit(bench, 0, ANN, once("b"))


async def command(bench: Bench, nodes: list[str], request: Request) -> int:
    task = a_task()
    made = await bench.head.create_command(ROOT, nodes, task, request)
    return int(made.job_id)


async def test_a_command_is_told_again_although_its_node_was_forgotten(
    bench: Bench,
) -> None:
    agent = await bench.node()
    first = await command(bench, ["n1"], once("a"))
    await bench.until_state(first, "Finished")
    agent.retry = None
    agent.cut()
    await bench.clock.advance(120)
    await bench.head.offline_nodes(ROOT, ["n1"], NO_ID, drain=False, reason="")
    await bench.head.forget_nodes(ROOT, ["n1"], NO_ID)

    assert await command(bench, ["n1"], once("a")) == first
    with pytest.raises(HpcError) as refusal:
        await command(bench, ["n1"], once("b"))

    assert refusal.value.reason == "NODE_NOT_FOUND"


async def test_a_command_that_could_never_run_is_refused(bench: Bench) -> None:
    await bench.node()
    unsafe(bench)

    with pytest.raises(HpcError) as refusal:
        await command(bench, ["n1"], once("a"))

    assert refusal.value.reason == "SAFE_MODE"


async def test_an_answer_is_told_again_while_the_head_stops(bench: Bench) -> None:
    first = await submit(bench, 0, ANN, once("a"))
    bench.world.stopping = True

    assert await submit(bench, 0, ANN, once("a")) == first
    with pytest.raises(HpcError) as refusal:
        await submit(bench, 0, ANN, once("b"))

    assert refusal.value.reason == "HEAD_STOPPING"
    await bench.head.cancel_jobs(ANN, first, Stop(), NO_ID)
