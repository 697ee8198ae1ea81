"""Private output: slot files, what is reported, what is kept, the quota."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from node_agent.supervisor.outputs import Outputs
from tests.support.polling import wait_for
from tests.support.task_supervisor import (
    JOB,
    AgentEnd,
    TaskSupervisor,
    pids_in,
    task_supervisor,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[TaskSupervisor]:
    with task_supervisor(tmp_path / "node", "--cgroup", "off") as running:
        yield running.start()


@pytest.fixture
def agent(supervisor: TaskSupervisor) -> AgentEnd:
    return supervisor.agent()


def kept(supervisor: TaskSupervisor) -> dict[str, bytes]:
    """Return the outputs of ended tasks."""
    folder = supervisor.directory / "output"
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.glob("[0-9]*/*")
    }


def test_slot_files_are_used_again_while_they_stay_empty(
    supervisor: TaskSupervisor, agent: AgentEnd
) -> None:
    agent.define("true")
    agent.start(0)
    agent.ended(0)
    slot = Path(agent.started(0)["out"])
    inode = slot.stat().st_ino
    agent.start(1)
    agent.ended(1)
    assert agent.started(1)["out"] == str(slot)
    assert slot.stat().st_ino == inode
    agent.shell("echo x", task=2)
    agent.start(0, task=2)
    agent.ended(0, task=2)
    agent.start(3)
    agent.ended(3)

    assert slot.stat().st_ino != inode
    assert slot.read_bytes() == b""
    assert kept(supervisor) == {f"{JOB}/2.0.1.out": b"x\n"}


def test_the_output_of_a_running_task_is_where_its_start_says(
    agent: AgentEnd, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "go")
    agent.shell("echo so far; read x <go; echo more", cwd=str(tmp_path))
    agent.start(0)
    slot = Path(agent.started(0)["out"])

    wait_for(slot.read_bytes, until=lambda data: data == b"so far\n")
    (tmp_path / "go").open("w").close()
    assert agent.ended(0)["output"] == "so far\nmore\n"


def test_both_streams_are_kept_whole_under_job_task_instance_attempt(
    supervisor: TaskSupervisor, agent: AgentEnd
) -> None:
    agent.shell("seq 3000; seq 2000 >&2")
    agent.start(12, attempt=5)
    end = agent.ended(12, 5)
    files = kept(supervisor)

    assert set(files) == {f"{JOB}/1.12.5.out", f"{JOB}/1.12.5.err"}
    assert files[f"{JOB}/1.12.5.out"].endswith(b"\n3000\n")
    assert end["out_bytes"] == len(files[f"{JOB}/1.12.5.out"])
    assert end["err_bytes"] == len(files[f"{JOB}/1.12.5.err"])
    assert len(end["output"]) == 4096
    assert end["output"][2048:].startswith("1\n2\n3\n")


@pytest.mark.parametrize(
    ("out", "err", "expected"),
    [
        (3, 4, "oooeeee"),
        (20, 4, "oooooo" + "eeee"),
        (4, 20, "oooo" + "eeeeee"),
        (20, 20, "ooooo" + "eeeee"),
        (0, 20, "e" * 10),
        (20, 0, "o" * 10),
    ],
)
def test_each_stream_gets_at_least_half_of_the_report_if_both_have_more(
    agent: AgentEnd, out: int, err: int, expected: str
) -> None:
    line = "printf %.{}s {}; printf %.{}s {} >&2".format(out, "o" * 30, err, "e" * 30)
    end = agent.run(line, output_limit=10)

    assert end["output"] == expected
    assert (end["out_bytes"], end["err_bytes"]) == (out, err)


def test_the_report_is_never_cut_inside_a_character(agent: AgentEnd) -> None:
    line = "printf 'a\u20ac\u20ac\u20ac'"
    ends = [cut(agent, line, limit) for limit in range(11)]

    assert ends == [
        "",
        "a",
        "a",
        "a",
        *["a\u20ac"] * 3,
        *["a\u20ac\u20ac"] * 3,
        "a\u20ac\u20ac\u20ac",
    ]


def cut(agent: AgentEnd, line: str, limit: int) -> str:
    """Return the output of a line that is reported with a limit."""
    agent.shell(line, output_limit=limit, task=100 + limit)
    agent.start(0, task=100 + limit)
    output: str = agent.ended(0, task=100 + limit)["output"]
    return output


def test_output_that_is_no_text_is_reported_with_replacements(
    agent: AgentEnd,
) -> None:
    assert agent.run(r"printf 'a\377\n'")["output"] == "a\ufffd\n"


def test_output_is_kept_after_a_kill(agent: AgentEnd, tmp_path: Path) -> None:
    agent.shell("echo said; echo $$ >pids; sleep 600", cwd=str(tmp_path))
    agent.start(0)
    pids_in(tmp_path / "pids", 1)
    agent.stop(0, grace_s=0)

    assert agent.ended(0)["output"] == "said\n"


def test_a_task_may_remove_or_replace_its_output_file(
    supervisor: TaskSupervisor, agent: AgentEnd
) -> None:
    end = agent.run("echo gone; rm $(readlink /proc/self/fd/1)")
    assert end["out_bytes"] == 5
    agent.shell("echo after", task=2)
    agent.start(0, task=2)

    assert agent.ended(0, task=2)["output"] == "after\n"
    assert kept(supervisor)[f"{JOB}/2.0.1.out"] == b"after\n"


def test_purging_a_job_deletes_its_outputs_and_no_others(
    supervisor: TaskSupervisor, agent: AgentEnd
) -> None:
    agent.shell("echo 1")
    agent.shell("echo 2", job=8)
    agent.start(0)
    agent.start(0, job=8)
    agent.ended(0)
    agent.ended(0, job=8)
    agent.send(["purge", JOB])
    agent.sync()

    assert set(kept(supervisor)) == {"8/1.0.1.out"}


def test_the_oldest_outputs_go_when_the_quota_is_full(
    supervisor: TaskSupervisor, agent: AgentEnd
) -> None:
    agent.send(["settings", {"output_quota": 5 * 4096}])
    agent.shell("echo $CCP_TASKINSTANCEID")
    for number in range(8):
        agent.start(number)
        agent.ended(number)
    last = {f"{JOB}/1.{number}.1.out" for number in range(3, 8)}
    assert set(kept(supervisor)) == last

    agent.shell("head -c 9000 /dev/zero", task=2)
    agent.start(0, task=2)
    agent.ended(0, task=2)
    assert set(kept(supervisor)) == {
        *(f"{JOB}/1.{number}.1.out" for number in (6, 7)),
        f"{JOB}/2.0.1.out",
    }


def test_the_quota_holds_over_a_restart(
    supervisor: TaskSupervisor, agent: AgentEnd
) -> None:
    agent.send(["settings", {"output_quota": 3 * 4096}])
    agent.shell("echo $CCP_TASKINSTANCEID")
    for number in range(3):
        agent.start(number)
        agent.ended(number)
    supervisor.stop()
    agent = supervisor.start().agent()
    agent.shell("echo again")
    agent.start(9)
    agent.ended(9)

    assert set(kept(supervisor)) == {f"{JOB}/1.{n}.1.out" for n in (1, 2, 9)}


def test_outputs_count_whole_blocks_and_forget_a_purged_job(tmp_path: Path) -> None:
    outputs = Outputs(str(tmp_path), 1 << 20, for_group=False)
    for number in range(4):
        source = tmp_path / "source"
        source.write_bytes(b"x" * 5000)
        outputs.keep((number % 2 + 1, 1, number, 1), 0, str(source))
    assert outputs.total == 4 * 8192
    outputs.purge(1)
    assert outputs.total == 2 * 8192
    outputs.quota = 8192
    outputs.enforce()

    assert outputs.total == 8192
    assert [p.name for p in tmp_path.glob("*/*")] == ["1.3.1.out"]


def test_a_full_disk_loses_no_end(tmp_path: Path) -> None:
    """With a real one where we may mount, else as far as the journal tests go."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(mount, check=False).returncode:
        pytest.skip("only root can mount a small disk")
    try:
        with task_supervisor(place / "node", "--cgroup", "off") as supervisor:
            agent = supervisor.start().agent()
            os.mkfifo(tmp_path / "go")
            agent.shell("read x <go; echo word; exit 5", cwd=str(tmp_path))
            agent.start(*range(20))
            for number in range(20):
                agent.started(number)
            fill(place / "filler")
            with (tmp_path / "go").open("w") as fifo:
                for _ in range(20):
                    fifo.write("\n" * 1)
                    fifo.flush()
                wait_for(
                    lambda: len({m[4] for m in taken(agent) if m[0] == "ended"}) == 20
                )
            assert {agent.ended(n)["exit_code"] for n in range(20)} == {5}
            agent.send(["ack", agent.hello["position"]])
            os.kill(supervisor.pid_of("spawner"), 9)
            again = wait_for(supervisor.agent)
            assert {again.ended(n)["exit_code"] for n in range(20)} == {5}
            (place / "filler").unlink()
            again.shell("echo free", task=2)
            again.start(0, task=2)
            assert again.ended(0, task=2)["output"] == "free\n"
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)
        shutil.rmtree(place)


def fill(path: Path) -> None:
    """Fill the disk to the last byte."""
    with path.open("wb", buffering=0) as file:
        try:
            while file.write(b"\0" * 4096):
                pass
        except OSError:
            return


def taken(agent: AgentEnd) -> list[list[object]]:
    """Take in what has come; return all of it."""
    agent.receive(0.05)
    return agent.messages
