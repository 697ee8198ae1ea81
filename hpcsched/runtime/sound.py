"""Specifications that were found sound: the same value is not looked through again.

Who submits the same job again and again, in one call or in many, has it checked once;
what depends on the moment or on the cluster's nodes is looked at each time.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from hpcsched.core.job.validation import validate_new, validate_together

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcsched.core.job.spec import JobSpec
    from hpcsched.core.settings import Settings
    from hpcsched.core.task.spec import TaskSpec

KEPT: Final = 64


class Sound:
    """See the module. Values are known by their identity: they never change."""

    def __init__(self) -> None:
        self._known: OrderedDict[
            tuple[int, bool], tuple[JobSpec, Sequence[TaskSpec], Settings]
        ] = OrderedDict()

    def check(
        self,
        spec: JobSpec,
        tasks: Sequence[TaskSpec],
        settings: Settings,
        *,
        together: bool = False,
    ) -> None:
        """Check a job and its tasks one by one, or what only the whole job can tell.

        Raises:
            HpcError: the first thing that is wrong.
        """
        known = self._known.get((id(spec), together))
        if known is not None and known[1] is tasks and known[2] is settings:
            return
        if together:
            validate_together(spec, tasks, settings)
        else:
            validate_new(spec, tasks, settings)
        # They are kept alive, so nobody else has their identity.
        self._known[id(spec), together] = (spec, tasks, settings)
        if len(self._known) > KEPT:
            self._known.popitem(last=False)
