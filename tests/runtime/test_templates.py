"""Job templates on a head: made, obeyed, durable (api.md 7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hpcsched.common.errors import HpcError
from hpcsched.core.template.template import Rule, Template
from tests.support.head_bench import ANN, BOB, NO_ID, ROOT, a_job, once

if TYPE_CHECKING:
    from tests.support.head_bench import Bench

SHORT = Template(
    name="short",
    users=("ann",),
    rules={"RuntimeSeconds": Rule(default="60", maximum="120")},
)


async def put(bench: Bench, template: Template = SHORT, **how: Any) -> Template:
    how = {"create_only": False, "request": NO_ID, **how}
    request = how.pop("request")
    return await bench.head.set_template(ROOT, template, request, **how)


async def reason_of(call: Any) -> str:
    with pytest.raises(HpcError) as refused:
        await call
    return refused.value.reason


async def spec_of(bench: Bench, job_id: int) -> Any:
    return (await bench.head.get_job(ANN, job_id, full=True)).spec


async def test_a_job_without_a_template_gets_the_default_one(bench: Bench) -> None:
    rule = Rule(default="p", read_only=True)
    await put(bench, Template(name="Default", rules={"project": rule}))

    job_id = await bench.submit(project="mine")

    assert (await spec_of(bench, job_id)).project == "p"
    names = [each.name for each in await bench.head.list_templates(BOB)]
    assert names == ["Default"]


async def test_a_templates_default_and_limit_hold_from_the_next_job_on(
    bench: Bench,
) -> None:
    await put(bench)

    with_default = await bench.submit(job_template="short")
    own = await bench.submit(job_template="short", runtime=90)

    assert (await spec_of(bench, with_default)).runtime == 60
    assert (await spec_of(bench, own)).runtime == 90
    assert (
        await reason_of(bench.submit(job_template="short", runtime=121))
        == "TEMPLATE_VALUE_TOO_LARGE"
    )


async def test_only_its_users_and_administrators_use_a_template(bench: Bench) -> None:
    await put(bench)

    denied = bench.submit(caller=BOB, job_template="short")
    assert await reason_of(denied) == "TEMPLATE_NOT_ALLOWED"
    assert await bench.submit(caller=ROOT, job_template="short")
    unknown = bench.submit(job_template="long")
    assert await reason_of(unknown) == "TEMPLATE_NOT_FOUND"


async def test_a_drafts_values_are_judged_when_it_is_submitted(bench: Bench) -> None:
    new = a_job(job_template="short", runtime=90)
    await put(bench)
    draft = await bench.head.create_job(ANN, new, NO_ID, validate_only=False)
    stricter = Template(name="short", rules={"runtime": Rule(maximum="30")})
    await put(bench, stricter)

    refused = bench.head.submit_job(ANN, draft.job_id, NO_ID)

    assert await reason_of(refused) == "TEMPLATE_VALUE_TOO_LARGE"
    job = await bench.job(draft.job_id)
    assert (job.state.label, job.error_code) == ("Failed", -2147220879)


async def test_templates_survive_the_head_and_so_does_their_revision(
    bench: Bench,
) -> None:
    await put(bench)
    changed = await put(bench, SHORT)
    assert changed.revision == 2

    await bench.crash()

    found = await bench.head.get_template(BOB, "short")
    assert (found.revision, found.rules) == (2, changed.rules)
    assert await bench.submit(job_template="short")


async def test_two_editors_do_not_overwrite_each_other(bench: Bench) -> None:
    first = await put(bench)
    await put(bench, first)

    assert await reason_of(put(bench, first)) == "TEMPLATE_CHANGED"
    assert await reason_of(put(bench, create_only=True)) == "TEMPLATE_EXISTS"


async def test_a_repeated_change_has_one_effect(bench: Bench) -> None:
    request = once("t1")

    await put(bench, request=request)
    again = await put(bench, request=request)

    assert again.revision == 1


async def test_a_deleted_template_leaves_jobs_their_values(bench: Bench) -> None:
    await put(bench)
    job_id = await bench.submit(job_template="short")

    await bench.head.delete_template(ROOT, "short", NO_ID)

    assert (await spec_of(bench, job_id)).runtime == 60
    unknown = bench.submit(job_template="short")
    assert await reason_of(unknown) == "TEMPLATE_NOT_FOUND"
    default = bench.head.delete_template(ROOT, "Default", NO_ID)
    assert await reason_of(default) == "TEMPLATE_IS_DEFAULT"


async def test_only_administrators_change_templates(bench: Bench) -> None:
    change = bench.head.set_template(ANN, SHORT, NO_ID, create_only=False)
    assert await reason_of(change) == "PERMISSION_DENIED"
    deletion = bench.head.delete_template(ANN, "Default", NO_ID)
    assert await reason_of(deletion) == "PERMISSION_DENIED"


async def test_a_templates_pool_is_its_jobs_and_must_be_there(bench: Bench) -> None:
    template = Template(name="t", pool="gold")
    assert await reason_of(put(bench, template)) == "POOL_NOT_FOUND"
    await bench.head.set_parameters(ROOT, {"EnablePools": "True"}, NO_ID)
    await bench.head.create_pool(ROOT, "gold", 3, NO_ID)
    await put(bench, template)

    job_id = await bench.submit(job_template="t")

    assert (await spec_of(bench, job_id)).pool == "gold"
    gone = bench.head.delete_pool(ROOT, "gold", NO_ID, force=False)
    assert await reason_of(gone) == "POOL_IN_USE"
