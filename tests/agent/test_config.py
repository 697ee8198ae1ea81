"""What an administrator may say, and what is refused with its name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from node_agent.config import ConfigError, build, read_file, site_variables

GIVEN = {"dir": "/var/lib/x", "head": "h1,h2:99", "token_file": "/etc/token"}


def built(**settings: Any) -> Any:
    return build({**GIVEN, **settings}, host_name="cn007.example.org", version="1")


def test_defaults_follow_from_the_directory_and_the_host() -> None:
    config = built()

    assert [str(head) for head in config.heads] == ["h1:7471", "h2:99"]
    assert config.name == "cn007"
    assert config.supervisor_socket == Path("/var/lib/x/supervisor.sock")
    assert config.output_dir == Path("/var/lib/x/output")
    assert config.cores == 0
    assert config.ca is None


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"head": ""}, "head is required"),
        ({"head": "h1:99999"}, "head: .*the port"),
        ({"head": "h1:0"}, "head: the port"),
        ({"dir": None}, "dir is required"),
        ({"token_file": None}, "token_file is required"),
        ({"name": "no blanks"}, "name: "),
        ({"cores": -1}, "cores: -1"),
        ({"groups": ["a,b"]}, "groups: "),
        ({"ca": "/ca.pem", "insecure_loopback": True}, "ca, insecure_loopback"),
        ({"insecure_loopback": True}, "h1:7471 is not on this machine"),
        ({"log_level": "loud"}, "log_level: "),
    ],
)
def test_a_wrong_setting_is_refused_by_name(
    settings: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem):
        built(**settings)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("colour = 'red'", "colour: no such setting"),
        ("cores = 'four'", "cores: must be int"),
        ("cores = true", "cores: must be int"),
        ("groups = [1]", "groups: must be a list of strings"),
        ("cores = ", "Invalid value"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    file = tmp_path / "agent.toml"
    file.write_text(text)

    with pytest.raises(ConfigError, match=problem):
        read_file(file)
    with pytest.raises(ConfigError, match="No such file"):
        read_file(tmp_path / "none.toml")


def check(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "node_agent.main", "--check-config", *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def test_arguments_win_over_the_file_and_check_config_starts_nothing(
    tmp_path: Path,
) -> None:
    file = tmp_path / "agent.toml"
    lines = ["head = ['far.example.org']", "insecure_loopback = true"]
    file.write_text("\n".join([*lines, "token_file = '/t'", f"dir = '{tmp_path}/d'"]))
    wrong = check("--config", str(file))
    right = check("--config", str(file), "--head", "127.0.0.1")

    assert (wrong.returncode, right.returncode) == (2, 0)
    assert "far.example.org:7471 is not on this machine" in wrong.stderr
    assert not (tmp_path / "d").exists()


def test_authorities_that_cannot_be_read_are_found_by_check_config() -> None:
    found = check("--dir", "/d", "--head", "h", "--token-file", "/t", "--ca", "/no.pem")

    assert found.returncode == 2
    assert "/no.pem" in found.stderr


def test_a_network_for_mpi_becomes_what_its_programs_read() -> None:
    site = site_variables(built(mpi_network="10.1.0.0/16"))

    assert site["CCP_MPI_NETMASK"] == "10.1.0.0/255.255.0.0"
    assert site["CCP_DATA"] == "/var/lib/x"
    assert "CCP_MPI_NETMASK" not in site_variables(built())
    with pytest.raises(ConfigError, match=r"mpi_network: .*10\.0\.0\.0/24"):
        built(mpi_network="10.1.0.1/16")
