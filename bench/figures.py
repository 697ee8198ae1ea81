"""A figure of the benchmark, and how many of them are shown."""

from __future__ import annotations

import os
import platform
import statistics
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the table.

    Attributes:
        key: Which goal it belongs to: P1 to P12, or a growth table.
        what: What was measured.
        ours: Our figure, in ``unit``.
        goal: What it is to be, for people; empty: it only stands beside.
        score: Our figure over the goal's, 1 or more is reached; None: no goal.
        reference: Who did the same work in the same run, and their figure.
        ratio: Ours over the first reference's.
        extra: Further numbers: CPU time by program, percentiles, all runs.
    """

    key: str
    what: str
    ours: float
    unit: str
    goal: str = ""
    score: float | None = None
    reference: Mapping[str, float] = field(default_factory=dict)
    ratio: float | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def reached(self) -> bool | None:
        """Was the goal reached? None: there is none."""
        return None if self.score is None else self.score >= 1.0


def rate(
    key: str,
    what: str,
    count: int,
    ours: Sequence[float],
    *,
    theirs: Mapping[str, Sequence[float]],
    share: float,
    **extra: Any,
) -> Figure:
    """Return a figure of things per second against the first of those beside it.

    Args:
        key: Its goal.
        what: What was measured.
        count: How many things a run does.
        ours: Seconds of each run.
        theirs: The same of the others; the first is who the goal speaks of.
        share: What our rate over theirs is to be, at least.
        extra: Further numbers.
    """
    value = count / statistics.median(ours)
    reference = {name: count / statistics.median(t) for name, t in theirs.items() if t}
    first = next(iter(reference))
    ratio = value / reference[first]
    return Figure(
        key=key,
        what=what,
        ours=value,
        unit="/s",
        goal=f">= {share:g} x {first}",
        score=ratio / share,
        reference=reference,
        ratio=ratio,
        extra={"runs_s": list(ours), **extra},
    )


def at_most(
    key: str, what: str, ours: float, limit: float, unit: str, **extra: Any
) -> Figure:
    """Return a figure that is to stay below a limit."""
    return Figure(
        key=key,
        what=what,
        ours=ours,
        unit=unit,
        goal=f"<= {limit:g} {unit}",
        score=limit / ours if ours > 0 else 1000.0,
        extra=extra,
    )


def at_least(
    key: str, what: str, ours: float, limit: float, unit: str, **extra: Any
) -> Figure:
    """Return a figure that is to stay above a limit."""
    return Figure(
        key=key,
        what=what,
        ours=ours,
        unit=unit,
        goal=f">= {limit:g} {unit}",
        score=ours / limit,
        extra=extra,
    )


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which a share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def machine() -> dict[str, Any]:
    """Return where and when this was measured."""
    return {
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def number(value: float) -> str:
    """Return a number with three digits or so."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def table(figures: Sequence[Figure]) -> str:
    """Return the figures as lines for people."""
    rows = [("", "what", "ours", "goal", "", "beside it", "ratio")]
    marks = {True: "reached", False: "MISSED", None: ""}
    for one in figures:
        beside = ", ".join(f"{n} {number(v)}" for n, v in one.reference.items())
        rows.append(
            (
                *(one.key, one.what, f"{number(one.ours)} {one.unit}", one.goal),
                *(marks[one.reached], beside),
                "" if one.ratio is None else f"{one.ratio:.2f}",
            )
        )
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )


def as_json(figures: Sequence[Figure]) -> list[dict[str, Any]]:
    """Return the figures as JSON takes them."""
    return [{**asdict(one), "reached": one.reached} for one in figures]
