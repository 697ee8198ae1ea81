"""Where in a job file is what the head refuses."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from hpcsched.common.errors import HpcError
    from hpcsched.jobfile.changing import FileChange

_TASK: Final = re.compile(r"tasks\[(\d+)\]")


def placed(refusal: HpcError, path: str, change: FileChange) -> None:
    """Add to a refusal of a file's change the place that it speaks of.

    Args:
        refusal: Its ``field`` names a property of the job, or one of the tasks.
        path: The file's.
        change: What the file says.
    """
    field = refusal.facts.get("field", "")
    if not field:
        return
    found = _TASK.match(field)
    where = path
    if found and int(found[1]) < len(change.tasks):
        place = int(found[1])
        where += f", task {place + 1}"
        if place < len(change.lines):
            refusal.facts["line"] = str(change.lines[place])
            where += f" in line {change.lines[place]}"
    refusal.facts["file"] = path
    refusal.args = (f"{refusal} ({where})",)
