"""How large a seed is: a whole one, or a brief one of which many fit into a minute."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much of everything a seed has; what it is made of is the same in all.

    Pairs are the least and the most, both included, unless said otherwise.

    Attributes:
        name: As options call it.
        nodes: Of the cluster.
        seconds: While users act and faults strike: the least, and what may be added.
        heartbeats: Intervals of which one is drawn, seconds.
        jobs: Submitted one after the other.
        crowds, flocks: How many there are: one of these is drawn.
        crowd, flock: Jobs of each.
        floods: Jobs of a flood: one of these is drawn.
        elements: Elements of a sweep, at the most.
        meddle_s: How long after a job somebody meddles with one, at the most.
        theme_s: Between two acts of a theme of ``Extras``: the least, what is added.
        faults: How many kinds of faults there are; None: each kind by chance.
        fault_s: Mean time between two faults: the least, and what may be added.
        harm: Share of the time that a fault of a whole seed lasts, at the most.
        restart_s: How long a program that died stays away, at the most.
        patience_s: A queued job that nothing has happened to for so long, when all is
            well, waits for what will never be there: its user gives it up.
        quiet_s: When everything has ended, what is on its way has so long to arrive;
            more than ``restart_s``.
    """

    name: str
    nodes: tuple[int, int]
    seconds: tuple[float, float]
    heartbeats: tuple[int, ...]
    jobs: tuple[int, int]
    crowds: tuple[int, ...]
    crowd: tuple[int, int]
    flocks: tuple[int, ...]
    flock: tuple[int, int]
    floods: tuple[int, ...]
    elements: int
    meddle_s: float
    theme_s: tuple[float, float]
    faults: tuple[int, int] | None
    fault_s: tuple[float, float]
    harm: float
    restart_s: float
    patience_s: float
    quiet_s: float


WHOLE = Size(
    name="whole",
    nodes=(2, 5),
    seconds=(60.0, 600.0),
    heartbeats=(5, 10, 30),
    jobs=(4, 24),
    crowds=(0, 0, 1, 3),
    crowd=(10, 40),
    flocks=(0, 0, 1, 3),
    flock=(10, 60),
    floods=(3, 12, 12, 30, 60),
    elements=25,
    meddle_s=60.0,
    theme_s=(10.0, 60.0),
    faults=None,
    fault_s=(5.0, 60.0),
    harm=1.0,
    restart_s=120.0,
    patience_s=900.0,
    quiet_s=200.0,
)

BRIEF = Size(
    name="brief",
    nodes=(1, 2),
    seconds=(15.0, 45.0),
    heartbeats=(5, 10),
    jobs=(2, 5),
    crowds=(0, 0, 0, 1),
    crowd=(3, 12),
    flocks=(0, 0, 0, 1),
    flock=(3, 12),
    floods=(3, 3, 6, 12),
    elements=8,
    meddle_s=15.0,
    theme_s=(5.0, 25.0),
    faults=(1, 3),
    fault_s=(2.0, 12.0),
    harm=0.3,
    restart_s=60.0,
    patience_s=120.0,
    quiet_s=75.0,
)

SIZES = {size.name: size for size in (WHOLE, BRIEF)}

#: Sizes take turns: a seed has that which its number gives it.
MIXED = "mixed"
#: Of so many seeds one is whole. Odd, so that whole ones meet both kinds of stores.
EACH = 17


def size_of(seed: int, wanted: str) -> Size:
    """Return how large a seed is to be: of the size wanted, or what its turn is."""
    if wanted != MIXED:
        return SIZES[wanted]
    return BRIEF if seed % EACH else WHOLE
