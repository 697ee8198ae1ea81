"""The generated pages of docs/reference are what the code says."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import grpc
import pytest

from hpcsched.common.errors import REASONS

ROOT = Path(__file__).parents[2]
PAGES = ("job-files.md", "limits.md", "parameters.md", "refusals.md")


def written() -> dict[str, str]:
    path = ROOT / "scripts" / "write_reference.py"
    spec = importlib.util.spec_from_file_location("write_reference", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: dict[str, str] = module.pages()
    return found


@pytest.mark.parametrize("page", PAGES)
def test_a_page_of_the_reference_is_current(page: str) -> None:
    path = ROOT / "docs" / "reference" / page

    same = path.read_text(encoding="utf-8") == written()[page]

    assert same, f"{page}: run python scripts/write_reference.py"


def test_the_page_of_limits_names_refusals_that_there_are() -> None:
    named = set(re.findall(r"`([A-Z_]{5,})`", written()["limits.md"]))

    statuses = {code.name for code in grpc.StatusCode}
    assert named - statuses <= set(REASONS)
    assert {"TOO_MANY_CALLS", "TOO_MANY_STREAMS", "QUEUE_FULL"} < named


def test_every_written_page_is_compared() -> None:
    assert sorted(written()) == sorted(PAGES)
