"""Random lives of a job: whatever is asked and reported, its rules hold.

``make walks`` walks longer; what failed is walked again by its seed.
"""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from hpcsched.core.job.decide import HANDLERS
from hpcsched.core.job.model import UsePhase
from hpcsched.core.job.placing import next_task
from hpcsched.core.job.states import JobState
from hpcsched.core.task.states import TaskState
from tests.support.job_walks import STEPS, Walk

if TYPE_CHECKING:
    from tests.support.job_bench import Bench

LIVES = int(os.environ.get("HPCSCHED_LIVES", "30"))
FIRST = int(os.environ.get("HPCSCHED_FIRST_LIFE", "0"))
DICE = st.randoms(use_true_random=False)

pytestmark = pytest.mark.timeout(max(120, 4 * LIVES))


class Lives(RuleBasedStateMachine):
    """Any step in any order, with dice that Hypothesis throws and can throw lower."""

    walk: Walk | None = None

    @initialize(die=DICE, submit=st.integers(0, 4))
    def create(self, die: random.Random, submit: int) -> None:
        self.walk = Walk(die)
        if submit:
            self.walk.step_submit()

    @rule(name=st.sampled_from(STEPS), die=DICE)
    def step(self, name: str, die: random.Random) -> None:
        assert self.walk is not None
        self.walk.die = die
        getattr(self.walk, name)()

    @rule(
        name=st.sampled_from(("step_grant", "step_start", "step_end", "step_requeue")),
        die=DICE,
    )
    def step_that_leads_on(self, name: str, die: random.Random) -> None:
        """These more often: a job that never runs shows little."""
        self.step(name, die)

    def teardown(self) -> None:
        if self.walk is not None:
            heal(self.walk.bench)


def heal(bench: Bench) -> None:
    """Let every node answer; the job must come to rest where it may rest."""
    job = bench.job
    for node in [n for n, use in job.uses.items() if use.phase.lost]:
        bench.sync(node, bench.live(node))
    if job.service is not None and job.state is JobState.RUNNING:
        bench.conclude(job.service.task_id)
    bench.end_all()
    if job.state is not JobState.RUNNING:
        assert job.state.terminal or job.state in (
            JobState.CONFIGURING,
            JobState.EXTERNAL_VALIDATION,
            JobState.QUEUED,
        )
        return
    queued = job.counts[TaskState.QUEUED]
    assert job.spec.run_until_canceled or (queued and next_task(job) is None)
    assert all(use.phase is UsePhase.READY for use in job.uses.values())


Lives.TestCase.settings = settings(
    max_examples=5 * LIVES,
    stateful_step_count=30,
    deadline=None,
    derandomize="CI" in os.environ,
    print_blob=True,
    phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.too_slow],
)
TestLives = Lives.TestCase


@pytest.mark.parametrize("block", range(8))
def test_long_lives_come_to_rest(block: int) -> None:
    """Each life is made from its seed, so that a failure can be seen again."""
    for seed in range(FIRST + block * LIVES, FIRST + (block + 1) * LIVES):
        walk = Walk(random.Random(seed))
        try:
            walk.go(100)
            heal(walk.bench)
        except Exception as fault:
            fault.add_note(f"seed {seed}")
            raise


def test_lives_ask_for_everything_that_can_be_asked() -> None:
    """Each command is carried out in some life: a new one needs a step of its own."""
    done = set()
    for seed in range(400):
        walk = Walk(random.Random(seed))
        walk.go(60)
        done |= walk.bench.done
        if done == set(HANDLERS):
            return
    missing = ", ".join(kind.__name__ for kind in set(HANDLERS) - done)
    raise AssertionError(f"no step of tests/support/job_walks.py does {missing}")
