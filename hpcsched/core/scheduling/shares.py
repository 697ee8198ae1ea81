"""Who is due how much: the guarantees of pools, and shares in Balanced mode."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hpcsched.core.scheduling.snapshot import Snapshot

POINTS: Final = 1000
"""Points of priority that PriorityBias speaks of."""
_LITTLE: Final = 1e-9
"""Weight of a pool without a guarantee: it gets what nobody else wants."""


class Pools:
    """What the pools' jobs hold, and may hold in any case, while a plan is made."""

    def __init__(self, shot: Snapshot, guarantees: Mapping[str, int] | None) -> None:
        self.on = guarantees is not None
        self._guarantees = guarantees or {}
        self._used: Counter[str] = Counter()
        if self.on:
            for job_id, holder in shot.holders.items():
                held = shot.held.get(job_id, {})
                self._used[holder.pool] += sum(len(ids) for ids in held.values())

    def left(self, pool: str) -> int:
        """Return how many cores a pool's jobs are still due."""
        return max(0, self._guarantees.get(pool, 0) - self._used[pool])

    def take(self, pool: str, count: int) -> None:
        """A job of the pool gets so many cores more."""
        if self.on:
            self._used[pool] += count

    def beyond(self) -> defaultdict[str, int]:
        """Return the cores that each pool's jobs hold beyond its guarantee."""
        over: defaultdict[str, int] = defaultdict(int)
        for pool, used in self._used.items():
            over[pool] = max(0, used - self._guarantees.get(pool, 0))
        return over


@dataclass(frozen=True, slots=True)
class Claimant:
    """One among whom cores are shared: at least ``low``, at most ``high``."""

    key: int | str
    low: int
    high: int
    weight: float


def shared_out(total: int, among: Sequence[Claimant]) -> dict[int | str, int]:
    """Share cores: everybody's minimum first, the surplus by weight.

    What one cannot use goes to the others. Less than all minima together is no share:
    then everybody keeps the minimum.
    """
    shares = {one.key: one.low for one in among}
    rest = total - sum(shares.values())
    hungry = [one for one in among if one.high > one.low]
    hungry.sort(key=lambda one: (one.high - one.low) / one.weight)
    weight = sum(one.weight for one in hungry)
    parts: list[tuple[float, Claimant]] = []
    for number, one in enumerate(hungry):
        if rest <= 0:
            break
        due = rest * one.weight / weight
        if one.high - one.low > due:
            parts = [(rest * each.weight / weight, each) for each in hungry[number:]]
            break
        shares[one.key] = one.high
        rest -= one.high - one.low
        weight -= one.weight
    for due, one in parts:
        shares[one.key] += int(due)
        rest -= int(due)
    # Whole cores only: what is left over goes to the largest remainders.
    parts.sort(key=lambda part: int(part[0]) - part[0])
    for _, one in parts[: max(0, rest)]:
        shares[one.key] += 1
    return shares


def share_pools(
    total: int,
    among: Mapping[str, Sequence[Claimant]],
    guarantees: Mapping[str, int],
) -> dict[int | str, int]:
    """Share cores among pools by their guarantees, and in each among its jobs."""
    pools: list[Claimant] = []
    for pool, claimants in among.items():
        least = sum(one.low for one in claimants)
        most = max(least, sum(one.high for one in claimants))
        due = guarantees.get(pool, 0)
        low = max(least, min(due, most))
        pools.append(Claimant(pool, low, most, due or _LITTLE))
    if sum(one.low for one in pools) > total:
        pools = [
            Claimant(one.key, sum(c.low for c in among[str(one.key)]), *_rest(one))
            for one in pools
        ]
    parts = shared_out(total, pools)
    shares: dict[int | str, int] = {}
    for pool, claimants in among.items():
        shares |= shared_out(parts[pool], claimants)
    return shares


def _rest(one: Claimant) -> tuple[int, float]:
    return one.high, one.weight


def weight_of(priority: int, bias: float) -> float:
    """Return the weight of a priority: ``bias`` times as much per 1,000 points."""
    return float(bias ** (priority / POINTS))


def guarantees_of(weights: Iterable[tuple[str, int]], cores: int) -> dict[str, int]:
    """Return each pool's guarantee: its part of the weights times the cores.

    Rounded down, so that the sum is never more than there is.
    """
    pools = list(weights)
    total = sum(weight for _, weight in pools)
    return {name: cores * weight // total if total else 0 for name, weight in pools}
