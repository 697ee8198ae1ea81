"""Why a store did not do what it was asked."""

from __future__ import annotations

import errno


class StoreError(Exception):
    """A store refused or failed; nothing of the delta was written."""


class InvalidDeltaError(StoreError, ValueError):
    """A delta contradicts itself: a fault of the caller."""


class DeltaRefusedError(StoreError):
    """The database does not take this delta; others of its transaction are written.

    The cause is the driver's error.
    """


class StaleRevisionError(StoreError):
    """The events of a delta do not follow the newest kept revision of their job.

    A fault, not a refusal: a job has one owner.
    """

    def __init__(self, job_id: int, revision: int) -> None:
        self.job_id = job_id
        self.revision = revision
        super().__init__(f"job {job_id} is not at revision {revision}")


class DuplicateRequestError(StoreError):
    """The request id was answered before: look the answer up instead."""


class StoreBusyError(StoreError):
    """Another program held the database locked for longer than we wait."""


class StoreFullError(StoreError, OSError):
    """The disk is full. The delta was not written; the store goes on."""

    def __init__(self, message: str) -> None:
        super().__init__(errno.ENOSPC, message)


class StoreBrokenError(StoreError):
    """An I/O error or damage: what the disk holds is unknown, nothing more is written.

    The head must stop, and must not start again on the same files by itself.
    """


class StoreTakenError(StoreBrokenError):
    """Another head has opened the same files, or they were exchanged: it is over.

    The directory's lock keeps heads apart; this is for a lock that somebody removed, or
    that the file system does not keep. What is on the disk is sound, and the other's.
    """


class StoreClosedError(StoreError):
    """The store has been closed."""


class StoreFormatError(StoreError):
    """The file is not a store of this program, or one of a newer version."""


class NoSuchBackupError(StoreError):
    """There is no backup of this name."""


class StateDirectoryError(StoreError):
    """The state directory cannot keep promises: the message says what it lacks."""


class StateLockedError(StoreError):
    """Another head uses the state directory.

    Attributes:
        pid: Its process id, or 0 when it has not written it yet.
    """

    def __init__(self, path: str, pid: int) -> None:
        self.pid = pid
        holder = f"process {pid}" if pid else "another process"
        super().__init__(f"{path} is in use by {holder}")
