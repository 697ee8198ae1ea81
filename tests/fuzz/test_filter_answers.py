"""Filter programs that answer anything: each job is handled, and no other harmed (F59).

The programs are real processes. They end with any status, die of any signal, write
without end, and leave any bytes where the job's XML was.
"""

from __future__ import annotations

import asyncio
import random
import resource
from typing import TYPE_CHECKING

import pytest

from hpcsched.common.clock import SystemClock
from hpcsched.common.errors import HpcError
from hpcsched.core.job.states import JobState
from hpcsched.runtime.filter_process import FilterProcesses, prepare_filters
from hpcsched.runtime.submission import FilterKit
from hpcsched.services.filter_documents import XmlDocuments
from tests.support.head_bench import NO_ID, ROOT, Bench, a_sweep, a_task

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.support.manual_clock import ManualClock
    from tests.support.seeded_ids import SeededIds

ANSWERS = 60
SIGNALS = (1, 2, 3, 6, 9, 11, 13, 14, 15, 24, 25)
MOST_GROWTH_KIB = 200 * 1024
DRAW = "dd if=/dev/zero bs=65536 count=64 2>&-"


class Filter:
    """One program, and what it does next.

    Attributes:
        xml: What it was given first.
    """

    def __init__(self, folder: Path) -> None:
        self.program = folder / "filter"
        self._next, self._left = folder / "next", folder / "left"
        self._given = folder / "given"
        self.program.write_text(f'#!/bin/sh\n. "{self._next}"\n')
        self.program.chmod(0o755)
        self.do(f'cp "$1" "{self._given}"')

    @property
    def xml(self) -> bytes:
        return self._given.read_bytes()

    def do(self, script: str) -> None:
        self._next.write_text(script)

    def leave(self, xml: bytes, then: str) -> None:
        self._left.write_bytes(xml)
        self.do(f'cp "{self._left}" "$1"\n{then}')


@pytest.fixture
def program(tmp_path: Path) -> Filter:
    return Filter(tmp_path)


@pytest.fixture
async def bench(
    clock: ManualClock, ids: SeededIds, program: Filter, tmp_path: Path
) -> AsyncIterator[Bench]:
    home = tmp_path / "filters"
    prepare_filters(home)
    loop = asyncio.get_running_loop()
    processes = FilterProcesses(home, SystemClock(), loop)
    kit = FilterKit(programs=processes, documents=XmlDocuments())
    async with Bench(clock, ids, filters=kit) as made:
        values = {"SubmissionFilterProgram": str(program.program)}
        await made.head.set_parameters(ROOT, values, NO_ID)
        yield made
    processes.close()


def broken(xml: bytes, chance: random.Random) -> bytes:
    """Return what somebody made of an XML."""
    at, to = sorted(chance.randrange(len(xml)) for _ in range(2))
    deep = b"<Task>" * chance.choice((10, 10_000))
    bomb = b'<!DOCTYPE x [<!ENTITY a "%s">]>' % (b"&a;" * 9)
    made: tuple[Callable[[], bytes], ...] = (
        lambda: xml[:at],
        lambda: xml[:at] + xml[to:],
        lambda: xml[:to] + xml[at:],
        lambda: xml[:at] + bytes([xml[at] ^ 1 << chance.randrange(8)]) + xml[at:],
        lambda: chance.randbytes(chance.randrange(2_000)),
        lambda: b"",
        lambda: bomb + xml,
        lambda: xml.replace(b"<Task ", deep + b"<Task ", 1),
        lambda: xml + b" " * (1 << 20),
        lambda: xml.decode().encode("utf-16"),
        lambda: xml.replace(b'"', b'"-9999999999999999999', 1),
        lambda: xml,
    )
    return chance.choice(made)()


def answer(program: Filter, chance: random.Random) -> None:
    """Choose what the filter does for the next job."""
    code = chance.choice((0, 1, 1, 1, 1, chance.randrange(256)))
    noise = chance.choice(
        ("", f"{DRAW} >&2", f"{DRAW} & {DRAW} >&2", "printf '\\377\\000\\033[2J' >&2")
    )
    end = f"{noise}\nexit {code}"
    if chance.random() < 0.2:
        end = f"{noise}\nkill -{chance.choice(SIGNALS)} $$; sleep 60"
    acts: tuple[Callable[[], None], ...] = (
        lambda: program.do(end),
        lambda: program.do(f'rm "$1"; {end}'),
        lambda: program.do(f'rm "$1"; mkdir "$1"; {end}'),
        lambda: program.do(f'rm "$1"; mkfifo "$1"; {end}'),
        lambda: program.do(f'ln -sf /etc/passwd "$1"; {end}'),
        lambda: program.do(f'chmod 0 "$1"; {end}'),
        *[lambda: program.leave(broken(program.xml, chance), end)] * 6,
    )
    chance.choice(acts)()


@pytest.mark.timeout(300)
async def test_f59_any_answer_of_a_submission_filter_ends_the_validation_of_its_job(
    bench: Bench, program: Filter, caplog: pytest.LogCaptureFixture
) -> None:
    chance = random.Random(17)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tasks = a_task(arguments=("/bin/echo", "a b")), a_sweep(3)
    first = await bench.submit(*tasks)
    accepted, told = 0, []
    for _ in range(ANSWERS):
        answer(program, chance)
        try:
            async with asyncio.timeout(60):
                await bench.submit(*tasks)
        except HpcError as refusal:
            told.append(refusal)
        else:
            accepted += 1
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    last = first + ANSWERS
    states = [(await bench.job(n)).state for n in range(first, last + 1)]
    assert set(states) <= {JobState.QUEUED, JobState.RUNNING, JobState.FAILED}
    assert states.count(JobState.FAILED) == len(told)
    assert accepted
    assert {one.reason for one in told} == {"SUBMISSION_FILTER_FAILED"}
    assert max(len(str(one)) for one in told) < 1_000
    assert after - before < MOST_GROWTH_KIB
    assert "a fault of the head" not in caplog.text
