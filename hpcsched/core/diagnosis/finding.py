"""One thing that is not as it should be."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Severity(IntEnum):
    """How much it matters; the protos' numbers."""

    NOTE = 1
    WARNING = 2
    ERROR = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """See the module.

    Attributes:
        rule: Stable name of what was looked at, such as ``node_unreachable``.
        text: What is the matter.
        why: Why it matters.
        action: What to do.
        command: The command that does it, or that tells more; empty: there is none.
        nodes, job_ids: What it is about, the first of them.
    """

    severity: Severity
    rule: str
    text: str
    why: str
    action: str
    command: str = ""
    nodes: tuple[str, ...] = ()
    job_ids: tuple[int, ...] = ()
