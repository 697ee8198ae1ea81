"""Connecting, global options, help, and the program as a process."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from click import Context, Group

from hpcsched.cli.local.layout import Layout
from hpcsched.cli.root import root
from hpcsched.cli.settings import Settings, open_client
from hpcsched.client.patience import Patience
from tests.support.polling import PATIENCE_S, wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.command_line import CommandLine
    from tests.support.fake_api import FakeApi

HPC = [sys.executable, "-c", "from hpcsched.cli.main import main; main()"]


@pytest.fixture
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A head that does not answer is not waited for."""

    def hurried(**fields: float) -> Patience:
        return Patience(**{**fields, "connect_s": 0.2})

    monkeypatch.setattr("hpcsched.client.patience.Patience", hurried)


def dead_address() -> str:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{found.getsockname()[1]}"


@pytest.mark.parametrize(
    "place",
    [
        ("--json", "job", "list"),
        ("job", "--json", "list"),
        ("job", "list", "--json"),
    ],
)
def test_global_options_stand_anywhere(
    hpc: CommandLine, api: FakeApi, place: tuple[str, ...]
) -> None:
    assert hpc(*place).json == {"jobs": [], "next_page_token": ""}


def test_options_after_the_double_dash_are_the_commands(
    hpc: CommandLine, api: FakeApi
) -> None:
    result = hpc("submit", "--", "x", "--json", "--help")

    assert result.out == "1\n"
    assert list(api.specs[0].tasks[0].arguments) == ["x", "--json", "--help"]


