"""A simulation that finds nothing proves nothing: it has to notice planted defects.

``make sim-mutants`` plants all of them; here are some that brief seeds find soon.
"""

from __future__ import annotations

import pytest

from tests.support.sim.mutants import MUTANTS
from tests.support.sim.mutate import hunted
from tests.support.sim.sizes import BRIEF

SOON = (
    "events-before-commit",
    "cores-given-back-early",
    "term-not-raised",
    "orders-acknowledged-early",
    "waiting-there-not-asked",
)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", SOON)
def test_a_planted_defect_is_found(name: str) -> None:
    assert name in MUTANTS

    seed, problem = hunted(name, range(4031, 4331), BRIEF.name)

    assert seed, "no seed has noticed it"
    assert problem
