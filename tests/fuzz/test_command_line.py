"""F59: whatever is typed behind ``hpc``, it ends with a documented exit status."""

from __future__ import annotations

import io
import os
import signal
import sys
from typing import TYPE_CHECKING, Any, Final

import click
import pytest
from hypothesis import strategies as st

from hpcsched.cli import root
from tests.support.campaign import campaign, time_limit
from tests.support.fake_api import FakeApi

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(time_limit())

#: Done, refused, usage, unreachable, not allowed (cli.md section 5).
STATUSES: Final = frozenset({0, 1, 2, 3, 4})
#: They start programs, or go on until somebody stops them: tests/e2e runs them.
LASTING: Final = frozenset(
    {"up", "down", "demo", "run", "exec", "watch", "wait", "restore"}
)
LASTING_OPTIONS: Final = frozenset({"--wait", "--logs", "--follow", "-f"})
LONGEST_S: Final = 60

WORDS: Final = st.sampled_from(
    [
        *("", "-", "--", "1", "-1", "0", "42.3", "42.3.17", "1-5", "5-1", "1,3,7-9"),
        *(
            "all",
            "last",
            "state=failed",
            "state=",
            "label:a=b",
            "label:=",
            "n1",
            "n[1-3]",
        ),
        *("1h", "-1s", "1e400", "nan", "99999999999999999999", "2147483648", "0x1f"),
        *("a=b", "=", "a=", "=b", "*", "?", "/", "/dev/null", "/dev/null/x", "..", "~"),
        *("name~x", "priority>1", "priority>", "id", "-id", "--json", "--quiet", "-v"),
        *("2030-01-01T00:00:00Z", "2030-13-45", "now", "1d", "true", "{}", "[", "\n"),
        *("ä€😀", "\udcff", "\x1b[31m", "a" * 5000, "%s", "%(x)s", "{x}", "$HOME"),
    ]
)
TEXTS: Final = WORDS | st.text(st.characters(blacklist_characters="\0"), max_size=20)


def leaves(
    command: click.Command, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield every verb with the words that lead to it."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            if found is not None and name not in LASTING:
                yield from leaves(found, (*path, name))
    else:
        yield path, command


def options_of(command: click.Command) -> list[click.Option]:
    return [
        one
        for one in command.params
        if isinstance(one, click.Option) and not LASTING_OPTIONS & {*one.opts}
    ]


@st.composite
def argument_vectors(draw: Any) -> list[str]:
    path, command = draw(st.sampled_from(VERBS))
    words = list(path)
    options = options_of(command)
    for _ in range(draw(st.integers(0, 4))):
        if options and draw(st.booleans()):
            option = draw(st.sampled_from(options))
            words.append(draw(st.sampled_from([*option.opts, *option.secondary_opts])))
            if not option.is_flag and draw(st.integers(0, 9)):
                words.append(draw(TEXTS))
        else:
            words.append(draw(TEXTS))
    at = draw(st.integers(0, len(words)))
    if not draw(st.integers(0, 4)):  # anywhere, before the verb too
        words.insert(at, draw(st.sampled_from(["--json", "-v", "--quiet", "--help"])))
    return [word for word in words if word not in LASTING_OPTIONS]


VERBS: Final = sorted(leaves(root.root), key=lambda one: one[0])


@pytest.fixture
def somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An API that knows of nothing, and a caller who has no files."""
    for name in os.environ:
        if name.startswith("HPC_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    with FakeApi() as api:
        api.backup = ("hpcsched-20270115T080000Z.hpcbackup", b"whole")
        monkeypatch.setenv("HPC_ADDRESS", api.address)
        monkeypatch.setenv("HPC_RPC_TIMEOUT", "5s")
        yield


def test_f59_any_argument_vector_ends_with_a_documented_status(
    somewhere: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(VERBS) > 40

    def hangs(*_: Any) -> None:
        raise AssertionError("it does not end")

    def check(words: list[str]) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
        capsys.readouterr()
        signal.alarm(LONGEST_S)
        try:
            status = root.run(words)
        except BaseException as error:
            raise AssertionError(f"{words} raised {error!r}") from error
        finally:
            signal.alarm(0)
        out, err = capsys.readouterr()
        assert status in STATUSES, (words, status, err)
        assert "Traceback" not in out + err, (words, err)
        assert status != 1 or err, (words, "refused without a word")

    before = signal.signal(signal.SIGALRM, hangs)
    try:
        campaign(check, argument_vectors(), 60)
    finally:
        signal.signal(signal.SIGALRM, before)
