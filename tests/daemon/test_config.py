"""The configuration: each mistake is refused with the name of the setting."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

import pytest

from hpcsched.daemon.config import Config, ConfigError, as_toml, read_config
from hpcsched.daemon.main import arguments, configuration, main

if TYPE_CHECKING:
    from pathlib import Path

PLAIN: dict[str, dict[str, Any]] = {"listen": {"insecure_loopback": True}}


def written(folder: Path, text: str) -> Path:
    path = folder / "hpcschedd.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[clutser]", "clutser: no such table"),
        ("cluster = 3", "cluster: must be a table"),
        ("[cluster]\nnmae = 'x'", "cluster.nmae: no such setting"),
        ("[cluster]\nname = 3", "cluster.name: must be a text"),
        ("[tokens]\nadmin_file = true", "tokens.admin_file: must be a text"),
        ("[log]\njson = 'yes'", "log.json: must be true or false"),
        ("[cluster]\nname = ''", "cluster.name"),
        (f"[cluster]\nname = '{'x' * 81}'", "cluster.name"),
        ("[cluster]\nstate_dir = ''", "cluster.state_dir"),
        ("[log]\nlevel = 'LOUD'", "log.level"),
        ("[tokens]\nadmin_user = ''", "tokens.admin_user"),
        ("[tls]\ncert = 'a'", "tls.key"),
        ("[tls]\nkey = 'a'", "tls.key"),
        ("[listen]\nclients = 'a:b'", "listen.clients"),
        ("[listen]\nclients = '127.0.0.1:70000'", "listen.clients"),
        ("[listen]\nagents = ''", "listen.agents"),
        ("[listen]\nclients = '192.0.2.1:7470'", "listen.clients"),
        ("[listen]\nagents = 'head01:7471'", "listen.agents"),
        (
            "[listen]\nclients = '127.0.0.1:7470'\nagents = '127.0.0.1:7470'",
            "listen.agents",
        ),
        ("[limits]\ncalls = 0", "limits.calls: must be 1 to"),
        ("[limits]\nstreams = 1000001", "limits.streams: must be 1 to"),
        ("[limits]\nmegabytes = 1.5", "limits.megabytes: must be a whole number"),
        ("[limits]\nmegabytes = true", "limits.megabytes: must be a whole number"),
        ("[limits]\ncals = 5", "limits.cals: no such setting"),
        ("[cluster\n", "line 1"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(
    text: str, problem: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config(written(tmp_path, text), PLAIN)

    assert problem in str(caught.value)


def test_a_head_without_tls_must_be_told_so() -> None:
    with pytest.raises(ConfigError, match=r"tls\.cert"):
        read_config(None, {})


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing\.toml"):
        read_config(tmp_path / "missing.toml", PLAIN)


def test_the_command_line_wins_over_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "[cluster]\nname = 'file'\nstate_dir = '/from/file'\n")
    asked = ["--config", str(path), "--name", "line", "--insecure-loopback"]

    config = configuration(arguments(asked))

    assert (config.cluster.name, config.cluster.state_dir) == ("line", "/from/file")


def test_the_printed_configuration_can_be_read_back(tmp_path: Path) -> None:
    config = read_config(
        None,
        {
            "cluster": {"name": 'quo"te\\ and\ttab\nline ü'},
            "listen": {"insecure_loopback": True},
        },
    )

    assert read_config(written(tmp_path, as_toml(config)), {}) == config


def test_the_defaults_are_the_documented_ports() -> None:
    config = read_config(None, PLAIN)

    assert config.listen.clients.endswith(":7470")
    assert config.listen.agents.endswith(":7471")
    assert isinstance(config, Config)


def test_check_config_says_ok(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--check-config", "--insecure-loopback"])

    assert capsys.readouterr().out == "OK\n"


def test_check_config_refuses_with_status_2(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--check-config", "--insecure-loopback", "--log-level", "LOUD"])

    assert caught.value.code == 2
    assert "log.level" in capsys.readouterr().err


def test_print_config_prints_what_is_in_force(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["--print-config", "--insecure-loopback", "--name", "c1"])

    tables = tomllib.loads(capsys.readouterr().out)
    assert tables["cluster"]["name"] == "c1"
    assert tables["listen"]["insecure_loopback"] is True


def test_a_configuration_that_cannot_be_used_ends_with_status_78(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--state-dir", str(tmp_path / "state")])

    assert caught.value.code == 78
    assert "tls.cert" in capsys.readouterr().err
    assert not (tmp_path / "state").exists()
