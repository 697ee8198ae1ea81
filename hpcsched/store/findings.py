"""What a look at a store finds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that should not be.

    Attributes:
        rule: One word for the kind of rule that is broken (docs/guide/backup.md).
        text: What was found, a sentence for the operator.
        job_id: The job that it is about; 0: none.
    """

    rule: str
    text: str
    job_id: int = 0
