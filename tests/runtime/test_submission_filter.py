"""The submission filter (J5 to J7, D9): its answers, and what interrupts it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

from hpcsched.common.errors import HpcError
from hpcsched.core.job.states import NodeLoss
from hpcsched.runtime.filter_program import FilterOutcome
from hpcsched.runtime.front import Edit, Stop
from hpcsched.services.filter_documents import XmlDocuments
from hpcsched.store.errors import StoreFullError
from tests.support.fake_filters import FakePrograms, exits, kit, rewrites
from tests.support.head_bench import (
    ANN,
    NO_ID,
    ROOT,
    Bench,
    a_job,
    a_sweep,
    a_task,
    once,
)
from tests.support.manual_clock import settle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.manual_clock import ManualClock
    from tests.support.seeded_ids import SeededIds


@pytest.fixture
def programs() -> FakePrograms:
    return FakePrograms()


@pytest.fixture
async def bench(
    clock: ManualClock, ids: SeededIds, programs: FakePrograms
) -> AsyncIterator[Bench]:
    async with Bench(clock, ids, filters=kit(programs)) as made:
        await set_filter(made, "/filter")
        yield made


async def set_filter(bench: Bench, program: str) -> None:
    values = {"SubmissionFilterProgram": program}
    await bench.head.set_parameters(ROOT, values, NO_ID)


async def test_a_job_passes_external_validation_and_is_queued_when_accepted(
    bench: Bench, programs: FakePrograms
) -> None:
    job_id = await bench.submit(a_task(), a_sweep(3))

    job = await bench.job(job_id)
    assert (job.state.label, job.previous_state.label) == (
        "Queued",
        "ExternalValidation",
    )
    assert (await bench.task(job_id)).state.label == "Queued"
    (call,) = programs.calls
    assert call.program == "/filter"
    assert call.timeout_s == 15
    root = ET.fromstring(call.document())  # noqa: S314  our own text
    assert root.attrib["State"] == "ExternalValidation"
    assert root.attrib["Owner"] == "ann"


async def test_while_the_filter_runs_the_job_and_its_tasks_wait(
    bench: Bench, programs: FakePrograms
) -> None:
    agent = await bench.node()
    programs.open.clear()
    call = bench.begin(bench.submit(a_task(), a_sweep(2)))
    await settle()

    assert await bench.state(1) == "ExternalValidation"
    assert (await bench.task(1)).state.label == "Validating"
    assert (await bench.task(1, 2)).state.label == "Validating"
    assert not call.done()
    assert not agent.starts
    _, (line, *_) = await bench.head.explain(ANN, 1, None)
    assert line == "the submission filter is deciding on it"
    programs.open.set()
    await bench.until_state(1, "Finished")
    assert call.result() == 1


@pytest.mark.parametrize(
    ("outcome", "code", "message"),
    [
        (exits(7, "\n too big \nmore"), -2147219902, "too big"),
        (
            exits(2),
            -2147219902,
            "the submission filter refused the job (exit code 2)",
        ),
        (
            FilterOutcome(timed_out=True, problem="x"),
            -2147219884,
            "the submission filter did not answer within 15 s; job 1 is Failed",
        ),
        (
            FilterOutcome(problem="there is no file /filter"),
            -2147219902,
            "the submission filter could not be run: there is no file /filter",
        ),
        (
            FilterOutcome(problem="it was ended by signal 9", stderr="half a"),
            -2147219902,
            "the submission filter could not be run: it was ended by signal 9",
        ),
    ],
)
async def test_whatever_is_not_accepted_fails_the_job_and_the_call(
    bench: Bench,
    programs: FakePrograms,
    outcome: FilterOutcome,
    code: int,
    message: str,
) -> None:
    programs.answers = [outcome]

    with pytest.raises(HpcError) as refusal:
        await bench.submit(a_task(), a_sweep(2))

    assert refusal.value.hresult == code
    assert str(refusal.value) == message
    assert refusal.value.facts["job_id"] == "1"
    job = await bench.job(1)
    assert (job.state.label, job.error_code) == ("Failed", code)
    assert job.error_message == message
    task = await bench.task(1)
    assert (task.state.label, task.error_code) == ("Failed", -2147219936)


async def test_a_draft_that_is_submitted_waits_for_its_verdict_too(
    bench: Bench, programs: FakePrograms
) -> None:
    programs.answers = [exits(3, "no"), exits(0)]
    job = await bench.head.create_job(ANN, a_job(), NO_ID, validate_only=False)

    with pytest.raises(HpcError, match="no"):
        await bench.head.submit_job(ANN, job.job_id, once("a"))
    with pytest.raises(HpcError, match="no"):
        await bench.head.submit_job(ANN, job.job_id, once("a"))
    assert len(programs.calls) == 1

    await bench.head.requeue_jobs(ANN, [job.job_id], NO_ID)
    assert await bench.state(job.job_id) == "Queued"


async def test_requeued_jobs_and_tasks_are_asked_about_again(
    bench: Bench, programs: FakePrograms
) -> None:
    job_id = await bench.submit(a_task(), a_task())
    await bench.head.cancel_jobs(ANN, [job_id], Stop(), NO_ID)
    programs.answers = [exits(9, "not twice")]

    with pytest.raises(HpcError, match="not twice"):
        await bench.head.requeue_tasks(ANN, job_id, [(1, 0), (2, 0)], NO_ID)

    assert await bench.state(job_id) == "Failed"
    assert (await bench.task(job_id, 2)).state.label == "Failed"
    programs.answers = [exits(0)]
    await bench.head.requeue_tasks(ANN, job_id, [(1, 0), (2, 0)], NO_ID)
    assert (await bench.task(job_id, 1)).state.label == "Queued"
    assert (await bench.task(job_id, 2)).state.label == "Queued"
    assert programs.jobs == [job_id] * 3


async def test_a_queued_job_that_is_modified_waits_for_its_verdict_too(
    bench: Bench, programs: FakePrograms
) -> None:
    job_id = await bench.submit()
    edit = Edit(changes={}, entries={"custom_properties": {"a": "1"}})
    view = (await bench.head.modify_job(ANN, job_id, edit, NO_ID)).job
    assert view.state.label == "Queued"
    programs.answers = [exits(9, "not so")]
    edit = Edit(changes={}, entries={"custom_properties": {"a": "2"}})

    with pytest.raises(HpcError, match="not so"):
        await bench.head.modify_job(ANN, job_id, edit, NO_ID)

    assert await bench.state(job_id) == "Failed"
    progress = Edit(changes={"progress": 5}, entries={})
    view = (await bench.head.modify_job(ANN, job_id, progress, NO_ID)).job
    assert (view.state.label, view.progress) == ("Failed", 5)


async def test_a_cancel_kills_the_filter_and_its_verdict_is_nobodys(
    bench: Bench, programs: FakePrograms
) -> None:
    programs.open.clear()
    call = bench.begin(bench.submit())
    await settle()

    await bench.head.cancel_jobs(ANN, [1], Stop(message="no more"), NO_ID)
    await settle()

    job = await bench.job(1)
    assert (job.state.label, job.error_message) == ("Canceled", "no more")
    assert programs.killed == 1
    with pytest.raises(HpcError) as refusal:
        call.result()
    assert refusal.value.reason == "CANCELED_BEFORE_VERDICT"
    programs.open.set()
    await settle()
    assert await bench.state(1) == "Canceled"


async def test_a_head_that_dies_while_a_filter_runs_asks_again(
    bench: Bench, programs: FakePrograms
) -> None:
    programs.open.clear()
    bench.begin(bench.submit())
    await settle()
    assert await bench.state(1) == "ExternalValidation"

    await bench.crash()
    assert await bench.state(1) == "ExternalValidation"
    programs.open.set()
    await settle()

    assert await bench.state(1) == "Queued"
    assert programs.jobs == [1, 1]


async def test_a_job_that_waits_when_the_filter_is_taken_away_is_accepted(
    bench: Bench, programs: FakePrograms
) -> None:
    programs.open.clear()
    bench.begin(bench.submit())
    await settle()
    await set_filter(bench, "")

    await bench.crash()

    assert await bench.state(1) == "Queued"


async def test_without_a_filter_nothing_is_asked(
    bench: Bench, programs: FakePrograms
) -> None:
    await set_filter(bench, "")

    job_id = await bench.submit()

    assert (await bench.job(job_id)).previous_state.label == "Validating"
    assert not programs.calls


async def test_of_the_jobs_of_one_call_all_are_queued_or_none(
    bench: Bench, programs: FakePrograms
) -> None:
    programs.answers = [exits(0), exits(5, "this one not"), exits(0)]
    new = [a_job(), a_job(), a_job()]

    with pytest.raises(HpcError, match="this one not"):
        await bench.head.submit_jobs(ANN, new, once("b"), validate_only=False)

    told = [(await bench.job(n)).error_message for n in (1, 2, 3)]
    assert [await bench.state(n) for n in (1, 2, 3)] == ["Failed"] * 3
    assert told[1] == "this one not"
    assert told[0] == "job 2 of the same call was refused: this one not"
    programs.answers = [exits(0)]
    ids = await bench.head.submit_jobs(ANN, new, NO_ID, validate_only=False)
    assert [await bench.state(n) for n in ids] == ["Queued"] * 3


async def test_a_job_of_a_call_that_is_canceled_holds_up_no_other(
    bench: Bench, programs: FakePrograms
) -> None:
    programs.open.clear()
    new = [a_job(), a_job()]
    call = bench.begin(bench.head.submit_jobs(ANN, new, NO_ID, validate_only=False))
    await settle()
    await bench.head.cancel_jobs(ANN, [1], Stop(), NO_ID)
    programs.open.set()
    await settle()

    assert await bench.state(2) == "Queued"
    with pytest.raises(HpcError, match="job 1 left its validation"):
        call.result()


async def test_a_full_disk_at_the_verdict_loses_no_job(
    bench: Bench, programs: FakePrograms
) -> None:
    programs.open.clear()
    bench.begin(bench.submit())
    await settle()
    bench.store.fail_next(StoreFullError("full"))
    programs.open.set()
    await bench.until_state(1, "Queued")

    assert len(programs.calls) >= 2


async def test_no_more_filters_run_at_once_than_there_are_places(
    bench: Bench, programs: FakePrograms
) -> None:
    programs.open.clear()
    for _ in range(12):
        bench.begin(bench.submit())
    await settle()

    assert programs.running == 8
    programs.open.set()
    await settle()
    assert [await bench.state(n) for n in range(1, 13)] == ["Queued"] * 12


async def test_a_head_that_can_run_no_programs_refuses(
    clock: ManualClock, ids: SeededIds
) -> None:
    async with Bench(clock, ids) as bench:
        await set_filter(bench, "/filter")

        with pytest.raises(HpcError, match="cannot run filter programs"):
            await bench.submit()


async def test_exit_code_1_accepts_the_job_as_the_xml_is_left(
    bench: Bench, programs: FakePrograms
) -> None:
    programs.answers = [rewrites(1, 'Priority="Normal"', 'Priority="Highest"')]
    agent = await bench.node()

    job_id = await bench.submit(a_task(arguments=("/bin/echo", "a b")), a_sweep(2))

    assert (await bench.job(job_id)).priority == 4000
    await bench.until_state(job_id, "Finished")
    assert agent.starts
    await bench.crash()
    assert (await bench.job(job_id)).priority == 4000


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("</Job>", "", "it is no well-formed XML"),
        ('NiceId="1"', 'NiceId="7"', "NiceId 7: the job has tasks 1 to 1"),
        ('NiceId="1"', "", "task 1 is missing; tasks cannot be taken out"),
        ('Name="job"', f'Name="{"x" * 81}"', "81 characters; the limit is 80"),
        ('Name="job"', 'RequestedNodes="n7"', "node n7 is not in this cluster"),
        ('CommandLine="/bin/true"', 'CommandLine=""', "the task has no command"),
        ("<?xml", "<!DOCTYPE Job []><?xml", "a document type (DOCTYPE)"),
    ],
)
async def test_an_xml_that_makes_no_job_refuses_it(
    bench: Bench, programs: FakePrograms, old: str, new: str, problem: str
) -> None:
    programs.answers = [rewrites(1, old, new)]

    with pytest.raises(HpcError, match="the submission filter") as refusal:
        await bench.submit()

    assert refusal.value.reason == "SUBMISSION_FILTER_FAILED"
    assert problem in str(refusal.value)
    assert await bench.state(1) == "Failed"


async def test_an_xml_that_is_left_as_it_was_changes_nothing(
    bench: Bench, programs: FakePrograms
) -> None:
    programs.answers = [rewrites(1, "<Job", "<Job")]
    spec: dict[str, Any] = {
        "environment": {"A": "\r\n\x01"},
        "runtime": 0.5,
        "node_loss": NodeLoss.HOLD,
    }
    task = a_task(arguments=("a\x02", "*"), environment={"B": ""}, runtime=0.25)

    job_id = await bench.submit(task, a_sweep(3, max_concurrent=2), **spec)

    events = [e.name for e in await bench.events() if e.job_id == job_id]
    assert "JobModified" not in events
    assert "JobValidated" in events


async def test_f59_a_fault_of_ours_in_the_xml_of_a_filter_refuses_the_job(
    bench: Bench, programs: FakePrograms, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: object) -> None:
        raise TypeError("a fault of ours")

    programs.answers = [exits(1)]
    monkeypatch.setattr(XmlDocuments, "read", read)

    with pytest.raises(HpcError) as refused:
        await bench.submit()

    assert refused.value.reason == "SUBMISSION_FILTER_FAILED"
    assert "a fault of the head while it read the XML" in str(refused.value)
