"""What ``hpc job list`` imports: of what a cold command takes, the most by far."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.support.fake_api import FakeApi

if TYPE_CHECKING:
    from pathlib import Path

CODE = """
import os, sys
from types import ModuleType
from hpcsched.cli.main import main

def leave(status):
    whole = [name for name, one in sys.modules.items() if type(one) is ModuleType]
    sys.stderr.write(" ".join(whole))
    sys.stderr.flush()
    end(status)

end, os._exit = os._exit, leave
sys.argv = ["hpc", "job", "list"]
main()
"""
"""Runs it, and tells which modules it has imported and used."""

NEVER = (
    *("difflib", "fractions", "importlib.metadata", "rich", "tomllib", "typer"),
    *("google.protobuf.json_format", "shlex"),
    # An event loop, and what is imported for it or beside it.
    *("asyncio", "asyncio.events", "ssl", "concurrent.futures", "subprocess", "socket"),
    *("grpc.aio", "grpc.aio._channel", "traceback", "typing_extensions"),
    *("google.protobuf.internal.python_message", "google.protobuf.text_format"),
    *("hpcsched.cli.selectors", "hpcsched.common.nodelist", "hpcsched.common.taskid"),
    *("hpcsched.client.aio", "hpcsched.client.connection"),
    *("hpcsched.api.v1.job_service_pb2_grpc", "hpcsched.runtime", "hpcsched.core"),
)
OWN = 60
"""Modules of ours; each takes a third of a millisecond, and each dataclass one."""


def test_a_cold_list_imports_what_it_needs_and_nothing_else(tmp_path: Path) -> None:
    environ = {k: v for k, v in os.environ.items() if not k.startswith("HPC_")}
    environ |= {"XDG_CONFIG_HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path)}
    with FakeApi() as api:
        done = subprocess.run(
            [sys.executable, "-c", CODE],
            check=True,
            capture_output=True,
            text=True,
            env=environ | {"HPC_ADDRESS": api.address},
        )
    modules = set(done.stderr.split())
    own = sorted(name for name in modules if name.startswith("hpcsched"))

    assert done.stdout.startswith("ID")
    assert "hpcsched.client.blocking" in own
    assert modules.isdisjoint(NEVER), sorted(modules & set(NEVER))
    assert len(own) <= OWN, own
