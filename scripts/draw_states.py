"""Writes docs/reference/states.md from the transition tables.

Run it after a change of them: python scripts/draw_states.py
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
PAGE: Final = ROOT / "docs" / "reference" / "states.md"

if TYPE_CHECKING:
    from collections.abc import Iterable

_HEAD: Final = """\
# States of jobs and tasks

Drawn from the transition tables in `hpcsched/core/job/table.py` and
`hpcsched/core/task/table.py` by `scripts/draw_states.py`; a test compares them.
Several states in one arrow's table row are passed within one commit, and watchers are
told of each.

"""


def page() -> str:
    """Return the page as it should be."""
    from hpcsched.core.job.states import JobState  # noqa: PLC0415
    from hpcsched.core.job.table import JOB_TABLE  # noqa: PLC0415
    from hpcsched.core.task.states import TaskState  # noqa: PLC0415
    from hpcsched.core.task.table import TASK_TABLE  # noqa: PLC0415

    return _HEAD + "\n".join(
        [
            *_section("Jobs", JOB_TABLE, JobState),
            *_section("Tasks and elements of sweeps", TASK_TABLE, TaskState),
        ]
    )


def _section(title: str, table: Iterable[Any], states: Any) -> list[str]:
    rows = list(table)
    lines = [f"## {title}", "", "```mermaid", "stateDiagram-v2"]
    lines.append(f"    [*] --> {states.CONFIGURING.label}")
    arrows: dict[tuple[int, int], list[str]] = {}
    for row in rows:
        for state in sorted(row.states):
            for path in row.paths:
                for step in zip((state, *path), path, strict=False):
                    triggers = arrows.setdefault(step, [])
                    if row.trigger.value not in triggers:
                        triggers.append(row.trigger.value)
    for (a, b), triggers in sorted(arrows.items()):
        names = f"{states(a).label} --> {states(b).label}"
        lines.append(f"    {names}: {', '.join(triggers)}")
    lines += [f"    {s.label} --> [*]" for s in states if s.terminal]
    lines += ["```", "", "| Rule | From | Trigger | To |", "|---|---|---|---|"]
    for row in rows:
        start = ", ".join(state.label for state in sorted(row.states))
        ways = [" → ".join(state.label for state in path) for path in row.paths]
        end = " or ".join(way or "(unchanged)" for way in ways)
        lines.append(f"| {row.name} | {start} | {row.trigger.value} | {end} |")
    return [*lines, ""]


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page())
    print(PAGE)
