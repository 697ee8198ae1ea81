"""Blobs of users: encrypted at rest, their submitter's alone (properties.md 4.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hpcsched.common.errors import HpcError
from hpcsched.runtime.blobs import KEY_BYTES, Blobs
from hpcsched.runtime.front import Edit, TaskPage
from hpcsched.store.errors import StateDirectoryError
from hpcsched.store.state_directory import secret_file
from tests.support.head_bench import ANN, NO_ID, ROOT, Bench, a_job, a_task

if TYPE_CHECKING:
    from pathlib import Path

    from hpcsched.core.caller import Caller
    from tests.support.manual_clock import ManualClock
    from tests.support.seeded_ids import SeededIds

SECRET = b"the submitter's own" * 10


@pytest.fixture
def bench(clock: ManualClock, ids: SeededIds) -> Bench:
    return Bench(clock, ids)


async def blob(bench: Bench, job_id: int, caller: Caller, task: int = 1) -> bytes:
    view = await bench.head.get_task(caller, job_id, (task, 0), full=True)
    page = TaskPage(full=True, task_id=task)
    (listed,), _ = await bench.head.list_tasks(caller, job_id, page)
    assert view.spec is not None
    assert listed.spec is not None
    assert listed.spec.user_blob == view.spec.user_blob
    return view.spec.user_blob


async def test_only_the_submitter_reads_it_back(bench: Bench) -> None:
    async with bench:
        job_id = await bench.submit(a_task(user_blob=SECRET), a_task())
        await bench.head.add_tasks(
            ANN, job_id, [a_task(user_blob=b"late")], NO_ID, submit=False
        )

        assert await blob(bench, job_id, ANN) == SECRET
        assert await blob(bench, job_id, ANN, task=2) == b""
        assert await blob(bench, job_id, ANN, task=3) == b"late"
        assert await blob(bench, job_id, ROOT) == b""


async def test_the_store_never_sees_it(bench: Bench) -> None:
    async with bench:
        job_id = await bench.submit(a_task(user_blob=SECRET))

        stored = await bench.store.load_job(job_id)
        events = await bench.store.read_events(0, 100)

        bodies = [*stored.specs.values(), *(event.body for event in events)]
        assert not any(SECRET in body for body in bodies)


async def test_it_can_be_changed_and_goes_with_a_clone(bench: Bench) -> None:
    async with bench:
        job = a_job(a_task(user_blob=b"a"))
        draft = await bench.head.create_job(ANN, job, NO_ID, validate_only=False)
        edit = Edit(changes={"user_blob": SECRET})
        await bench.head.modify_task(ANN, draft.job_id, 1, edit, NO_ID)

        copy = await bench.head.clone_job(ANN, draft.job_id, NO_ID)

        assert await blob(bench, copy.job_id, ANN) == SECRET
        edit = Edit(changes={"user_blob": b""})
        await bench.head.modify_task(ANN, copy.job_id, 1, edit, NO_ID)
        assert await blob(bench, copy.job_id, ANN) == b""


async def test_it_has_8000_bytes_at_most_when_it_is_encrypted(bench: Bench) -> None:
    async with bench:
        job_id = await bench.submit(a_task(user_blob=bytes(7972)))
        assert await blob(bench, job_id, ANN) == bytes(7972)

        with pytest.raises(HpcError, match="limit is 8000") as refused:
            await bench.submit(a_task(), a_task(user_blob=bytes(7973)))

        assert refused.value.facts["field"].startswith("tasks[1].user_blob")


async def test_with_another_key_it_reads_as_empty(ids: SeededIds) -> None:
    (sealed,) = Blobs(bytes(KEY_BYTES), ids).sealed([a_task(user_blob=SECRET)])

    assert Blobs(bytes(KEY_BYTES), ids).opened(sealed).user_blob == SECRET
    assert Blobs(b"x" * KEY_BYTES, ids).opened(sealed).user_blob == b""


def test_the_key_is_made_once_and_is_for_nobody_else(
    tmp_path: Path, ids: SeededIds
) -> None:
    path = tmp_path / "blob.key"

    first = secret_file(path, KEY_BYTES, ids)

    assert secret_file(path, KEY_BYTES, ids) == first
    assert len(first) == KEY_BYTES
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_bytes(b"short")
    with pytest.raises(StateDirectoryError, match="has 5 bytes, not 32"):
        secret_file(path, KEY_BYTES, ids)
