"""The generated pages of docs/reference are what the code says."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ("job-files.md", "parameters.md", "refusals.md")


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


def test_every_written_page_is_compared() -> None:
    assert sorted(written()) == sorted(PAGES)
