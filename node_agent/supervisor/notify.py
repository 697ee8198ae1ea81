"""Telling systemd how the service is: sd_notify(3) without its library."""

from __future__ import annotations

import os
import socket

MICROSECONDS = 1_000_000


def notify(state: str) -> bool:
    """Send the state (``READY=1``) if the service manager wants to know.

    Returns:
        Whether somebody was told. Without NOTIFY_SOCKET there is nobody.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(
            socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC
        ) as channel:
            channel.sendto(state.encode(), address)
    except OSError:
        return False
    return True


def watchdog_s() -> float:
    """Return how often, in seconds, a sign of life is due; 0 if none is wanted.

    Half of systemd's limit, as sd_watchdog_enabled(3) advises.
    """
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    try:
        limit = int(os.environ.get("WATCHDOG_USEC", "0"))
    except ValueError:
        return 0.0
    return limit / MICROSECONDS / 2
