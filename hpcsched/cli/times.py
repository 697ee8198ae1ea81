"""Times for people: local on a terminal, UTC where piped; and how long ago."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from hpcsched.common.units import format_duration

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from google.protobuf.timestamp_pb2 import Timestamp


def shown(message: Message, field: str) -> str:
    """Return a time of a message; empty where it was not reached."""
    if not message.HasField(field):
        return ""
    return moment(getattr(message, field))


def moment(stamp: Timestamp) -> str:
    """Return a time with its zone."""
    found = datetime.fromtimestamp(stamp.seconds + stamp.nanos / 1e9, UTC)
    if sys.stdout.isatty():
        return found.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    return found.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def clock_time(stamp: Timestamp) -> str:
    """Return the time of day on a terminal, all of it elsewhere."""
    if not sys.stdout.isatty():
        return moment(stamp)
    found = datetime.fromtimestamp(stamp.seconds + stamp.nanos / 1e9, UTC)
    return found.astimezone().strftime("%H:%M:%S")


def span(message: Message, since: str, until: str, *, now: float) -> str:
    """Return how long it was from one time of a message to another, or to now."""
    if not message.HasField(since):
        return ""
    start: Timestamp = getattr(message, since)
    end = now
    if message.HasField(until):
        stamp: Timestamp = getattr(message, until)
        end = stamp.seconds + stamp.nanos / 1e9
    seconds = max(0.0, end - (start.seconds + start.nanos / 1e9))
    return format_duration(round(seconds, 1) if seconds < 10 else round(seconds))  # noqa: PLR2004 - where tenths stop to matter
