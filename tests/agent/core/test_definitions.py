"""What an agent keeps of definitions is bounded, whatever the head says."""

from __future__ import annotations

import pytest

from node_agent.core import definitions
from node_agent.core.definitions import Definitions, DefinitionsFullError
from node_agent.core.orders import DefineTask


def order(job: int, definition: int = 1, line: str = "x" * 100) -> DefineTask:
    return DefineTask(
        job_id=job,
        task_id=1,
        definition=definition,
        command_line=line,
        environment={},
    )


def test_no_more_definitions_are_kept_than_a_node_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(definitions, "MOST_DEFINITIONS", 3)
    known = Definitions("n1")
    for job in (1, 2, 3):
        assert known.define(order(job)) is not None
    with pytest.raises(DefinitionsFullError, match="3 definitions"):
        known.define(order(4))
    assert known.define(order(3)) is None  # it is here, and may be said again
    known.forget(2)

    assert known.define(order(4)) is not None
    assert known.find(2, 1, 1) is None


def test_no_more_text_of_definitions_is_kept_than_a_node_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(definitions, "MOST_CHARACTERS", 1000)
    known = Definitions("n1")
    known.define(order(1, line="x" * 900))
    with pytest.raises(DefinitionsFullError, match="900 characters"):
        known.define(order(2, line="x" * 101))
    known.define(order(1, line="x" * 10))  # in place of the long one

    assert known.define(order(2, line="x" * 900)) is not None
