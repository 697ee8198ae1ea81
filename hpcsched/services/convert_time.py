"""Times and durations: seconds as floats here, protobuf messages on the wire."""

from __future__ import annotations

from typing import Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from hpcsched.common.errors import HpcError

_MICRO: Final = 1_000_000
_NANO: Final = 1_000_000_000
#: 10,000 years, the largest that protobuf allows.
_LONGEST_S: Final = 315_576_000_000
_FIRST_S: Final = -62_135_596_800
_LAST_S: Final = 253_402_300_799


def timestamp(seconds: float | None) -> Timestamp | None:
    """Return a time, to the microsecond; None stays None and leaves the field unset."""
    if seconds is None:
        return None
    whole, micros = divmod(round(seconds * _MICRO), _MICRO)
    return Timestamp(seconds=whole, nanos=micros * 1000)


def put_timestamp(message: Timestamp, seconds: float) -> None:
    """Make a message that time, to the microsecond."""
    whole, micros = divmod(round(seconds * _MICRO), _MICRO)
    message.seconds = whole
    message.nanos = micros * 1000


def duration(seconds: float) -> Duration:
    """Return a duration, to the microsecond."""
    whole, micros = divmod(round(seconds * _MICRO), _MICRO)
    return Duration(seconds=whole, nanos=micros * 1000)


def seconds_since_epoch(message: Timestamp, field: str) -> float:
    """Return a time as seconds since 1970, UTC.

    Raises:
        HpcError: INVALID_FIELD, the message is not a normalized Timestamp.
    """
    if not (0 <= message.nanos < _NANO and _FIRST_S <= message.seconds <= _LAST_S):
        raise HpcError("INVALID_FIELD", field=field, problem="not a valid timestamp")
    return _seconds(message)


def seconds_of(message: Duration, field: str) -> float:
    """Return a duration in seconds.

    Raises:
        HpcError: INVALID_FIELD, it is negative or not a normalized Duration.
    """
    if message.seconds < 0 or message.nanos < 0:
        raise HpcError("INVALID_FIELD", field=field, problem="it must not be negative")
    if message.seconds > _LONGEST_S:
        problem = f"at most {_LONGEST_S} s, 10,000 years, can be written"
        raise HpcError("INVALID_FIELD", field=field, problem=problem)
    if message.nanos >= _NANO:
        raise HpcError("INVALID_FIELD", field=field, problem="not a valid duration")
    return _seconds(message)


def _seconds(message: Timestamp | Duration) -> float:
    # One division rounds once: 1.795635 comes back as 1.795635.
    return (message.seconds * _NANO + message.nanos) / _NANO
