"""Use cases of backups of the store."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from hpcsched.common.errors import HpcError
from hpcsched.runtime.diagnosing import LAST_BACKUP
from hpcsched.runtime.durable import to_its_end, written
from hpcsched.store.base import Delta
from hpcsched.store.errors import NoSuchBackupError, StoreError, StoreFullError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from hpcsched.core.caller import Caller
    from hpcsched.runtime.world import World
    from hpcsched.store.backups import Backup

log = logging.getLogger(__name__)
PART_BYTES: Final = 1 << 20
"""The most of a backup that is read at once."""


class BackupCalls:
    """The part of ``runtime.front.ClusterFront`` about backups."""

    _world: World
    _backup_lock: asyncio.Lock
    _counters: dict[str, int]

    async def create_backup(self, caller: Caller, keep: int) -> Backup:
        """Make a backup on the head, then delete the oldest beyond ``keep`` (0: none).

        Raises:
            HpcError: PERMISSION_DENIED, BACKUP_FAILED, DISK_FULL.
        """
        caller.require_administrator("back up the store")
        return await to_its_end(self._world, self._back_up(caller, keep))

    async def _back_up(self, caller: Caller, keep: int) -> Backup:
        store = self._world.store
        async with self._backup_lock:  # two at once would only take twice as long
            try:
                made = await store.create_backup(self._world.clock.wall())
                if keep:
                    for old in (await store.list_backups())[:-keep]:
                        await store.delete_backup(old.name)
            except StoreFullError as error:
                raise HpcError("BACKUP_FAILED", problem=error.strerror) from error
            except StoreError as error:
                raise HpcError("BACKUP_FAILED", problem=str(error)) from error
        await self._remember(made.time)
        log.info("backup %s, %d bytes, by %s", made.name, made.size, caller.user)
        return made

    async def _remember(self, when: float) -> None:
        """Keep when it was, for the diagnosis: one that is fetched leaves the head."""
        self._counters[LAST_BACKUP] = int(when)
        try:
            await written(self._world, Delta(counters={LAST_BACKUP: int(when)}))
        except HpcError as error:
            log.warning("the time of the backup is not recorded: %s", error)

    async def list_backups(self, caller: Caller) -> Sequence[Backup]:
        """Return the backups that the head has, oldest first.

        Raises:
            HpcError: PERMISSION_DENIED.
        """
        caller.require_administrator("see backups")
        return await self._world.store.list_backups()

    async def read_backup(
        self, caller: Caller, name: str, offset: int
    ) -> tuple[bytes, bool]:
        """Return a part of a backup, and whether it is the last.

        Raises:
            HpcError: PERMISSION_DENIED, BACKUP_NOT_FOUND.
        """
        caller.require_administrator("read backups")
        try:
            data = await self._world.store.read_backup(name, offset, PART_BYTES)
        except NoSuchBackupError:
            raise HpcError("BACKUP_NOT_FOUND", name=name) from None
        return data, len(data) < PART_BYTES

    async def delete_backups(self, caller: Caller, names: Sequence[str]) -> None:
        """Delete backups, up to the first that there is not.

        Raises:
            HpcError: PERMISSION_DENIED, BACKUP_NOT_FOUND.
        """
        caller.require_administrator("delete backups")
        for name in names:
            try:
                await self._world.store.delete_backup(name)
            except NoSuchBackupError:
                raise HpcError("BACKUP_NOT_FOUND", name=name) from None
