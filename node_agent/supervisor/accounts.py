"""The account under which a task runs, and which accounts no task ever gets.

Only the program that becomes the task asks for it (``dropping.py``), one process per
start: a name service that is slow or hangs holds up that start and nothing else.
"""

from __future__ import annotations

import ctypes
import grp
import os
import pwd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

LOOK_UP_S = 20
"""How long the name service may take to tell of an account."""

NO_LOGIN = ("nologin", "false")
DAY_S = 86400


class Account:
    """Who a task is.

    Attributes:
        groups: Supplementary groups, the primary one among them.
    """

    __slots__ = ("gid", "groups", "home", "name", "shell", "uid")

    def __init__(
        self, entry: tuple[str, int, int, str, str], groups: Sequence[int]
    ) -> None:
        self.name, self.uid, self.gid, self.home, self.shell = entry
        self.groups = sorted({*groups, self.gid})


class AccountError(Exception):
    """No task may run as this account here.

    Attributes:
        rule: Which rule says so: ``UNKNOWN_ACCOUNT``, ``ROOT``, ``MIN_UID``,
            ``LOCKED`` or ``PRIVILEGED_GROUP``.
    """

    def __init__(self, rule: str, text: str) -> None:
        self.rule = rule
        super().__init__(text)


class _Shadow(ctypes.Structure):
    """struct spwd, see getspnam(3)."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("password", ctypes.c_char_p),
        ("last_change", ctypes.c_long),
        ("least", ctypes.c_long),
        ("most", ctypes.c_long),
        ("warn", ctypes.c_long),
        ("inactive", ctypes.c_long),
        ("expire", ctypes.c_long),
        ("flag", ctypes.c_ulong),
    )


def look_up(
    name: str, *, min_uid: int, privileged: Sequence[str], now: float
) -> Account:
    """Return the account of a name, if tasks may run as it.

    Args:
        name: As the job or its owner's token spells it.
        min_uid: The lowest user id that is a person's.
        privileged: Names of groups whose members can become root.
        now: Seconds since 1970; an account may have expired.

    Raises:
        AccountError: there is none, or none for tasks.

    Source: RELIABILITY, "Processes and privileges on the node": neither root, nor a
    system account, nor one that is locked, nor a member of a privileged group.
    """
    try:
        entry = pwd.getpwnam(name)
    except (KeyError, ValueError):
        text = "this node has no account of this name"
        raise AccountError("UNKNOWN_ACCOUNT", text) from None
    uid, gid = entry.pw_uid, entry.pw_gid
    if uid == 0:
        raise AccountError("ROOT", "no task runs as root")
    if uid < min_uid:
        text = f"its user id {uid} is below {min_uid}, the least for tasks (--min-uid)"
        raise AccountError("MIN_UID", text)
    locked = _why_locked(name, entry.pw_shell, now)
    if locked:
        raise AccountError("LOCKED", locked)
    groups = os.getgrouplist(entry.pw_name, gid)
    refused = {_gid(group): group for group in privileged}
    refused[0] = "root"
    for number in (gid, *groups):
        if number in refused:
            text = f"it is in the privileged group {refused[number]}"
            raise AccountError("PRIVILEGED_GROUP", text)
    home = entry.pw_dir or "/"
    shell = entry.pw_shell or "/bin/sh"
    return Account((entry.pw_name, uid, gid, home, shell), groups)


def _gid(group: str) -> int | None:
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        return None


def _why_locked(name: str, shell: str, now: float) -> str:
    """Return why an account is out of use, empty if it is not.

    An account without a password, as those that log in by key have one, is in use. A
    ``!`` before a password is what ``usermod --lock`` and ``passwd -l`` put there.
    """
    if os.path.basename(shell) in NO_LOGIN:
        return f"its shell is {shell}"
    libc = ctypes.CDLL(None)
    getspnam = libc.getspnam
    getspnam.restype = ctypes.POINTER(_Shadow)
    found = getspnam(os.fsencode(name))
    if not found:  # not kept here, but by a directory service
        return ""
    if 0 <= found.contents.expire <= now // DAY_S:
        return "the account has expired"
    password = found.contents.password or b""
    if password.startswith(b"!") and password.strip(b"!*"):
        return "its password is locked"
    return ""
