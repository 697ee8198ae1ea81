"""What ``hpcschedd`` does with a store instead of serving it."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from hpcsched.runtime.checking import check_store

if TYPE_CHECKING:
    from pathlib import Path

    from hpcsched.runtime.checking import Report

EX_FINDINGS: Final = 65


def check(state: Path, *, as_json: bool) -> int:
    """Look at a store, which a head may be serving, and print what is wrong.

    Args:
        state: The state directory, or a file such as a backup.
        as_json: One JSON object.

    Returns:
        The exit status.
    """
    report = check_store(state)
    if as_json:
        print(json.dumps(_as_json(report)))  # noqa: T201
    else:
        for finding in report.findings:
            print(f"{finding.rule}: {finding.text}")  # noqa: T201
        print(_summary(report), file=sys.stderr)  # noqa: T201
    return EX_FINDINGS if report.findings else 0


def _as_json(report: Report) -> dict[str, object]:
    found = asdict(report)
    found["findings"] = [asdict(finding) for finding in report.findings]
    return {"sound": not report.findings, **found}


def _summary(report: Report) -> str:
    count = len(report.findings)
    if count:
        told = "1 finding" if count == 1 else f"{count} findings"
        more = " or more" if report.full else ""
        return (
            f"hpcschedd: {report.path}: {told}{more}; a backup may be restored with "
            "hpcschedd --restore FILE"
        )
    rows = ", ".join(f"{n} {name}" for name, n in report.counts.items())
    return f"hpcschedd: {report.path}: sound (schema {report.version}; {rows})"
