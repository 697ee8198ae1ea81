"""Modules whose bodies run when something of them is used."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from hpcsched.cli.deferred import DEFERRED

if TYPE_CHECKING:
    from pathlib import Path

START = """
import sys
sys.path.insert(0, {path!r})
from hpcsched.cli import deferred
deferred.install({names!r})
"""


def run(path: Path, code: str, names: tuple[str, ...] = ("late", "late.part")) -> str:
    start = START.format(path=str(path), names=names)
    done = subprocess.run(
        [sys.executable, "-c", start + code], check=True, capture_output=True, text=True
    )
    return done.stdout


@pytest.fixture
def late(tmp_path: Path) -> Path:
    """A package ``late`` with a module ``part``, which tell when their bodies run."""
    package = tmp_path / "late"
    package.mkdir()
    body = "print('late'); from late import part; VALUE = part.VALUE + 1"
    (package / "__init__.py").write_text(body, encoding="utf-8")
    part = "print('part'); VALUE = 1"
    (package / "part.py").write_text(part, encoding="utf-8")
    return tmp_path


def test_a_body_runs_at_the_first_name_and_once(late: Path) -> None:
    out = run(late, "import late; print('imported'); late.VALUE; print(late.VALUE)")

    assert out.split() == ["imported", "late", "part", "2"]


@pytest.mark.parametrize(
    "code",
    [
        "from late import VALUE; print(VALUE)",
        "from late import *; print(VALUE)",
        "import late.part; print(late.VALUE)",
        "import late.part as p; p.VALUE; import late; print(late.VALUE)",
        "import late, importlib; importlib.reload(late); print(late.VALUE)",
        "import late; print(hasattr(late, 'VALUE') and late.VALUE)",
    ],
)
def test_every_way_to_a_name_finds_it(late: Path, code: str) -> None:
    assert run(late, code).split()[-1] == "2"


def test_the_body_of_a_package_runs_before_those_of_its_modules(late: Path) -> None:
    body = "BASE = 1; from late.part import VALUE"
    (late / "late" / "__init__.py").write_text(body, encoding="utf-8")
    part = "from late import BASE; VALUE = BASE + 1"
    (late / "late" / "part.py").write_text(part, encoding="utf-8")
    code = "import late; import late.part; print(late.VALUE)"

    assert run(late, code, ("late",)).split() == ["2"]


@pytest.mark.parametrize("name", ["asyncio.tasks", "grpc.aio._channel"])
def test_a_module_of_what_the_command_defers_can_come_first(
    tmp_path: Path, name: str
) -> None:
    code = f"import grpc; import {name}; print('well')"

    assert run(tmp_path, code, tuple(sorted(DEFERRED))).strip() == "well"


def test_a_name_that_is_not_there_is_no_name_afterwards(late: Path) -> None:
    code = "import late; print(hasattr(late, 'nothing'), late.__spec__.name)"

    assert run(late, code).split() == ["late", "part", "False", "late"]


def test_a_body_that_fails_fails_where_it_is_used_each_time(late: Path) -> None:
    (late / "late" / "__init__.py").write_text("", encoding="utf-8")
    (late / "late" / "part.py").write_text("1 / 0", encoding="utf-8")
    code = """
import late.part
for _ in range(2):
    try:
        late.part.VALUE
    except ZeroDivisionError:
        print("fails")
"""

    assert run(late, code, ("late.part",)).split()[-2:] == ["fails", "fails"]


def test_two_threads_see_a_whole_module(late: Path) -> None:
    body = "import time; time.sleep(0.2); VALUE = 2"
    (late / "late" / "__init__.py").write_text(body, encoding="utf-8")
    code = """
import late, threading
found = []
threads = [threading.Thread(target=lambda: found.append(late.VALUE)) for _ in range(4)]
for one in threads: one.start()
for one in threads: one.join()
print(found)
"""

    assert run(late, code).strip() == "[2, 2, 2, 2]"


def test_what_is_not_there_is_not_there(late: Path) -> None:
    code = """
try:
    import nowhere
except ModuleNotFoundError as error:
    print(error.name)
"""

    assert run(late, code, ("nowhere",)).strip() == "nowhere"


def test_what_the_command_defers_works_when_it_is_used(tmp_path: Path) -> None:
    code = """
import asyncio, concurrent.futures, inspect, ssl, traceback
import grpc, grpc.experimental
from google.protobuf import text_format, timestamp_pb2
from grpc import aio

async def nothing():
    async with asyncio.timeout(1), aio.insecure_channel("localhost:1") as channel:
        return channel.get_state()

assert asyncio.run(nothing()) is grpc.ChannelConnectivity.IDLE
text = text_format.MessageToString(timestamp_pb2.Timestamp(seconds=1))
assert text.strip() == "seconds: 1"
with concurrent.futures.ThreadPoolExecutor() as pool:
    assert pool.submit(int).result() == 0
assert ssl.create_default_context() and inspect.getdoc(asyncio)
assert traceback.format_exc() and grpc.experimental.UsageError
print("well")
"""

    assert run(tmp_path, code, tuple(sorted(DEFERRED))).strip() == "well"
