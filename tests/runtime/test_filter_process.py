"""Filter programs as real processes."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import pytest

from hpcsched.common.clock import SystemClock
from hpcsched.runtime.filter_process import FilterProcesses, prepare_filters
from hpcsched.runtime.filter_program import FilterCall, FilterOutcome
from tests.support.polling import wait_for_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

XML = b"<Job/>"


class Site:
    """A directory for filters, and scripts to run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.home = path / "filters"
        prepare_filters(self.home)
        loop = asyncio.get_running_loop()
        self.processes = FilterProcesses(self.home, SystemClock(), loop)

    def script(self, body: str, first: str = "#!/bin/sh") -> str:
        program = self.path / "a filter.sh"
        program.write_text(f"{first}\n{body}\n")
        program.chmod(0o755)
        return str(program)

    async def run(
        self, body: str, timeout_s: float = 10.0, **fields: Any
    ) -> FilterOutcome:
        return await self.ask(self.script(body), timeout_s, **fields)

    async def ask(
        self, program: str, timeout_s: float = 10.0, **fields: Any
    ) -> FilterOutcome:
        fields.setdefault("document", lambda: XML)
        call = FilterCall(program=program, timeout_s=timeout_s, **fields)
        return await self.processes.run(call)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    made = Site(tmp_path)
    yield made
    made.processes.close()
    assert not list(made.home.iterdir()), "what a filter was given is gone afterwards"


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:  # noqa: PTH123
        return file.read().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize("code", [0, 1, 2, 4, 7, 125, 128, 255])
async def test_the_exit_code_is_the_answer(site: Site, code: int) -> None:
    outcome = await site.run(f"exit {code}")

    assert (outcome.exit_code, outcome.problem) == (code, "")
    assert outcome.document == XML


async def test_a_filter_finds_the_xml_in_its_first_argument_and_may_change_it(
    site: Site,
) -> None:
    outcome = await site.run('test "$#" = 1 && cat "$1" >&2 && echo new > "$1"; exit 1')

    assert outcome.stderr == XML.decode()
    assert (outcome.exit_code, outcome.document) == (1, b"new\n")


async def test_a_filter_has_a_private_place_and_little_else(site: Site) -> None:
    body = 'pwd; ls; stat -c %a . "$1"; cat; ls /proc/$$/fd; env | sort'
    outcome = await site.run(f"({body}) >&2", environment={"CCP_JOBID": "7"})

    lines = outcome.stderr.splitlines()
    assert lines[0].startswith(str(site.home))
    assert lines[1:4] == ["job.xml", "700", "600"]
    open_ones = {line for line in lines if line.isdecimal() and len(line) < 3}
    assert open_ones <= {"0", "1", "2", "10"}, "10 is the shell's own script"
    names = {line.partition("=")[0] for line in lines if "=" in line}
    shells = {"PWD", "OLDPWD", "SHLVL", "_"}
    assert names - shells == {"PATH", "LANG", "HOME", "TMPDIR", "CCP_JOBID"}
    assert "CCP_JOBID=7" in lines


async def test_what_is_open_in_the_head_is_not_open_in_a_filter(site: Site) -> None:
    read, write = os.pipe()
    os.set_inheritable(write, True)
    try:
        outcome = await site.run(f"test ! -e /proc/$$/fd/{write}")
    finally:
        os.close(read)
        os.close(write)

    assert outcome.exit_code == 0


async def test_a_filter_that_takes_too_long_is_killed_with_its_children(
    site: Site,
) -> None:
    outcome = await site.run("sleep 1000 & echo $! >&2; sleep 1000", timeout_s=0.3)

    assert outcome.timed_out
    assert outcome.problem == "it was killed after 0.3 s"
    await wait_for_async(lambda: not runs(int(outcome.stderr)))


async def test_what_a_filter_leaves_running_ends_with_it(site: Site) -> None:
    outcome = await site.run("sleep 1000 & echo $! >&2; exit 0")

    assert outcome.exit_code == 0

    await wait_for_async(lambda: not runs(int(outcome.stderr)))


async def test_a_filter_that_is_asked_no_more_is_killed(site: Site) -> None:
    mark = site.path / "pid"
    async with asyncio.TaskGroup() as tasks:
        call = tasks.create_task(site.run(f"echo $$ > {mark}; sleep 1000"))

        await wait_for_async(lambda: mark.read_text().strip())
        call.cancel()

    await wait_for_async(lambda: not runs(int(mark.read_text())))


async def test_a_crash_is_no_exit_code(site: Site) -> None:
    outcome = await site.run("kill -SEGV $$")

    assert outcome.exit_code is None
    assert outcome.problem == "it was ended by signal 11"


@pytest.mark.parametrize(
    ("program", "problem"),
    [
        ("/nowhere/filter", "there is no file /nowhere/filter"),
        ("filter.sh", "'filter.sh' is no absolute path"),
        ("/etc", "there is no file /etc"),
    ],
)
async def test_what_cannot_be_started_is_said(
    site: Site, program: str, problem: str
) -> None:
    outcome = await site.ask(program)

    assert (outcome.exit_code, outcome.problem) == (None, problem)


async def test_a_script_without_its_interpreter_is_no_answer(site: Site) -> None:
    outcome = await site.ask(site.script("exit 0", first="#!/nowhere/sh"))

    assert outcome.exit_code is None
    assert "it cannot be executed" in outcome.problem


async def test_a_program_that_nobody_may_execute_is_no_answer(site: Site) -> None:
    program = site.path / "plain"
    program.write_text("exit 0")
    program.chmod(0o644)

    assert "is not executable" in (await site.ask(str(program))).problem


async def test_output_without_end_is_neither_kept_nor_waited_for(site: Site) -> None:
    outcome = await site.run("head -c 3000000 /dev/zero | tr '\\0' x >&2; exit 2")

    assert outcome.exit_code == 2
    assert len(outcome.stderr) == 64 * 1024
    assert len(outcome.message) == 320


async def test_an_xml_that_is_not_there_any_more_is_a_problem(site: Site) -> None:
    for body in ('rm "$1"; exit 1', 'rm "$1"; ln -s /etc/passwd "$1"; exit 1'):
        outcome = await site.run(body)

        assert outcome.exit_code is None
        assert "its files" in outcome.problem


async def test_an_xml_that_cannot_be_made_is_a_problem(site: Site) -> None:
    def fails() -> bytes:
        raise RuntimeError("odd")

    outcome = await site.run("exit 0", document=fails)

    assert "could not be made" in outcome.problem


async def test_what_a_head_that_was_killed_has_left_running_is_ended(
    site: Site,
) -> None:
    mark = site.path / "pid"
    async with asyncio.TaskGroup() as tasks:
        body = f"sleep 1000 & echo $! > {mark}; wait"
        call = tasks.create_task(site.run(body, timeout_s=1000))
        await wait_for_async(lambda: mark.read_text().strip())

        prepare_filters(site.home)
        outcome = await call

    assert outcome.problem == "it was ended by signal 9"
    await wait_for_async(lambda: not runs(int(mark.read_text())))


def test_what_a_head_that_was_killed_has_left_is_deleted(tmp_path: Path) -> None:
    home = tmp_path / "filters"
    prepare_filters(home)
    (home / "3").mkdir()
    (home / "3" / "job.xml").write_text("<Job/>")

    prepare_filters(home)

    assert not list(home.iterdir())
    assert home.stat().st_mode & 0o777 == 0o700
