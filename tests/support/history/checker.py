"""The history checker: can all that was seen of a cluster be true, and is it right?

The rules are the invariants of the promises: an answer is durable (I1), an attempt
runs once (I2), attempts of a task never overlap (I3), one final state (I4), exact exit
codes (I5), no core is given twice (I6), watchers fold to the truth (I7), nothing is
stuck (I8), nothing starts after its cancel and nodes are prepared and released once
(I9), one job per request (I11), numbers never go back (I14), reruns are bounded (I15),
no process is left over (I16).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support.history import log_rules, node_rules, promise_rules
from tests.support.history.model import TERMINAL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.history.model import History

#: Of one rule, so that a thousand wrong elements are one page.
MOST_TOLD = 12


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was broken."""

    rule: str
    text: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.text}"


RULES = {
    "I1": (promise_rules.acked_is_there, promise_rules.refused_is_not),
    "I2": (node_rules.one_process_per_attempt,),
    "I3": (node_rules.attempts_do_not_overlap,),
    "I4": (log_rules.one_final_state,),
    "I5": (node_rules.ends_are_the_truth,),
    "I6": (node_rules.cores_are_given_once,),
    "I7": (log_rules.watchers_agree, log_rules.folds_are_the_state),
    "I9": (log_rules.nothing_starts_after_its_cancel, node_rules.nodes_are_tidied_once),
    "I11": (promise_rules.one_job_per_request,),
    "I14": (log_rules.revisions_have_no_gap, node_rules.attempts_never_go_back),
    "I15": (node_rules.reruns_are_bounded,),
    "I16": (node_rules.no_process_is_left,),
}


def check(history: History) -> list[Violation]:
    """Return what is wrong with a history, the first few of each rule."""
    found = [Violation("I8", text) for text in _stuck(history)][:MOST_TOLD]
    for rule, checks in RULES.items():
        texts = [text for look in checks for text in look(history)]
        found += [Violation(rule, text) for text in texts[:MOST_TOLD]]
        if len(texts) > MOST_TOLD:
            found.append(Violation(rule, f"… and {len(texts) - MOST_TOLD} more"))
    return found


def _stuck(history: History) -> Iterator[str]:
    """I8: at the end of a history all faults are over, and time was given."""
    for job in history.jobs.values():
        if job.state not in TERMINAL:
            yield f"job {job.job_id} ({job.name}) is still {job.state}"
