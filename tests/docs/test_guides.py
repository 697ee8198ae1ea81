"""Every page of the guide about a concept does what it says, on a cluster of its own.

A page is one session of a shell: the commands of its ``console`` blocks, in order. What
stands under a command is what it prints: each line must be there, in order, with ``…``
for anything; a line of it among others stands for many lines, or none. A command must
succeed unless a refusal stands under it.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.cluster import Cluster, program
from tests.support.guide import Step, session

if TYPE_CHECKING:
    from collections.abc import Iterator

GUIDE = Path(__file__).parents[2] / "docs" / "guide"
#: Pages that are no session, and why.
OTHERS = {
    "README.md": "a list of the pages; it has no commands",
    "clients.md": "programs; tests/clients/test_guide_programs.py runs them",
    "accounts.md": "root's on a node; tests/agent/supervisor/test_running_as.py",
    "install.md": "commands of a site; tests/systemd/test_units.py runs them",
}
PAGES = sorted(p.name for p in GUIDE.glob("*.md") if p.name not in OTHERS)
#: What takes longer hangs: a page runs dozens of commands, each a cold process.
LONGEST_S = 280.0

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    found = Cluster()
    try:
        found.up()
        yield found
    finally:
        found.destroy()


@pytest.mark.parametrize("page", PAGES)
def test_a_page_of_the_guide_does_what_it_says(page: str, cluster: Cluster) -> None:
    steps = session(GUIDE / page)
    assert steps, f"{page} has no commands"

    printed, statuses = run(steps, cluster)

    for step, text, status in zip(steps, printed, statuses, strict=True):
        assert status == 0 or step.is_refused, f"{page}: {step.command}\n{text}"
        missing = first_missing(step.shown, text.splitlines())
        assert missing is None, f"{page}: {step.command}\nno {missing!r} in:\n{text}"


def run(steps: list[Step], cluster: Cluster) -> tuple[list[str], list[int]]:
    """Return what each command prints, and its status."""
    lines = ["set -o pipefail"]
    for number, step in enumerate(steps):
        lines += [step.command, f'printf "\\n@@ {number} $? @@\\n"']
    script = cluster.base / "page.sh"
    script.write_text("\n".join(lines) + "\n")
    place = cluster.base / "page"
    place.mkdir()
    environment = cluster.environment()
    folder = Path(program()[0]).parent
    environment["PATH"] = f"{folder}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(
        ["bash", str(script)],
        check=False,
        cwd=place,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LONGEST_S,
    )
    parts = re.split(r"\n?@@ \d+ (\d+) @@\n", done.stdout)
    assert len(parts) == 2 * len(steps) + 1, done.stdout
    return parts[0:-1:2], [int(status) for status in parts[1::2]]


def first_missing(shown: list[str], printed: list[str]) -> str | None:
    """Return the first line that should be there in this order, and is not."""
    left = iter(printed)
    for line in shown:
        if line.strip() == "…" and len(shown) > 1:
            continue  # more lines, or none
        words = [re.escape(part) for part in " ".join(line.split()).split("…")]
        pattern = re.compile(".*".join(words))
        if not any(pattern.fullmatch(" ".join(found.split())) for found in left):
            return line
    return None


def test_a_line_that_is_not_printed_is_missed() -> None:
    assert first_missing(["a", "b … d"], ["x", "a", "b c d"]) is None
    assert first_missing(["b", "a"], ["a", "b"]) == "a"
    assert first_missing(["a b"], ["a  b c"]) == "a b"
    assert first_missing(["a", "…"], ["a"]) is None
    assert first_missing(["…", "a"], ["b"]) == "a"
    assert first_missing(["…"], []) == "…"


def test_the_list_of_pages_names_every_page_once() -> None:
    links = re.findall(r"\]\((\w[\w-]*\.md)\)", (GUIDE / "README.md").read_text())

    assert sorted(links) == sorted([*PAGES, *(set(OTHERS) - {"README.md"})])


def test_links_between_pages_lead_somewhere() -> None:
    for page in (*GUIDE.glob("*.md"), *GUIDE.parent.glob("reference/*.md")):
        for link in re.findall(r"\]\(([^)#:]+)[^):]*\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
