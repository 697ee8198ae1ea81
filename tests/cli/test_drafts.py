"""``hpc job submit`` of jobs that exist."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.command_line import CommandLine
    from tests.support.fake_api import FakeApi


def test_several_drafts_are_submitted_in_one_call(
    hpc: CommandLine, api: FakeApi
) -> None:
    for _ in range(3):
        api.add_job("CONFIGURING")

    assert hpc("job", "submit", "2", "1", "3").out == "2\n1\n3\n"

    (request,) = api.asked("SubmitJobs")
    assert list(request.job_ids) == [2, 1, 3]
    assert not request.specs
    found = hpc("job", "submit", "2", "1", "--json").json
    assert [job["id"] for job in found["jobs"]] == [2, 1]
