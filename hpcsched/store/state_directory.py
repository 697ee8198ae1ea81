"""The directory of a head's state: made, tried out, locked by one head at a time."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hpcsched.store.errors import StateDirectoryError, StateLockedError

if TYPE_CHECKING:
    from hpcsched.common.rng import Ids

LOCK_FILE: Final = "head.lock"
BLOB_KEY_FILE: Final = "blob.key"
"""Key of users' blobs; a copy of the store alone does not give them away."""

#: File systems whose locks and syncs another machine keeps, or does not.
NETWORK_FILE_SYSTEMS: Final = frozenset(
    {
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "fuse.ceph",
        "fuse.glusterfs",
        "fuse.sshfs",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "smb3",
        "smbfs",
    }
)

_MOUNTS: Final = Path("/proc/self/mountinfo")


class StateLock:
    """Holds the state directory until it is closed or the process ends."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def close(self) -> None:
        """Let another head have the directory; a second time does nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def prepare_state_directory(path: Path, *, allow_network: bool = False) -> None:
    """Make the directory (mode 0700) and try what a store needs of it.

    Args:
        path: Absolute or relative to the working directory.
        allow_network: Take a network file system all the same.

    Raises:
        StateDirectoryError: it cannot be made or written, does not sync, does not lock,
            or is on a network file system.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        kind = file_system_of(path)
        if kind in NETWORK_FILE_SYSTEMS and not allow_network:
            problem = f"{path} is on {kind}, which keeps neither locks nor syncs for us"
            raise StateDirectoryError(problem)
        _try_out(path)
    except OSError as error:
        raise StateDirectoryError(f"{path}: {error.strerror or error}") from error


def lock_state_directory(path: Path) -> StateLock:
    """Take the directory for this process.

    Raises:
        StateLockedError: another process has it; says which.
        OSError: the lock file cannot be opened.
    """
    name = path / LOCK_FILE
    descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
        os.close(descriptor)
        holder = int(text) if text.isdecimal() else 0
        raise StateLockedError(str(path), holder) from None
    except BaseException:
        os.close(descriptor)
        raise
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
    return StateLock(descriptor)


def secret_file(path: Path, size: int, ids: Ids) -> bytes:
    """Return the bytes of a secret that only we can read; it is made if it is missing.

    Args:
        path: The file; its directory exists.
        size: Bytes of the secret.
        ids: Where chance comes from.

    Raises:
        StateDirectoryError: the file has another size: it is not ours, or is damaged.
        OSError: it cannot be read or made.
    """
    if not path.exists():
        draft = path.with_name(f"{path.name}.new")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        descriptor = os.open(draft, flags, 0o600)
        try:
            os.write(descriptor, ids.token_bytes(size))
            os.fsync(descriptor)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from error
        finally:
            os.close(descriptor)
        draft.rename(path)
        sync_directory(path.parent)
    secret = path.read_bytes()
    if len(secret) != size:
        problem = (
            f"{path} has {len(secret)} bytes, not {size}; restore it, or remove it"
        )
        raise StateDirectoryError(problem)
    return secret


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable.

    Raises:
        OSError: the disk did not.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        os.close(descriptor)


def file_system_of(path: Path, mounts: Path = _MOUNTS) -> str:
    """Return the type of the file system that a path is on; empty if not told.

    Source: proc_pid_mountinfo(5).
    """
    try:
        lines = mounts.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return ""
    target = path.resolve()
    best, kind = -1, ""
    for line in lines:
        fields, _, rest = line.partition(" - ")
        point = Path(_unescape(fields.split(" ")[4]))
        depth = len(point.parts)
        # The last mount on a point hides those before it.
        if depth >= best and (target == point or point in target.parents):
            best, kind = depth, rest.split(" ")[0]
    return kind


def _unescape(text: str) -> str:
    """Return a mount point as it is; space, tab, newline and backslash are octal."""
    for char in (" ", "\t", "\n", "\\"):
        text = text.replace(f"\\{ord(char):03o}", char)
    return text


def _try_out(path: Path) -> None:
    """Write, sync, rename and lock a file, as the database will."""
    trial, renamed = path / ".trial", path / ".trial.done"
    descriptor = os.open(
        trial, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600
    )
    try:
        os.write(descriptor, b"hpcsched\n")
        os.fsync(descriptor)
        trial.rename(renamed)
        sync_directory(path)
        _try_locks(descriptor, renamed)
    finally:
        os.close(descriptor)
        trial.unlink(missing_ok=True)
        renamed.unlink(missing_ok=True)


def _try_locks(descriptor: int, name: Path) -> None:
    """Lock a file twice over two open descriptions: the second must be refused."""
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    second = os.open(name, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    finally:
        os.close(second)
    raise StateDirectoryError(f"{name.parent}: its file system does not keep locks")
