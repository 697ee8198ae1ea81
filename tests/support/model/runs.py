"""What is searched: bounded worlds, and worlds with one thing done wrongly."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tests.support.model.search import search
from tests.support.model.values import Config

if TYPE_CHECKING:
    from tests.support.model.search import Found


class Run(NamedTuple):
    """A world, and whether rest must be reachable from each of its states."""

    name: str
    config: Config
    live: bool = True

    def search(self) -> Found:
        """Search it, whole."""
        return search(self.config, live=self.live)


QUICK = (
    Run("nothing goes wrong", Config(release=True)),
    Run("head crashes, stream cut", Config(head_crashes=1, cuts=1)),
    Run("agent and spawner crash", Config(agent_crashes=1, spawner_crashes=1)),
    Run("power cut", Config(power_cuts=1)),
    Run("spawner and reaper die", Config(both_killed=1, release=True)),
    Run("frames lost, doubled, swapped", Config(mischief=2, cancels=1), live=False),
    Run("cancel, stream cut", Config(cancels=1, cuts=1)),
    Run("cancel of what never ends", Config(cancels=1, agent_crashes=1, endless=True)),
    Run("no space, stream cut", Config(refusals=1, cuts=1)),
)
"""Part of ``make test``: some seconds."""

FULL = (
    Run("head crashes, agent crashes", Config(head_crashes=1, agent_crashes=1)),
    Run("head crashes twice", Config(head_crashes=2, cancels=1)),
    Run("unreachable, hold", Config(losses=1, cuts=1, hold=True)),
    Run("unreachable, two nodes", Config(losses=1, nodes=2, hold=True)),
    Run("taken offline, two nodes", Config(evictions=1, nodes=2)),
    Run("release, unreachable", Config(release=True, losses=1)),
    Run("release, spawner crashes", Config(release=True, spawner_crashes=1)),
    Run("power cut, head crashes", Config(power_cuts=1, head_crashes=1)),
    Run("no space, streams cut", Config(refusals=1, cuts=2)),
)
"""``make model`` searches QUICK and these."""

LONG = (
    Run("unreachable, stream cut", Config(losses=1, cuts=1)),
    Run("power cut, stream cut", Config(power_cuts=1, cuts=1)),
    Run("cancel, release, power cut", Config(cancels=1, release=True, power_cuts=1)),
    Run("cancel, head crashes, cut", Config(cancels=1, head_crashes=1, cuts=1)),
    Run("three attempts, power cuts", Config(attempts=3, power_cuts=2), live=False),
    Run("unreachable twice", Config(losses=2), live=False),
    Run("two nodes, unreachable", Config(nodes=2, losses=1), live=False),
    Run("four kinds of crash", Config(
        head_crashes=1, agent_crashes=1, spawner_crashes=1, both_killed=1
    ), live=False),
)  # fmt: skip
"""``make model LONG=1`` searches these as well: more than a million states."""

MUTANTS = (
    Run("no_intent", Config(spawner_crashes=1)),
    Run("ended_forgotten", Config(cuts=1)),
    Run("attempt_not_checked", Config(losses=1)),
    Run("ack_before_commit", Config(head_crashes=1)),
    Run("act_before_commit", Config(head_crashes=1)),
    Run("spool_dropped_early", Config(cuts=1)),
    Run("ends_unknown_when_compared", Config(cuts=1)),
    Run("boot_not_checked", Config(power_cuts=1)),
    Run("ordered_before_compared", Config(power_cuts=1)),
    Run("resent_only_stopped", Config(cancels=1, cuts=1)),
    Run("fresh_only_stopped", Config(cancels=1)),
    Run("early_stop_forgotten", Config(cancels=1, endless=True)),
    Run("refusal_forgotten", Config(refusals=1, cuts=1)),
    Run("orphan_not_found", Config(both_killed=1)),
    Run("release_again", Config(release=True, power_cuts=1), live=False),
)
"""By the name of what is done wrongly; each must break a promise."""


def mutant(run: Run) -> Run:
    """Return the world with its defect."""
    return run._replace(config=run.config._replace(mutant=run.name))
