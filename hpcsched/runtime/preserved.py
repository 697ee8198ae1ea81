"""Variables that only the scheduler sets: a setting of others is logged (D19)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from hpcsched.core.job.environment import is_protected

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hpcsched.core.caller import Caller

log = logging.getLogger(__name__)
_SHOWN: Final = 10


def warn_of_preserved(
    caller: Caller, what: str, environments: Iterable[Iterable[str]]
) -> None:
    """Log names in the environments of a job or its tasks that have no effect."""
    names = {name for one in environments for name in one if is_protected(name)}
    if names:
        some = ", ".join(sorted(names)[:_SHOWN])
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        log.warning(
            "%s: %s sets %s%s, which only the scheduler sets: ignored",
            *(what, caller.user, some, more),
        )
