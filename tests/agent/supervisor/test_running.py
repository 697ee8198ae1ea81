"""What a task is given, and what is reported of it: real processes."""

from __future__ import annotations

import json
import os
import pwd
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.task_supervisor import (
    JOB,
    AgentEnd,
    TaskSupervisor,
    task_supervisor,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

TELL = (
    "import json, os, signal, sys\n"
    "blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [])\n"
    "status = open('/proc/self/status').read()\n"
    "ignored = int(status.split('SigIgn:')[1].split()[0], 16)\n"
    "print(json.dumps({'argv': sys.argv[1:], 'env': dict(os.environ),\n"
    "  'cwd': os.getcwd(), 'blocked': len(blocked), 'ignored': ignored,\n"
    "  'fds': sorted(map(int, os.listdir('/proc/self/fd'))),\n"
    "  'cpus': sorted(os.sched_getaffinity(0)), 'sid': os.getsid(0),\n"
    "  'pid': os.getpid()}))\n"
)


@pytest.fixture(scope="module")
def supervisor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TaskSupervisor]:
    with task_supervisor(tmp_path_factory.mktemp("running") / "node") as running:
        yield running.start("--node", "n1")


@pytest.fixture
def agent(supervisor: TaskSupervisor) -> Iterator[AgentEnd]:
    agent = supervisor.agent()
    yield agent
    agent.send(["end_job", JOB])
    agent.expect("job_ended", JOB)
    agent.send(["purge", JOB], ["ack", last_position(agent)])
    agent.sync()
    agent.close()


def last_position(agent: AgentEnd) -> int:
    """Return the position of the newest report that has come."""
    return max(
        (m[1] for m in agent.messages if m[0] in {"started", "ended"}), default=0
    )


def told(agent: AgentEnd, *argv: Any, **more: Any) -> dict[str, Any]:
    """Run a program that tells its surroundings; return what it told."""
    extra = {name: more.pop(name) for name in ("ncores", "env") if name in more}
    script = [sys.executable, "-I", "-S", "-c", TELL]
    vector = [[word] for word in script] + list(argv)
    agent.define(argv=vector, output_limit=60000, **more)
    agent.start(5, **extra)
    end = agent.ended(5)
    assert end["exit_code"] == 0, end
    found: dict[str, Any] = json.loads(end["output"])
    return found


def test_the_hello_names_node_boot_journal_and_containment(agent: AgentEnd) -> None:
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()

    assert agent.hello["node"] == "n1"
    assert agent.hello["boot_id"] == boot_id
    assert agent.hello["containment"] in {"cgroup", "group"}
    assert agent.hello["cores"] == len(os.sched_getaffinity(0))
    assert len(agent.hello["instance"]) == 16


def test_an_exit_code_is_reported_as_it_is(agent: AgentEnd) -> None:
    end = agent.run("exit 171")

    assert (end["reason"], end["exit_code"], end["signal"]) == ("EXITED", 171, None)
    assert end["why"] is None
    assert end["start"] <= end["end"]


def test_a_death_by_signal_is_128_plus_the_signal(agent: AgentEnd) -> None:
    end = agent.run("kill -SEGV $$")

    assert (end["reason"], end["exit_code"], end["signal"]) == ("SIGNALED", 139, 11)
    assert "SIGSEGV" in end["message"]


def test_cpu_time_and_memory_are_those_of_the_task(agent: AgentEnd) -> None:
    busy = "import time\nx = bytearray(60 << 20)\nwhile time.process_time() < 0.1: pass"
    agent.define(sys.executable, "-I", "-S", "-c", busy)
    agent.start(0)
    end = agent.ended(0)

    assert 80 <= end["user_ms"] + end["system_ms"] < 5000
    assert 60 << 10 <= end["max_rss_kb"] < 200 << 10


def test_templates_are_rendered_with_the_padded_value(agent: AgentEnd) -> None:
    seen = told(agent, ["f", 4, ".in"], ["plain"], [0], [2, "-", 2])

    assert seen["argv"] == ["f0005.in", "plain", "5", "05-05"]


def test_a_string_value_ignores_the_width(agent: AgentEnd) -> None:
    agent.define(argv=[["echo"], ["<", 9, ">"]])
    agent.send(["start", JOB, 1, 1, [[1, 1, "a line", 0, None]]])

    assert agent.ended(1)["output"] == "<a line>\n"


def test_a_shell_line_is_interpreted_by_bash(agent: AgentEnd) -> None:
    line = ["echo ${BASH_VERSION:+bash} | tr a-z A-Z; echo ", 3]
    agent.define(shell=line)
    agent.start(7)

    assert agent.ended(7)["output"] == "BASH\n007\n"


