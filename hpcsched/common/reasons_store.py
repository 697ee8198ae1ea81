"""Refusals that come from the store: backups, a disk without room, another history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hpcsched.common.reason import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

STORE_REASONS: Final[Mapping[str, Reason]] = {
    "BACKUP_NOT_FOUND": Reason(
        "NOT_FOUND", 0, "there is no backup {name}", "hpc cluster backup --list"
    ),
    "BACKUP_FAILED": Reason("FAILED_PRECONDITION", 0, "no backup was made: {problem}"),
}
