"""What may be wrong with jobs: set aside, or waiting for what there is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hpcsched.core.diagnosis.finding import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hpcsched.core.diagnosis.facts import ClusterFacts

_SHOWN: Final = 8
_LISTED: Final = 1_000


def job_findings(facts: ClusterFacts) -> Iterator[Finding]:
    """Say what is wrong with jobs."""
    if facts.unreadable:
        numbers = sorted(facts.unreadable)
        yield Finding(
            severity=Severity.ERROR,
            rule="job_unreadable",
            text=f"{named(numbers, len(numbers))} cannot be read from the store",
            why="nothing happens to such a job; what runs of it runs on",
            action="start a version of the head that can read it, or delete it",
            command=f"hpc job why {numbers[0]}",
            job_ids=tuple(numbers[:_LISTED]),
        )
    numbers = sorted(set(facts.apart) - set(facts.unreadable))
    if numbers:
        chosen = ",".join(map(str, numbers[:_SHOWN]))
        yield Finding(
            severity=Severity.ERROR,
            rule="job_set_aside",
            text=f"{named(numbers, len(numbers))} set aside after a fault of the head",
            why="nothing happens to such a job, and what it holds stays held",
            action="read the incident in the head's log, then let it go on or end it",
            command=f"hpc job release {chosen}",
            job_ids=tuple(numbers[:_LISTED]),
        )
    for stuck in facts.stuck:
        first = stuck.job_ids[0]
        who = named(stuck.job_ids, stuck.count, "waits", "wait")
        if stuck.ever:
            yield Finding(
                severity=Severity.WARNING,
                rule="job_never_starts",
                text=f"{who} for what no nodes of this cluster can give: {stuck.needs}",
                why="it waits for ever, and nobody is told",
                action="change what it asks for, cancel it, or add such nodes",
                command=f"hpc job why {first}",
                job_ids=stuck.job_ids,
            )
        else:
            yield Finding(
                severity=Severity.WARNING,
                rule="job_waits_for_nodes",
                text=f"{who} for nodes that take no work now: {stuck.needs}",
                why="it does not start before they do",
                action="let them take work, or see to those that are not reachable",
                command=f"hpc job why {first}",
                job_ids=stuck.job_ids,
            )


def named(
    numbers: Sequence[int], count: int, one: str = "is", many: str = "are"
) -> str:
    """Return jobs by number, the first of them where they are many, and a verb."""
    if count == 1:
        return f"job {numbers[0]} {one}"
    some = ", ".join(map(str, numbers[:_SHOWN]))
    more = f" and {count - _SHOWN} more" if count > _SHOWN else ""
    return f"jobs {some}{more} {many}"
