"""Keys of job files in JSON and TOML: the names of the API's fields, and no others."""

from __future__ import annotations

import pytest

from hpcsched.jobfile.plain import read_json
from hpcsched.jobfile.problems import JobFileError


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"priorty": 3}', "no key is called priorty; did you mean priority?"),
        ('{"min-cores": 3}', "no key is called min-cores; did you mean min_cores?"),
        (
            '{"tasks": [{"command_line": "x"}, {"commandline": "x"}]}',
            "no key is called tasks[1].commandline; did you mean command_line?",
        ),
        ('{"tasks": [{"zzz": 1}]}', "tasks[0].zzz; there are name, type, arguments,"),
    ],
)
def test_a_key_that_there_is_not_is_named_with_its_place_and_what_is_near(
    text: str, problem: str
) -> None:
    with pytest.raises(JobFileError) as caught:
        read_json(text)

    assert problem in str(caught.value)


def test_keys_are_taken_in_both_spellings_of_protobufs_json() -> None:
    spec = read_json('{"minCores": 2, "max_cores": 3, "environment": {"any-Key": "1"}}')

    assert (spec.min_cores, spec.max_cores) == (2, 3)
    assert dict(spec.environment) == {"any-Key": "1"}
