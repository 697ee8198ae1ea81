"""What others wrote stays on its line, and commands no terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcsched.common.errors import HpcError

if TYPE_CHECKING:
    from tests.support.command_line import CommandLine
    from tests.support.fake_api import FakeApi

HOSTILE = "bad\x1b]0;title\x07\x1b[31m\njob 2 Finished"
TAMED = "bad ]0;title  [31m job 2 Finished"


def test_a_message_of_a_user_cannot_write_lines_or_command_a_terminal(
    hpc: CommandLine, api: FakeApi
) -> None:
    api.add_job("FAILED", error_message=HOSTILE)
    api.events[-1].changes[0].reason = HOSTILE

    assert hpc("job", "wait", "1", status=10).out == f"job 1 Failed: {TAMED}\n"
    (line,) = hpc("job", "watch", "1").out.splitlines()
    assert TAMED in line


def test_a_refusal_in_somebody_elses_words_commands_no_terminal(
    hpc: CommandLine, api: FakeApi
) -> None:
    refusal = HpcError("SUBMISSION_FILTER_FAILED", problem="\x1b[2Jno\n", job_id=7)
    api.faults["SubmitJobs"].append(refusal)

    result = hpc("submit", "--", "x", status=1)

    assert result.err == "hpc: SUBMISSION_FILTER_FAILED:  [2Jno.\n"
