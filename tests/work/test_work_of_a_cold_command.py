"""What ``hpc job list`` imports: of what a cold command takes, the most by far."""

from __future__ import annotations

import subprocess
import sys

LIST = (
    *("hpcsched.cli.main", "hpcsched.cli.job", "hpcsched.cli.job_list"),
    *("hpcsched.client.aio", "hpcsched.client.jobs", "hpcsched.client.cluster"),
    "hpcsched.cli.job_tables",
)
"""What it names, one after the other."""
NEVER = (
    *("difflib", "fractions", "importlib.metadata", "rich", "tomllib", "typer"),
    *("google.protobuf.json_format", "shlex"),
    *("hpcsched.cli.selectors", "hpcsched.common.nodelist", "hpcsched.common.taskid"),
    *("hpcsched.api.v1.job_service_pb2_grpc", "hpcsched.runtime", "hpcsched.core"),
)
OWN = 54
"""Modules of ours; each takes a third of a millisecond, and each dataclass one."""


def test_a_cold_list_imports_what_it_needs_and_nothing_else() -> None:
    code = f"import sys, {', '.join(LIST)}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    modules = set(done.stdout.split())
    own = sorted(name for name in modules if name.startswith("hpcsched"))

    assert modules.isdisjoint(NEVER)
    assert len(own) <= OWN, own
