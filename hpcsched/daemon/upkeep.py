"""What ``hpcschedd`` does with a store instead of serving it."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from hpcsched.common.clock import SystemClock
from hpcsched.daemon.statuses import EX_BROKEN, EX_CONFIG, EX_TAKEN, status_of
from hpcsched.runtime.checking import check_store
from hpcsched.store import exchange
from hpcsched.store.errors import StateDirectoryError, StateLockedError, StoreError
from hpcsched.store.state_directory import (
    lock_state_directory,
    prepare_state_directory,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from hpcsched.runtime.checking import Report
    from hpcsched.store.exchange import Exchanged
    from hpcsched.store.findings import Finding

EX_FINDINGS: Final = 65
_RESTORE_MODE: Final = (
    "the cluster is in restore mode: nothing is started and no new work is taken until "
    "`hpc cluster set RestoreMode=False`"
)


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


def restore(state: Path, source: Path, *, as_json: bool) -> int:
    """Put a backup in place of the store; return the exit status."""
    return _exchanged(
        state,
        lambda now: exchange.restore(state, source.absolute(), _look, now),
        f"{source} is in place",
        _RESTORE_MODE,
        as_json=as_json,
    )


def accept_rollback(state: Path, *, as_json: bool) -> int:
    """Let a store go on that is older than what nodes have seen."""
    return _exchanged(
        state,
        lambda now: exchange.accept(state, _look, now),
        "the store goes on as it is, whatever nodes have seen since",
        _RESTORE_MODE,
        as_json=as_json,
    )


def rewrite_store(state: Path, *, as_json: bool) -> int:
    """Write the store to new files, after an error of the disk."""
    return _exchanged(
        state,
        lambda now: exchange.rewrite(state, _look, now),
        "the store was written anew, and is sound",
        "the head may be started",
        as_json=as_json,
    )


def _look(path: Path) -> Sequence[Finding]:
    return check_store(path).findings


def _exchanged(
    state: Path,
    work: Callable[[float], Exchanged],
    done: str,
    then: str,
    *,
    as_json: bool,
) -> int:
    """Work on a store that no head serves; print what became of it."""
    try:
        prepare_state_directory(state)
        lock = lock_state_directory(state)
    except StateLockedError as error:
        return _refuse(f"{error}: stop the head first", EX_TAKEN)
    except (StateDirectoryError, OSError) as error:
        return _refuse(str(error), status_of(error) or EX_CONFIG)
    try:
        found = work(SystemClock().wall())
    except exchange.UnsoundStoreError as error:
        return _refuse(f"{error}. Nothing was changed", EX_FINDINGS)
    except (StoreError, OSError) as error:
        return _refuse(str(error), EX_BROKEN)
    finally:
        lock.close()
    kept = "" if found.kept is None else str(found.kept)
    if as_json:
        progress = asdict(found.progress)
        told = {"replaced": kept, "warning": found.warning, **progress}
        print(json.dumps(told))  # noqa: T201
        return 0
    if found.warning:
        print(f"hpcschedd: warning: {found.warning}", file=sys.stderr)  # noqa: T201
    where = f"; the files before are in {kept}" if kept else ""
    print(f"hpcschedd: {done}{where}; {then}", file=sys.stderr)  # noqa: T201
    return 0


def _refuse(why: str, status: int) -> int:
    print(f"hpcschedd: {why}", file=sys.stderr)  # noqa: T201
    return status
