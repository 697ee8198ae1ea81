"""A specification is looked through once, and again where anything is another."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hpcsched.common.errors import HpcError
from hpcsched.core.job.spec import JobSpec
from hpcsched.core.settings import Settings
from hpcsched.core.task.spec import TaskSpec
from hpcsched.runtime import sound
from hpcsched.runtime.sound import Sound

SPEC = JobSpec(name="one")
TASKS = (TaskSpec(arguments=("true",)),)
SETTINGS = Settings()


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    seen: list[str] = []
    for name in ("validate_new", "validate_together"):
        real = getattr(sound, name)

        def look(*args: Any, name: str = name, real: Any = real) -> None:
            seen.append(name)
            real(*args)

        monkeypatch.setattr(sound, name, look)
    return seen


def test_the_same_value_is_looked_through_once(looked: list[str]) -> None:
    known = Sound()
    for _ in range(3):
        known.check(SPEC, TASKS, SETTINGS)
        known.check(SPEC, TASKS, SETTINGS, together=True)
    assert looked == ["validate_new", "validate_together"]


@pytest.mark.parametrize(
    ("spec", "tasks", "settings"),
    [
        (replace(SPEC), TASKS, SETTINGS),
        (SPEC, (TaskSpec(arguments=("false",)),), SETTINGS),
        (SPEC, TASKS, replace(SETTINGS)),
    ],
    ids=["specification", "tasks", "settings"],
)
def test_it_is_looked_through_again_where_anything_is_another(
    looked: list[str], spec: JobSpec, tasks: tuple[TaskSpec, ...], settings: Settings
) -> None:
    known = Sound()
    known.check(SPEC, TASKS, SETTINGS)
    known.check(spec, tasks, settings)
    assert len(looked) == 2


def test_what_was_refused_is_refused_again() -> None:
    known, wrong = Sound(), replace(SPEC, priority=-1)
    for _ in range(2):
        with pytest.raises(HpcError) as refusal:
            known.check(wrong, TASKS, SETTINGS)
        assert refusal.value.reason == "PRIORITY_OUT_OF_RANGE"


def test_only_the_last_ones_are_kept(looked: list[str]) -> None:
    known = Sound()
    many = [replace(SPEC, name=str(number)) for number in range(sound.KEPT + 1)]
    for spec in many:
        known.check(spec, TASKS, SETTINGS)
    known.check(many[-1], TASKS, SETTINGS)
    assert len(looked) == len(many)
    known.check(many[0], TASKS, SETTINGS)
    assert len(looked) == len(many) + 1