@pytest.mark.parametrize(("element", "named"), [(5, "7.1.5"), (0, "7.1")])
def test_the_system_id_of_an_element_is_its_own(
    agent: AgentEnd, element: int, named: str
) -> None:
    line = ["echo $CCP_TASKSYSTEMID $CCP_TASKCONTEXT"]
    env = {"CCP_TASKSYSTEMID": "7.1", "CCP_TASKCONTEXT": "7.1"}
    agent.define(shell=line, env=env)
    agent.start(element)

    assert agent.ended(element)["output"] == f"{named} {named}\n"


def test_the_environment_is_exactly_what_was_given(agent: AgentEnd) -> None:
    env = {"B": "of this start"}
    seen = told(agent, env=env, cwd="/")["env"]
    expected = {"CCP_TASKINSTANCEID", "HPC_ATTEMPT", "HPC_TASK", "PATH", "B"}

    assert set(seen) - {"LC_CTYPE"} == expected | {"HOME", "USER", "LOGNAME"}
    assert seen["B"] == "of this start"
    assert seen["HPC_TASK"] == f"{JOB}.1.5"
    assert (seen["HPC_ATTEMPT"], seen["CCP_TASKINSTANCEID"]) == ("1", "5")
    assert seen["PATH"] == os.environ["PATH"]


def test_bytes_that_are_no_text_reach_the_program(agent: AgentEnd) -> None:
    raw = os.fsdecode(b"\xff\xfe")
    agent.define(argv=[["printenv"], ["RAW"]], env={"RAW": raw}, stdout=["raw.out"])
    agent.define(
        argv=[["sh"], ["-c"], ['printf %s "$RAW" | od -An -tx1']], env={"RAW": raw}
    )
    agent.start(0)

    assert agent.ended(0)["output"].split() == ["ff", "fe"]


def test_a_task_has_default_signals_no_foreign_files_and_a_session(
    agent: AgentEnd,
) -> None:
    seen = told(agent)
    python_ignores = 1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1
    libc_keeps = 0b11 << 31  # 32 and 33, which no program may use

    assert seen["blocked"] == 0
    assert seen["ignored"] & ~(python_ignores | libc_keeps) == 0
    assert seen["fds"] == [0, 1, 2, 3]  # 3 is the directory that it lists
    assert seen["sid"] == seen["pid"]


def test_a_broken_pipe_ends_a_task_silently(agent: AgentEnd) -> None:
    end = agent.run("yes | head -1; echo ${PIPESTATUS[0]}")

    assert end["output"].split() == ["y", str(128 + signal.SIGPIPE)]


def test_a_task_runs_in_its_directory_and_by_default_at_home(
    agent: AgentEnd, tmp_path: Path
) -> None:
    (tmp_path / "sub").mkdir()

    assert told(agent, cwd=str(tmp_path))["cwd"] == str(tmp_path)
    agent.shell("pwd", env={"HOME": str(tmp_path)})
    agent.start(1)
    assert agent.ended(1)["output"].strip() == str(tmp_path)
    agent.shell("pwd", env={"HOME": str(tmp_path)}, cwd="sub")
    agent.start(2)
    assert agent.ended(2)["output"].strip() == str(tmp_path / "sub")


def test_given_files_are_relative_to_the_directory_and_truncated(
    agent: AgentEnd, tmp_path: Path
) -> None:
    (tmp_path / "in05").write_text("hello")
    (tmp_path / "out5").write_text("an older and much longer text")
    agent.define(
        argv=[["sh"], ["-c"], ["cat; echo oops >&2"]],
        cwd=str(tmp_path),
        stdin=["in", 2],
        stdout=["out", 0],
        stderr=["err", 0],
    )
    agent.start(5)
    end = agent.ended(5)

    assert (tmp_path / "out5").read_text() == "hello"
    assert (tmp_path / "err5").read_text() == "oops\n"
    assert (end["output"], end["out_bytes"], end["err_bytes"]) == ("", 0, 0)
    assert agent.started(5)["out"] is None
    assert agent.started(5)["err"] is None


def test_stdout_and_stderr_to_one_path_share_the_file(
    agent: AgentEnd, tmp_path: Path
) -> None:
    line = "echo 1; echo 2 >&2; echo 3"
    agent.shell(line, cwd=str(tmp_path), stdout=["both"], stderr=["./both"])
    agent.start(0)
    agent.ended(0)

    assert (tmp_path / "both").read_text() == "1\n2\n3\n"


def test_standard_input_is_empty_unless_given(agent: AgentEnd) -> None:
    assert agent.run("wc -c")["output"].strip() == "0"


