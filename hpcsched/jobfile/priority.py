"""Priorities: five names, and 0 to 4000 (properties.md 3.3)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from hpcsched.jobfile.problems import JobFileError
from hpcsched.jobfile.texts import whole

if TYPE_CHECKING:
    from hpcsched.jobfile.attributes import Attributes

BAND: Final = 1000
NORMAL: Final = 2000
HIGHEST: Final = 4000
NAMES: Final = ("Lowest", "BelowNormal", "Normal", "AboveNormal", "Highest")
_FORM: Final = re.compile(r"([A-Za-z]+)\s*([+-]\s*[0-9]{1,4})?", re.ASCII)


def named(priority: int) -> str:
    """Return the name of the band that a priority is in."""
    return NAMES[min(max(0, priority) // BAND, len(NAMES) - 1)]


def number_of(text: str) -> int:
    """Return the number of ``Normal``, ``Normal+100`` or ``2100``.

    Raises:
        JobFileError: it is none of these. Whether the number is in range the head says.
    """
    text = text.strip()
    found = _FORM.fullmatch(text)
    if found is None:
        return whole(text)
    bands = {name.lower(): place * BAND for place, name in enumerate(NAMES)}
    base = bands.get(found[1].lower())
    if base is None:
        raise JobFileError(f"{text!r} is not one of {', '.join(NAMES)}")
    return base + int((found[2] or "0").replace(" ", ""))


def priority_of(attributes: Attributes) -> int | None:
    """Return the priority that a job's attributes give it, or None.

    The reference writes Priority and ExpandedPriority, which say the same. Where they
    do not, somebody has edited one: the one that is no longer what goes with the other
    cannot be known, so the finer one holds, and the user is told.
    """
    named_text = attributes.take("Priority", number_of)
    expanded = attributes.take("ExpandedPriority", number_of)
    if expanded is None or named_text is None:
        return expanded if named_text is None else int(named_text)
    if named_text not in {expanded, expanded // BAND * BAND}:
        attributes.warn(
            f"Priority says {named_text} and ExpandedPriority {expanded}: "
            "ExpandedPriority holds"
        )
    return int(expanded)
