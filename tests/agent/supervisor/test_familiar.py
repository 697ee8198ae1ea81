"""A definition that is like the last one is what it would be if it were read anew."""

from __future__ import annotations

import json
from typing import Any

import pytest

from node_agent.supervisor.definition import Definition, FieldError, User
from node_agent.supervisor.familiar import Familiar

FIRST: dict[str, Any] = {
    "job": 1,
    "task": 1,
    "def": 1,
    "argv": [["prog"], ["-n", 3]],
    "env": {"CCP_JOBID": "1", "A": "a", "HOME": "/h", "PATH": "/bin"},
    "cwd": "sub",
    "grace_s": 1,
    "pin": True,
}


def with_env(**env: Any) -> dict[str, Any]:
    return {**FIRST, "job": 2, "env": {**FIRST["env"], **env}}


NEXT = {
    "the same again": FIRST,
    "another job": {**FIRST, "job": 2},
    "another job's variables": with_env(CCP_JOBID="2"),
    "bytes that are no text": with_env(A="\udcff"),
    "another home": with_env(HOME="/other"),
    "another path": with_env(PATH="/usr/bin"),
    "one variable more": with_env(B="b"),
    "one variable less": {**FIRST, "env": {"A": "a"}},
    "no variables": {**FIRST, "env": None},
    "another argument": {**FIRST, "argv": [["prog"], ["-n", 4]]},
    "another task": {**FIRST, "task": 2},
    "a line for the shell": {**FIRST, "argv": None, "shell": ["true"]},
    "no cores of its own": {**FIRST, "pin": False},
}

WRONG = {
    "a job that is no number": {**FIRST, "job": "2"},
    "true for a number": {**FIRST, "job": True},
    "true for a number of seconds": {**FIRST, "grace_s": True},
    "true for a width": {**FIRST, "argv": [["prog"], ["-n", True]]},
    "a number for a text": with_env(A=1),
    "a NUL": with_env(A="a\0b"),
    "no mapping": {**FIRST, "env": [["A", "a"]]},
    "no job": {key: value for key, value in FIRST.items() if key != "job"},
}


def facts(definition: Definition) -> dict[str, Any]:
    names = {*Definition.__slots__} - {"common", "given", "own", "_raw"}
    found = {name: getattr(definition, name) for name in names}
    return {**found, "env": definition.environment, "raw": definition.raw}


@pytest.fixture
def user() -> User:
    return User()


@pytest.fixture
def familiar(user: User) -> Familiar:
    familiar = Familiar(user)
    familiar.definition(FIRST)
    return familiar


@pytest.mark.parametrize("name", NEXT)
def test_what_follows_is_what_its_message_says(
    familiar: Familiar, user: User, name: str
) -> None:
    wanted = facts(Definition(NEXT[name], user))
    assert facts(familiar.definition(NEXT[name])) == wanted
    assert json.loads(familiar.record[1:]) == NEXT[name] | {"env": wanted["raw"]["env"]}
    after = with_env(CCP_JOBID="3", A='"\\\n')
    assert facts(familiar.definition(after)) == facts(Definition(after, user))
    assert json.loads(familiar.record[1:]) == after, "as the journal is read"


@pytest.mark.parametrize("name", WRONG)
def test_what_makes_no_sense_is_refused_as_it_would_be_by_itself(
    familiar: Familiar, user: User, name: str
) -> None:
    with pytest.raises(FieldError) as alone:
        Definition(WRONG[name], user)
    with pytest.raises(FieldError) as behind:
        familiar.definition(WRONG[name])
    assert str(behind.value) == str(alone.value)


def test_where_a_program_was_found_is_not_taken_over(
    familiar: Familiar, user: User
) -> None:
    first = familiar.definition(with_env(CCP_JOBID="2"))
    first.common.program_path = b"/bin/prog"
    assert familiar.definition(with_env(CCP_JOBID="3")).common.program_path is None
