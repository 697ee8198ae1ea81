"""Whether a local cluster was stopped: all that most verbs need to know of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

PLAN: Final = "cluster.json"
READY: Final = "ready.json"
SERVED: Final = "served.json"


def was_stopped(root: Path) -> bool:
    """Was the cluster in a directory started once, and stopped by ``hpc down``?

    Not if its head has died, be it that ``hpc up`` is just starting another.
    """
    served = (root / READY).exists() or (root / SERVED).exists()
    return (root / PLAN).exists() and not served