@pytest.mark.usefixtures("no_patience")
def test_a_head_that_does_not_answer_is_status_3(
    hpc: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPC_ADDRESS", dead_address())

    error = hpc("--json", "job", "list", status=3).error

    assert (error["code"], error["reason"]) == ("UNAVAILABLE", "HEAD_UNREACHABLE")


@pytest.mark.usefixtures("no_patience")
def test_a_head_that_accepts_and_says_nothing_is_status_3(
    hpc: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        monkeypatch.setenv("HPC_ADDRESS", f"127.0.0.1:{silent.getsockname()[1]}")

        assert hpc("--json", "job", "list", status=3).error["reason"] == (
            "HEAD_UNREACHABLE"
        )


def test_several_addresses_are_tried_in_turn(hpc: CommandLine, api: FakeApi) -> None:
    api.add_job()

    result = hpc("--address", f"{dead_address()},{api.address}", "job", "list", "-q")

    assert result.out == "1\n"


def test_nothing_that_names_a_head_is_status_3(
    hpc: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HPC_ADDRESS")

    assert "hint: hpc up" in hpc("job", "list", status=3).err


def test_a_cluster_whose_head_is_started_again_is_not_taken_for_a_stopped_one(
    hpc: CommandLine, api: FakeApi, alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HPC_ADDRESS")
    layout = Layout(alone / "cluster")
    layout.root.mkdir()
    last_up = alone / "state" / "hpcsched" / "last-up.json"
    last_up.parent.mkdir(parents=True)
    last_up.write_text(json.dumps({"address": api.address, "dir": str(layout.root)}))
    layout.plan_file.write_text("{}")
    layout.ready_file.write_text("{}")

    layout.head_is_gone()
    hpc("job", "list")
    layout.head_is_gone()
    hpc("job", "list")

    layout.stopped()
    assert "is not running" in hpc("job", "list", status=3).err
    layout.head_is_gone()
    assert "is not running" in hpc("job", "list", status=3).err


def test_option_environment_config_and_last_up_are_asked_in_this_order(
    hpc: CommandLine, api: FakeApi, alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("option", "variable", "config", "up"):
        (alone / f"{name}.token").write_text(f"secret-of-{name}\n")
    config = alone / "config" / "hpcsched" / "config.toml"
    config.parent.mkdir(parents=True)
    last_up = alone / "state" / "hpcsched" / "last-up.json"
    last_up.parent.mkdir(parents=True)

    def secret() -> str:
        api.secrets.clear()
        hpc("cluster", "info")
        (found,) = api.secrets
        return found

    assert secret() == ""
    monkeypatch.delenv("HPC_ADDRESS")
    body = {"address": api.address, "token_file": str(alone / "up.token")}
    last_up.write_text(json.dumps(body))
    assert secret() == "secret-of-up"
    config.write_text(
        f'address = "{api.address}"\ntoken_file = "{alone}/config.token"\n'
    )
    assert secret() == "secret-of-up", "the same head, so the token that it gave out"
    last_up.write_text(json.dumps({**body, "address": "127.0.0.1:1"}))
    assert secret() == "secret-of-config"
    monkeypatch.setenv("HPC_TOKEN_FILE", str(alone / "variable.token"))
    assert secret() == "secret-of-variable"
    api.secrets.clear()
    hpc("cluster", "info", "--token-file", alone / "option.token")
    assert api.secrets == {"secret-of-option"}


@pytest.mark.parametrize(
    "text", ["nonsense = 1", "adress = 'x'", "address =", "color = 'red'"]
)
def test_a_malformed_config_is_a_usage_error(
    hpc: CommandLine, alone: Path, text: str
) -> None:
    config = alone / "config" / "hpcsched" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(text)

    assert "config.toml" in hpc("job", "list", status=2).err


def test_a_token_file_without_a_token_is_status_4(
    hpc: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPC_TOKEN_FILE", "/nowhere")

    assert hpc("--json", "job", "list", status=4).error["reason"] == "TOKEN_FILE"


def test_plain_text_beyond_loopback_is_not_spoken(hpc: CommandLine) -> None:
    settings = Settings(
        address="192.0.2.1", token_file="", ca="", cert="", key="", rpc_timeout_s=1
    )
    (address,) = open_client(settings).connection._target.addresses
    assert str(address) == "192.0.2.1:7470"
    assert not address.is_loopback


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("herd", "list"),
        ("cluster", "surgeon"),
        ("ca", "init"),
        ("job", "show", "1", "2"),
        ("job", "list", "--state", "lost"),
        ("job", "wait", "--timeout", "5", "1"),
    ],
)
def test_what_does_not_exist_is_a_usage_error(
    hpc: CommandLine, api: FakeApi, arguments: tuple[str, ...]
) -> None:
    error = hpc("--json", *arguments, status=2).error

    assert (error["code"], error["reason"]) == ("INVALID_ARGUMENT", "USAGE")
    assert api.requests == []


def test_a_verb_that_is_misspelt_is_answered_with_those_that_are_near(
    hpc: CommandLine,
) -> None:
    assert "did you mean submit" in hpc("job", "sumbit", "1", status=2).err


def test_every_verb_has_help(hpc: CommandLine) -> None:
    def visit(group: Group, path: tuple[str, ...]) -> int:
        count = 0
        for name in group.list_commands(Context(group)):
            command = group.get_command(Context(group), name)
            assert command is not None
            text = hpc(*path, name, "--help").out
            assert text.startswith("Usage: hpc"), (path, name)
            assert command.help, (path, name)
            count += 1
            if isinstance(command, Group):
                count += visit(command, (*path, name))
        return count

    assert visit(root, ()) > 50


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_ask_hpc_for_words(hpc: CommandLine, shell: str) -> None:
    assert "_HPC_COMPLETE" in hpc("completion", shell).out


def test_completion_knows_verbs_and_options(
    hpc: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_HPC_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "hpc job can")
    monkeypatch.setenv("COMP_CWORD", "2")
    environment = dict(os.environ)

    done = subprocess.run(
        HPC, capture_output=True, text=True, check=False, env=environment
    )

    assert done.stdout.split() == ["plain,cancel"]


# --- As a process -----------------------------------------------------------------


def test_a_cold_start_imports_neither_grpc_nor_rich() -> None:
    code = (
        "import sys; from hpcsched.cli import root; root.run(['job', 'list', '--help'])"
        "; print(sorted({'grpc', 'rich', 'google.protobuf'} & set(sys.modules)))"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert done.stdout.splitlines()[-1] == "[]"


def test_a_reader_that_goes_away_is_no_reason_to_complain(
    hpc: CommandLine, api: FakeApi
) -> None:
    for _ in range(3000):
        api.add_job()
    process = subprocess.Popen(
        [*HPC, "job", "list"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # Unbuffered, Python does not write the rest of a write that was cut short.
        env={k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"},
    )
    assert process.stdout is not None
    process.stdout.read(10)
    process.stdout.close()

    _, err = process.communicate(timeout=PATIENCE_S)

    assert err == b""
    assert process.returncode == 141


@pytest.mark.parametrize("closing", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_verb_does_its_work_although_a_standard_stream_is_closed(
    hpc: CommandLine, api: FakeApi, closing: str
) -> None:
    api.add_job()
    for verb in ("job list", "job list --json", "submit -- x"):
        done = subprocess.run(
            ["sh", "-c", f"{shlex.join(HPC)} {verb} {closing}"],
            check=False,
            capture_output=True,
            text=True,
        )

        assert (done.returncode, done.stderr) == (0, ""), (verb, done)
    assert len(api.asked("SubmitJobs")) == 1


@pytest.mark.parametrize("cancel", [False, True])
def test_ctrl_c_detaches_unless_the_job_is_to_be_canceled(
    hpc: CommandLine, api: FakeApi, cancel: bool
) -> None:
    flags = ["--cancel-on-interrupt"] if cancel else []
    process = subprocess.Popen(
        [*HPC, "submit", "--wait", *flags, "--", "x"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    wait_for(lambda: api.asked("WaitJob"), what="the wait")

    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE_S)

    assert process.returncode == 130
    assert out == b"1\n"
    assert b"Traceback" not in err
    assert bool(api.asked("CancelJobs")) is cancel
    assert (b"goes on" in err) is not cancel


def test_ctrl_c_ends_a_call_to_a_head_that_says_nothing(alone: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        process = subprocess.Popen(
            [*HPC, "--address", address, "job", "list"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        connection, _ = silent.accept()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE_S)
        connection.close()

    assert (process.returncode, out, err) == (130, b"", b"")
