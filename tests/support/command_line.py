"""Running ``hpc`` within the test's process against a fake API."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpcsched.cli import root

if TYPE_CHECKING:
    import pytest

    from tests.support.fake_api import FakeApi


@dataclass(frozen=True, slots=True)
class Result:
    """What one command line came to."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """JSON Lines."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def error(self) -> Any:
        return json.loads(self.err.splitlines()[-1])["error"]


class CommandLine:
    """``hpc`` with the address of a fake API."""

    def __init__(self, api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
        self._api = api
        self._capsys = capsys

    def __call__(self, *arguments: object, status: int | None = 0) -> Result:
        """Run a command line, and see that its exit status is the given one."""
        self._capsys.readouterr()
        found = root.run([str(one) for one in arguments])
        out, err = self._capsys.readouterr()
        result = Result(found, out, err)
        assert status is None or found == status, result
        return result