def test_only_the_stream_without_a_file_is_in_the_report(
    agent: AgentEnd, tmp_path: Path
) -> None:
    end = agent.run("echo out; echo err >&2", cwd=str(tmp_path), stdout=["out.txt"])

    assert end["output"] == "err\n"
    assert agent.started()["out"] is None
    assert agent.started()["err"] is not None


@pytest.mark.parametrize(
    ("code", "errno_name", "more"),
    [
        ("user", "this node runs tasks as", {"user": "somebody-else"}),
        ("cwd", "ENOENT", {"cwd": "/no/such/place"}),
        ("cwd", "ENOTDIR", {"cwd": "/etc/passwd"}),
        ("stdin", "ENOENT", {"stdin": ["/no/such/file"]}),
        ("stdin", "EISDIR", {"stdin": ["/"]}),
        ("stdout", "ENOENT", {"stdout": ["/no/such/file"]}),
        ("stderr", "EISDIR", {"stderr": ["/"]}),
        ("exec", "ENOENT", {"argv": [["no-such-program"]]}),
        ("exec", "ENOENT", {"argv": [["/no/such/program"]]}),
        ("exec", "EACCES", {"argv": [["/etc/passwd"]]}),
        ("exec", "ENOENT", {"argv": [[""]]}),
        ("exec", "EINVAL", {"argv": [["echo"], ["a\0b"]]}),
        ("exec", "E2BIG", {"argv": [["echo"], ["x" * 200_000]]}),
    ],
)
def test_what_cannot_start_names_the_part_and_the_errno(
    agent: AgentEnd, code: str, errno_name: str, more: dict[str, Any]
) -> None:
    agent.define(**{"argv": [["true"]], **more})
    agent.start(0)
    end = agent.ended(0)

    assert (end["reason"], end["code"]) == ("START_FAILED", code)
    assert errno_name in end["message"]
    assert end["exit_code"] is None
    assert end["start"] is None
    assert not [m for m in agent.messages if m[0] == "started"]


def test_a_file_that_is_not_executable_in_the_path_is_eacces(
    agent: AgentEnd, tmp_path: Path
) -> None:
    (tmp_path / "tool").write_text("#!/bin/sh\necho tool\n")
    agent.define("tool", env={"PATH": f"/nowhere:{tmp_path}"})
    agent.start(0)
    assert "EACCES" in agent.ended(0)["message"]

    (tmp_path / "tool").chmod(0o755)
    agent.start(1)
    assert agent.ended(1)["output"] == "tool\n"


def test_a_script_without_a_first_line_is_run_by_sh(
    agent: AgentEnd, tmp_path: Path
) -> None:
    script = tmp_path / "script"
    script.write_text("echo run $1\n")
    script.chmod(0o755)
    agent.define(str(script), "once")
    agent.start(0)

    assert agent.ended(0)["output"] == "run once\n"


def test_a_fifo_without_a_reader_does_not_hold_up_the_node(
    agent: AgentEnd, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "fifo")
    agent.shell("true", cwd=str(tmp_path), stdout=["fifo"])
    agent.start(0)

    assert "ENXIO" in agent.ended(0)["message"]


def test_a_failed_start_gives_its_cores_back(agent: AgentEnd) -> None:
    agent.grant(0)
    agent.define("/no/such/program")
    agent.start(0, 1, 2, ncores=1)

    assert [agent.ended(number)["code"] for number in (0, 1, 2)] == ["exec"] * 3


def test_a_pinned_task_runs_on_its_cores_and_an_unpinned_one_anywhere(
    agent: AgentEnd,
) -> None:
    last = max(os.sched_getaffinity(0))
    agent.grant(last)
    pinned = told(agent, ncores=1, pin=True)
    assert (pinned["cpus"], pinned["env"]["CCP_COREIDS"]) == ([last], str(last))

    agent.start(5, attempt=2, ncores=1)
    agent.shell("nproc", task=2)
    agent.start(1, task=2)
    count = len(os.sched_getaffinity(0))
    assert agent.ended(1, task=2)["output"].strip() == str(count)


def test_cores_that_this_machine_has_not_pin_nothing(agent: AgentEnd) -> None:
    agent.grant(4000)
    seen = told(agent, ncores=1, pin=True)

    assert seen["env"]["CCP_COREIDS"] == "4000"
    assert seen["cpus"] == sorted(os.sched_getaffinity(0))


def test_a_task_of_the_nodes_own_account_runs(agent: AgentEnd) -> None:
    name = pwd.getpwuid(os.getuid()).pw_name

    assert agent.run("id -un", user=name)["output"] == f"{name}\n"
