"""What the services need of the head about backups: a part of ``runtime.front``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcsched.core.caller import Caller
    from hpcsched.store.backups import Backup


class BackupFront(Protocol):
    """Use cases of backups."""

    async def create_backup(self, caller: Caller, keep: int) -> Backup: ...
    async def list_backups(self, caller: Caller) -> Sequence[Backup]: ...
    async def read_backup(
        self, caller: Caller, name: str, offset: int
    ) -> tuple[bytes, bool]: ...
    async def delete_backups(self, caller: Caller, names: Sequence[str]) -> None: ...
