"""Views of many jobs: those that are alike but for their number are kept as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpcsched.core.views import JobView


class JobViews(Sequence["JobView"]):
    """See the module.

    Attributes:
        runs: The views in order, each with the numbers of the jobs that it shows: its
            own one first.
    """

    def __init__(self) -> None:
        self.runs: list[tuple[JobView, Sequence[int]]] = []

    def add(self, view: JobView, ids: Sequence[int] = ()) -> None:
        """Add a job, or all those that are alike."""
        self.runs.append((view, ids or (view.job_id,)))

    def __len__(self) -> int:
        return sum(len(ids) for _, ids in self.runs)

    def __iter__(self) -> Iterator[JobView]:
        return chain.from_iterable(
            (view if n == view.job_id else replace(view, job_id=n) for n in ids)
            for view, ids in self.runs
        )

    def __getitem__(self, at: Any) -> Any:
        return list(self)[at]
