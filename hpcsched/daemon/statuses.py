"""Exit statuses of the head, and which of them an error means (sysexits.h)."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from hpcsched.common.errors import HpcError
from hpcsched.daemon.config import ConfigError
from hpcsched.rpc.credentials import CredentialsError
from hpcsched.services.server import PortTakenError
from hpcsched.store.errors import (
    StateDirectoryError,
    StateLockedError,
    StoreBusyError,
    StoreFullError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

EX_LACKING: Final = 71
"""The machine lacks something just now: starting again later helps."""
EX_BROKEN: Final = 74
"""The disk fails, or the store is broken: starting again does not help."""
EX_TAKEN: Final = 75
EX_CONFIG: Final = 78
_PASSING: Final = (errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EMFILE, errno.ENFILE)
_TAKEN: Final = (StateLockedError, PortTakenError, StoreBusyError)
_CONFIG: Final = (StateDirectoryError, ConfigError, CredentialsError)


def status_of(error: BaseException) -> int | None:
    """Return the exit status for what keeps the head from going on; None: a fault.

    A full disk is no fault of the configuration: a service manager is to try again. A
    disk that fails is none either, and starting again would not mend it.
    """
    if isinstance(error, _TAKEN):
        return EX_TAKEN
    if isinstance(error, StoreFullError | HpcError):
        return EX_LACKING  # a refusal: there is no room for what a start writes
    refused = isinstance(error, _CONFIG)
    cause = error.__cause__ if refused else error
    if isinstance(cause, OSError) and cause.errno in _PASSING:
        return EX_LACKING
    if isinstance(cause, OSError) and cause.errno == errno.EIO:
        return EX_BROKEN
    return EX_CONFIG if refused else None


def reason_of(error: Exception) -> Exception:
    """Return what tasks that ended together ended for, where that is one error."""
    alone = list(_leaves(error))
    return alone[0] if len(alone) == 1 else error


def _leaves(error: Exception) -> Iterator[Exception]:
    if isinstance(error, ExceptionGroup):
        for one in error.exceptions:
            yield from _leaves(one)
    else:
        yield error
