"""Telling systemd how a daemon is doing.

Source: sd_notify(3), sd_watchdog_enabled(3).
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from collections.abc import Mapping


@final
class Notifier:
    """The socket that systemd gave us, if it did; without one each call does nothing.

    A message that cannot be sent is not worth a daemon: the answer is False, and
    systemd draws its own conclusions.
    """

    __slots__ = ("_address", "_environment")

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._environment = dict(os.environ if environment is None else environment)
        self._address = _address(self._environment.get("NOTIFY_SOCKET", ""))

    def ready(self, status: str = "") -> bool:
        """Say that the start is over: what waits for this unit may go on."""
        return self.send("READY=1", *_status(status))

    def stopping(self, status: str = "") -> bool:
        """Say that the end has begun."""
        return self.send("STOPPING=1", *_status(status))

    def status(self, text: str) -> bool:
        """Show a line in ``systemctl status``."""
        return self.send(*_status(text))

    def watchdog(self) -> bool:
        """Say that all is well; due within ``watchdog_interval_s``."""
        return self.send("WATCHDOG=1")

    @property
    def watchdog_interval_s(self) -> float | None:
        """Seconds between two signs of life: half of what systemd waits for one.

        None where no watchdog is set, or where it is another process's.
        """
        microseconds = self._environment.get("WATCHDOG_USEC", "")
        if not microseconds.isdecimal() or int(microseconds) == 0:
            return None
        if self._environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
            return None
        return int(microseconds) / 2_000_000

    def send(self, *lines: str) -> bool:
        """Send assignments such as ``MAINPID=42``; return whether systemd has them."""
        if self._address is None or not lines:
            return False
        kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        with suppress(OSError), socket.socket(socket.AF_UNIX, kind) as channel:
            channel.sendto("\n".join(lines).encode(), self._address)
            return True
        return False


def _address(text: str) -> str | None:
    if text.startswith("@"):
        return "\0" + text[1:]  # the abstract namespace, which has no files
    return text if text.startswith("/") else None


def _status(text: str) -> tuple[str, ...]:
    # One assignment a line: a line break in the text would start another.
    return (f"STATUS={' '.join(text.split())}",) if text else ()
