"""Commands about nodes that a job may not use; a part of ``commands``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcsched.core.caller import Caller


@dataclass(frozen=True, slots=True, kw_only=True)
class ExcludeNodes:
    """Forbid nodes to a job, allow some again, or all (api.md 4)."""

    caller: Caller
    add: Sequence[str] = ()
    remove: Sequence[str] = ()
    clear: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewNodes:
    """A node has left some of its groups; may the job still use it (T24, T25)?"""

    node_id: int
    node: str
