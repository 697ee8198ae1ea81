"""No lost or doubled execution between head and agent, within bounds (README.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.model.runs import MUTANTS, QUICK, mutant

if TYPE_CHECKING:
    from tests.support.model.runs import Run


@pytest.mark.timeout(60)
@pytest.mark.parametrize("run", QUICK, ids=lambda run: run.name)
def test_no_state_that_can_be_reached_breaks_a_promise(run: Run) -> None:
    found = run.search()

    assert not found.broken, "\n  ".join((found.broken, *found.trace))
    assert found.complete


@pytest.mark.timeout(60)
@pytest.mark.parametrize("run", MUTANTS, ids=lambda run: run.name)
def test_what_is_done_wrongly_is_found(run: Run) -> None:
    assert mutant(run).search().broken
