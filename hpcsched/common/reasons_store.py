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
    "DISK_LOW": Reason(
        "RESOURCE_EXHAUSTED",
        -2147220988,
        "no new work is taken, the head's disk is nearly full: {problem}",
        "make room, or forget ended jobs: hpc job forget",
    ),
    "SAFE_MODE": Reason(
        "FAILED_PRECONDITION",
        0,
        "the head is in safe mode: {problem}",
        "stop it; then give it the right state directory, or run "
        "hpcschedd --accept-rollback",
    ),
    "NODE_OF_ANOTHER_CLUSTER": Reason(
        "FAILED_PRECONDITION",
        0,
        "node {node} runs work of another cluster",
        "was the head started on a wrong or empty state directory? A node moves to "
        "another cluster when nothing runs on it any more",
    ),
    "NODE_KNOWS_MORE": Reason(
        "FAILED_PRECONDITION",
        0,
        "node {node} claims what this store never had, and other nodes do not: "
        "{problem}",
        "its agent's directory is damaged, or of another cluster: look at the node; "
        "then stop its agent, remove term and head.json there, and start it",
    ),
}
