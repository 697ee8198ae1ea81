"""Numbers and acknowledgements of a stream."""

from __future__ import annotations

import pytest

from node_agent.core.session import (
    GENERATION_BITS,
    MOST_GENERATIONS,
    MOST_STARTS,
    SequenceError,
    Session,
    StaleHeadError,
    check_term,
)


def test_a_frame_of_the_head_is_accepted_once_and_in_order() -> None:
    session = Session()

    assert session.accept(1)
    assert session.accept(2)
    assert not session.accept(2)
    assert not session.accept(1)
    with pytest.raises(SequenceError, match="frame 4 of the head came after 2"):
        session.accept(4)


def test_only_what_was_carried_out_is_acknowledged() -> None:
    session = Session()
    session.accept(1)
    session.accept(2)
    assert not session.ack_due
    session.carried_out(1)

    assert session.ack_due
    assert session.take_ack() == 1
    assert not session.ack_due
    session.carried_out(2)
    session.carried_out(1)
    assert session.take_ack() == 2


@pytest.mark.parametrize("ack", [-1, 3])
def test_an_acknowledgement_of_what_was_not_sent_is_the_heads_mistake(ack: int) -> None:
    session = Session()
    session.count_frame()
    session.count_frame()

    with pytest.raises(SequenceError, match="2 were sent"):
        session.acknowledged(ack)


def test_an_acknowledgement_that_goes_back_is_no_news() -> None:
    session = Session()
    session.count_frame()
    session.count_frame()

    assert session.acknowledged(2)
    assert not session.acknowledged(1)
    assert not session.acknowledged(2)
    assert session.all_acknowledged


ONE = 1 << GENERATION_BITS


@pytest.mark.parametrize(
    ("term", "seen", "words"),
    [
        (1, 0, ""),
        (5, 5, ""),
        (MOST_STARTS, 0, ""),
        (7 + ONE, 900, ""),
        (4, 5, "5 was seen"),
        (MOST_STARTS + 1, 0, "cannot follow 0"),
        (MOST_GENERATIONS * ONE + 3, 1, ""),
        ((MOST_GENERATIONS + 1) * ONE, 1, "cannot follow 1"),
        ((1 << 64) - 1, 5, "remove the file term"),
    ],
)
def test_a_term_that_cannot_follow_is_not_obeyed(
    term: int, seen: int, words: str
) -> None:
    """A broken head must not shut out every right one after it."""
    if not words:
        check_term(term, seen)
        return
    with pytest.raises(StaleHeadError, match=words):
        check_term(term, seen)
