"""What went wrong, for people and for programs, and with which exit status.

Statuses are a contract (cli.md section 5).
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Final

from hpcsched.cli.lines import one_line
from hpcsched.common.errors import HpcError

if TYPE_CHECKING:
    from collections.abc import Mapping

DONE: Final = 0
REFUSED: Final = 1
USAGE: Final = 2
UNREACHABLE: Final = 3
NOT_ALLOWED: Final = 4
TIMED_OUT: Final = 5
JOB_FAILED: Final = 10
JOB_CANCELED: Final = 11
INTERRUPTED: Final = 130
#: As a shell reports a program that SIGPIPE ended.
PIPE_CLOSED: Final = 141

_NO_HEAD: Final = frozenset(
    {"HEAD_UNREACHABLE", "HEAD_STOPPING", "OUTCOME_UNKNOWN", "UNAVAILABLE"}
)
_DENIED: Final = frozenset({"UNAUTHENTICATED", "PERMISSION_DENIED"})


class ProblemError(Exception):
    """A failure on this side: a file, a local process, a wait that ran out.

    Attributes:
        reason: Stable name, such as ``WAIT_TIMEOUT``.
        status: Exit status.
        code: Name of the gRPC status that comes nearest.
        hint: What to do about it; may be empty.
        metadata: Every fact of the sentence.
    """

    def __init__(
        self,
        reason: str,
        sentence: str,
        *,
        status: int = REFUSED,
        code: str = "FAILED_PRECONDITION",
        hint: str = "",
        **metadata: object,
    ) -> None:
        self.reason = reason
        self.status = status
        self.code = code
        self.hint = hint
        self.metadata = {name: str(value) for name, value in metadata.items()}
        super().__init__(sentence)


def status_of(refusal: HpcError) -> int:
    """Return the exit status for a refusal of the head, or for its silence."""
    if refusal.reason in _NO_HEAD:
        return UNREACHABLE
    return NOT_ALLOWED if refusal.entry.status in _DENIED else REFUSED


def report_refusal(refusal: HpcError, *, as_json: bool) -> int:
    """Tell a refusal on stderr; return the exit status."""
    metadata = {
        name: value for name, value in refusal.metadata.items() if name != "hint"
    }
    report(
        refusal.reason,
        str(refusal),
        code=refusal.entry.status,
        hint=refusal.hint,
        metadata=metadata,
        as_json=as_json,
    )
    return status_of(refusal)


def report(
    reason: str,
    sentence: str,
    *,
    code: str,
    hint: str = "",
    metadata: Mapping[str, str] | None = None,
    as_json: bool,
) -> None:
    """Tell an error on stderr: one line, or one JSON object."""
    if as_json:
        facts = dict(metadata or {})
        if hint:
            facts["hint"] = hint
        error = {"code": code, "reason": reason, "message": sentence, "metadata": facts}
        text = json.dumps({"error": error}, ensure_ascii=False)
    else:
        text = f"hpc: {reason}: {_sentence(sentence)}"
        if hint:
            text += f" hint: {one_line(hint)}"
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - what this is for


def note(text: str) -> None:
    """Say something on stderr that is no error."""
    print(f"hpc: {one_line(text)}", file=sys.stderr, flush=True)  # noqa: T201 - what this is for


def _sentence(text: str) -> str:
    flat = one_line(" ".join(text.split()))
    return flat if flat.endswith((".", "!", "?", "…")) else f"{flat}."
