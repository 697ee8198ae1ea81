"""Run times as the first generation of the reference writes them."""

from __future__ import annotations

from typing import Final

from hpcsched.jobfile.problems import JobFileError
from hpcsched.jobfile.texts import whole

_SECONDS: Final = (60, 3600, 86400)


def v1_seconds(text: str) -> int:
    """Return the seconds of ``[[dd:]hh:]mm``; 0 for ``Infinite``.

    Raises:
        JobFileError: it is neither.
    """
    text = text.strip()
    if text.lower() == "infinite":
        return 0
    parts = text.split(":")
    if len(parts) > len(_SECONDS):
        raise JobFileError(f"{text!r} is not of the form dd:hh:mm, nor Infinite")
    values = [whole(part) for part in reversed(parts)]
    seconds = sum(v * s for v, s in zip(values, _SECONDS, strict=False))
    if min(values) < 0 or seconds > 2**31 - 1:
        raise JobFileError(f"{text!r} is out of range")
    return seconds
