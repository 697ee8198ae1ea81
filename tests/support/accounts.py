"""Accounts as a test wants them: an /etc of its own, in a mount namespace."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

#: Name, user id, group id, shell, shadow's password and day of expiry.
ACCOUNTS = (
    ("root", 0, 0, "/bin/sh", "*", ""),
    ("toor", 0, 0, "/bin/sh", "*", ""),
    ("ann", 12001, 12001, "/bin/sh", "!", ""),
    ("bob", 12002, 12002, "/bin/sh", "*", ""),
    ("daemon1", 650, 650, "/bin/sh", "*", ""),
    ("quiet", 12003, 12003, "/usr/sbin/nologin", "*", ""),
    ("locked", 12004, 12004, "/bin/sh", "!$6$salt$hash", ""),
    ("former", 12005, 12005, "/bin/sh", "*", "1"),
    ("dora", 12006, 12006, "/bin/sh", "*", ""),
    ("zero", 12007, 0, "/bin/sh", "*", ""),
)
GROUPS = "root:x:0:\nteam:x:12100:ann\ndocker:x:12200:dora\n"
KEPT = ("nsswitch.conf", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime")

ENTER = 'mount --bind "$0" /etc && exec "$@"'


def can_have_accounts() -> bool:
    """Say whether this process is root and may make a mount namespace."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "-m", "true"], check=False).returncode == 0


def make_etc(place: Path) -> Path:
    """Make a directory to be seen as /etc, and homes beside it."""
    etc = place / "etc"
    etc.mkdir()
    for name in KEPT:
        source = Path("/etc", name)
        if source.is_dir():
            shutil.copytree(source, etc / name)
        elif source.exists():
            shutil.copy(source, etc / name)
    passwd, shadow = [], []
    for name, uid, gid, shell, password, expires in ACCOUNTS:
        home = place / "home" / name
        home.mkdir(parents=True)
        os.chown(home, uid, gid)
        home.chmod(0o700)
        passwd.append(f"{name}:x:{uid}:{gid}::{home}:{shell}\n")
        shadow.append(f"{name}:{password}:19000:0:99999:7::{expires}:\n")
    (etc / "passwd").write_text("".join(passwd))
    (etc / "shadow").write_text("".join(shadow))
    (etc / "shadow").chmod(0o600)
    (etc / "group").write_text(GROUPS)
    return etc


def with_etc(etc: Path) -> tuple[str, ...]:
    """Return the words before a command that is to see another /etc."""
    return ("unshare", "-m", "sh", "-c", ENTER, str(etc))
