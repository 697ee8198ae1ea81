"""Reading the output of tasks: running, ended, gone, in the user's own file."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import pytest

from hpcsched.agent.v1 import order_pb2 as pb
from node_agent.core.orders import ReadOutput
from node_agent.outputs import CHUNK_BYTES, MOST_CHUNKS, Outputs
from tests.support.agents import RunningAgent, agent_config, running_agent
from tests.support.polling import wait_for_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.support.fake_head import FakeHead, FakeStream
    from tests.support.fake_supervisor import FakeSupervisor

KEY = (7, 1, 3, 2)


def read(read_id: int = 1, **fields: Any) -> pb.Order:
    job, task, instance, attempt = KEY
    order = pb.ReadOutput(
        read_id=read_id,
        job_id=job,
        task_id=task,
        instance_id=instance,
        attempt=attempt,
        **fields,
    )
    return pb.Order(read=order)


class Scene:
    """An agent with one stream, and the files of one attempt."""

    def __init__(
        self, folder: Path, supervisor: FakeSupervisor, stream: FakeStream
    ) -> None:
        self.supervisor = supervisor
        self.stream = stream
        self.slot = folder / "slot.out"
        self.slot.touch()
        self.kept = folder / "output" / "7" / "1.3.2.out"

    async def run(self, text: bytes = b"") -> None:
        self.slot.write_bytes(text)
        self.supervisor.started(KEY, out=str(self.slot), err=str(self.slot) + ".err")
        await wait_for_async(lambda: KEY in self.stream.started)

    def write(self, text: bytes) -> None:
        with self.slot.open("ab") as file:
            file.write(text)

    async def end(self) -> None:
        """End as the supervisor does: what is not empty is moved, and then told."""
        size = self.slot.stat().st_size
        if size:
            self.kept.parent.mkdir(parents=True, exist_ok=True)
            self.slot.replace(self.kept)
            self.slot.touch()
        self.supervisor.ended(KEY, out_bytes=size)
        await wait_for_async(lambda: KEY in self.stream.finished)

    async def answer(self, read_id: int = 1) -> tuple[bytes, str]:
        chunks = await wait_for_async(
            lambda: self.stream.chunks(read_id),
            until=lambda found: found and found[-1].eof,
            what="the end of the output",
        )
        position = chunks[0].offset
        for chunk in chunks:
            assert chunk.offset == position
            assert len(chunk.data) <= CHUNK_BYTES
            position += len(chunk.data)
        return b"".join(chunk.data for chunk in chunks), chunks[-1].error

    async def so_far(self, text: bytes, read_id: int = 1) -> None:
        await wait_for_async(
            lambda: b"".join(c.data for c in self.stream.chunks(read_id)),
            until=lambda found: found == text,
        )


@pytest.fixture
async def scene(
    tmp_path: Path, head: FakeHead, supervisor: FakeSupervisor
) -> AsyncIterator[Scene]:
    async with running_agent(agent_config(tmp_path, head.port)):
        yield Scene(tmp_path, supervisor, await head.stream())


async def test_the_output_of_a_running_task_is_what_there_is_now(scene: Scene) -> None:
    await scene.run(b"hello")
    scene.stream.order(read())

    assert await scene.answer() == (b"hello", "")


async def test_an_ended_task_is_read_under_its_own_name(scene: Scene) -> None:
    await scene.run(b"x" * (3 * CHUNK_BYTES + 5))
    await scene.end()
    scene.stream.order(read())

    assert await scene.answer() == (b"x" * (3 * CHUNK_BYTES + 5), "")


@pytest.mark.parametrize(
    ("offset", "limit", "expected"),
    [
        (2, 0, b"23456789"),
        (-3, 0, b"789"),
        (-99, 2, b"01"),
        (4, 3, b"456"),
        (50, 0, b""),
    ],
)
async def test_a_part_is_named_by_offset_and_limit(
    scene: Scene, offset: int, limit: int, expected: bytes
) -> None:
    await scene.run(b"0123456789")
    scene.stream.order(read(1, offset=offset, limit=limit))
    assert await scene.answer(1) == (expected, "")
    await scene.end()
    scene.stream.order(read(2, offset=offset, limit=limit))

    assert await scene.answer(2) == (expected, "")


async def test_following_goes_on_until_the_task_has_ended(scene: Scene) -> None:
    await scene.run(b"one ")
    scene.stream.order(read(follow=True))
    await scene.so_far(b"one ")
    scene.write(b"two ")
    await scene.so_far(b"one two ")
    scene.write(b"three")
    await scene.end()

    assert await scene.answer() == (b"one two three", "")


async def test_following_begins_before_the_task_has_a_core(scene: Scene) -> None:
    start = pb.StartTasks(
        job_id=7, task_id=1, definition=1, instances=[3], attempts=[2], cores=1
    )
    scene.stream.order(pb.Order(start=start), read(follow=True), read(2))
    assert await scene.answer(2) == (b"", "")
    await scene.run(b"at last")
    await scene.so_far(b"at last")
    await scene.end()

    assert await scene.answer() == (b"at last", "")


async def test_a_silent_task_that_is_followed_ends_with_nothing(scene: Scene) -> None:
    await scene.run()
    scene.stream.order(read(follow=True))
    await scene.end()

    assert await scene.answer() == (b"", "")


async def test_a_slot_that_another_task_uses_by_now_is_not_shown(
    tmp_path: Path, head: FakeHead, supervisor: FakeSupervisor
) -> None:
    async with running_agent(agent_config(tmp_path, head.port)):
        scene = Scene(tmp_path, supervisor, await head.stream())
        await scene.run()
        # It has ended, the slot is in use again, and the news is still on its way: it
        # is the answer to the agent's question.
        scene.write(b"secret of another task")
        late = supervisor._ended(KEY, out_bytes=0)
        answer = supervisor._answer

        def tell_first(message: list[Any]) -> list[list[Any]]:
            return [late, *answer(message)] if message[0] == "ping" else answer(message)

        supervisor._answer = tell_first  # type: ignore[method-assign]
        scene.stream.order(read(follow=True))

        assert await scene.answer() == (b"", "")


async def test_what_is_no_longer_kept_is_gone_and_what_never_was_is_unknown(
    scene: Scene,
) -> None:
    scene.stream.order(read(1))
    assert await scene.answer(1) == (b"", "unknown")
    await scene.run(b"text")
    await scene.end()
    scene.kept.unlink()
    scene.stream.order(read(2), read(3, stderr=True))

    assert await scene.answer(2) == (b"", "gone")
    assert await scene.answer(3) == (b"", "")


async def test_a_new_agent_serves_what_an_older_one_saw_end(
    tmp_path: Path, head: FakeHead, supervisor: FakeSupervisor
) -> None:
    kept = tmp_path / "output" / "7" / "1.3.2.out"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"old")
    async with running_agent(agent_config(tmp_path, head.port)):
        scene = Scene(tmp_path, supervisor, await head.stream())
        scene.stream.order(read(1), read(2, stderr=True))

        assert await scene.answer(1) == (b"old", "")
        assert await scene.answer(2) == (b"", "gone")


async def test_a_reader_that_leaves_is_not_answered_further(scene: Scene) -> None:
    await scene.run(b"one")
    scene.stream.order(read(1, follow=True))
    await scene.so_far(b"one")
    scene.stream.order(pb.Order(stop_reading=pb.StopReading(read_id=1)), read(2))
    await scene.answer(2)
    scene.write(b"two")
    scene.stream.order(read(3))
    await scene.answer(3)

    await scene.so_far(b"one", 1)


# Files of users


def define(folder: Path, path: bytes) -> tuple[pb.Order, pb.Order]:
    definition = pb.DefineTask(
        job_id=7, task_id=1, definition=1, command_line=b"x", stdout_path=path,
        work_directory=os.fsencode(folder), substitute=True,
    )  # fmt: skip
    start = pb.StartTasks(
        job_id=7, task_id=1, definition=1, instances=[3], attempts=[2], cores=1,
        values=[30],
    )  # fmt: skip
    return pb.Order(define=definition), pb.Order(start=start)


async def test_a_users_file_is_served_while_and_after_the_task_runs(
    tmp_path: Path, head: FakeHead, supervisor: FakeSupervisor
) -> None:
    async with running_agent(agent_config(tmp_path, head.port)):
        scene = Scene(tmp_path, supervisor, await head.stream())
        file = tmp_path / "log.030"
        file.write_bytes(b"mine")
        scene.stream.order(*define(tmp_path, b"log.***"))
        await supervisor.hears("start")
        supervisor.started(KEY)
        scene.stream.order(read(1, follow=True))
        await scene.so_far(b"mine")
        supervisor.ended(KEY)
        assert await scene.answer(1) == (b"mine", "")
        scene.stream.order(pb.Order(end_job=pb.EndJob(job_id=7)), read(2))

        assert await scene.answer(2) == (b"mine", "")


async def test_a_users_file_that_cannot_be_read_is_named_as_such(
    tmp_path: Path, head: FakeHead, supervisor: FakeSupervisor
) -> None:
    async with running_agent(agent_config(tmp_path, head.port)):
        scene = Scene(tmp_path, supervisor, await head.stream())
        scene.stream.order(*define(tmp_path, b"nowhere"))
        await supervisor.hears("start")
        supervisor.started(KEY)
        scene.stream.order(read(1))

        assert await scene.answer(1) == (b"", "user_file")


async def test_a_users_file_of_an_attempt_from_before_this_agent_is_named_as_such(
    tmp_path: Path, head: FakeHead, supervisor: FakeSupervisor
) -> None:
    supervisor.running = [[*KEY, 99, 5.0, [2], None, None, "running"]]
    async with running_agent(agent_config(tmp_path, head.port)):
        scene = Scene(tmp_path, supervisor, await head.stream())
        scene.stream.order(read(1))

        assert await scene.answer(1) == (b"", "user_file")


async def test_a_slow_stream_holds_up_readers_and_not_reports(
    tmp_path: Path, supervisor: FakeSupervisor
) -> None:
    config = agent_config(tmp_path)
    running = RunningAgent(config, None, None)
    kept = tmp_path / "output" / "7" / "1.3.2.out"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"x" * (200 * CHUNK_BYTES))
    outputs = Outputs(running.agent.shelf, running.clock, lambda: None)
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(outputs.run())
        for number in range(5):
            outputs.read(
                ReadOutput(
                    read_id=number, job_id=7, task_id=1, instance_id=3, attempt=2
                )
            )
        await wait_for_async(lambda: len(outputs._chunks) == MOST_CHUNKS)
        taken = 0
        while taken < 5 * 200:
            chunks = outputs.take()
            taken += sum(bool(chunk.data) for chunk in chunks)
            assert len(outputs._chunks) <= MOST_CHUNKS
            await running.clock.sleep(0)
        serving.cancel()
    running.agent.shelf.close()
