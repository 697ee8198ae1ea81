"""What the project promises about itself: what it installs, pins and starts."""

from __future__ import annotations

import doctest
import importlib
import os
import re
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.sources import PRODUCT, ROOT, modules_imported, sources

if TYPE_CHECKING:
    from pathlib import Path

#: Modules of those packages whose names do not tell.
MODULE_OF = {
    "googleapis-common-protos": "google",
    "grpcio": "grpc",
    "grpcio-health-checking": "grpc_health",
    "grpcio-reflection": "grpc_reflection",
    "grpcio-status": "grpc_status",
    "protobuf": "google",
}


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    tables = tomllib.loads((ROOT / "pyproject.toml").read_text())
    table: dict[str, Any] = tables["project"]
    return table


def test_the_constraints_pin_versions_and_nothing_else() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pin = re.compile(r"[a-z0-9][a-z0-9.-]*==[0-9][0-9a-z.]*")

    pins = [line for line in lines if not line.startswith("#")]
    assert pins
    assert not [line for line in pins if not pin.fullmatch(line)]


def test_every_console_script_leads_to_a_function(project: dict[str, Any]) -> None:
    for target in project["scripts"].values():
        module, _, function = target.partition(":")
        assert callable(getattr(importlib.import_module(module), function))


def test_every_runtime_dependency_is_used(project: dict[str, Any]) -> None:
    names = {re.split(r"[<>=;!~ ]", line)[0] for line in project["dependencies"]}
    needed = {MODULE_OF.get(name, name) for name in names}

    used = set().union(*(modules_imported(path) for path in sources(*PRODUCT)))

    assert not needed - used


def units() -> list[Path]:
    return sorted((ROOT / "systemd").rglob("*.service"))


def test_there_is_a_unit_for_each_daemon() -> None:
    names = {path.name for path in units()}

    assert {"hpcschedd.service", "hpc-node-agent.service"} <= names
    assert any("supervisor" in name for name in names)


def test_units_start_programs_that_the_project_installs(
    project: dict[str, Any],
) -> None:
    start = re.compile(r"^ExecSt(?:art|op)=[-@:+!]*(\S+)", re.MULTILINE)

    for unit in units():
        programs = start.findall(unit.read_text())
        assert programs, unit.name
        for program in programs:
            assert program.rpartition("/")[2] in project["scripts"], unit.name


def test_links_between_documents_lead_somewhere() -> None:
    documents = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    link = re.compile(r"\]\((?!https?://|#)([^)#]+)")

    dead = [
        f"{document.relative_to(ROOT)}: {target}"
        for document in documents
        for target in link.findall(document.read_text())
        if not (document.parent / target).exists()
    ]

    assert documents
    assert not dead


def test_every_decision_is_in_the_list_of_decisions() -> None:
    folder = ROOT / "docs/decisions"
    listed = re.findall(
        r"\((\d{4}-[a-z0-9-]+\.md)\)", (folder / "README.md").read_text()
    )

    assert sorted(listed) == sorted(path.name for path in folder.glob("0*.md"))


@pytest.mark.parametrize("name", ["nodelist", "ranges", "substitution", "units"])
def test_examples_in_docstrings_hold(name: str) -> None:
    result = doctest.testmod(importlib.import_module(f"hpcsched.common.{name}"))

    assert result.attempted > 0
    assert result.failed == 0


def test_common_loads_neither_grpc_nor_protobuf() -> None:
    names = [path.stem for path in (ROOT / "hpcsched/common").glob("[a-z]*.py")]
    code = "; ".join(f"import hpcsched.common.{name}" for name in names)
    code += "; import sys; sys.exit('grpc' in sys.modules or 'google' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    done = subprocess.run([sys.executable, "-c", code], env=environment, check=False)

    assert done.returncode == 0
