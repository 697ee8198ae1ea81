"""Which cores the books keep for jobs that wait on their node (runtime/books.py)."""

from __future__ import annotations

import pytest

from hpcsched.core.scheduling.snapshot import NodeFree
from hpcsched.runtime.books import Books

NODE = 1


def books_of(cores: int) -> Books:
    books = Books()
    books.set_node(NodeFree(NODE, "n1", cores, 1 << 30), ready=True)
    return books


def free(books: Books) -> list[int]:
    return books.nodes[NODE].free


@pytest.mark.parametrize(
    ("claims", "left"),
    [
        pytest.param([(1,)], [0, 2, 3], id="its-own-core-and-no-lower-one"),
        pytest.param([(1, 3)], [0, 2, 3], id="its-lowest"),
        pytest.param([(1, 3), (1, 3)], [0, 2], id="each-its-own"),
        pytest.param([(1,), (1,)], [0, 2, 3], id="nothing-if-all-its-own-are-taken"),
        pytest.param([(1,), (1,), (1, 2)], [0, 3], id="whoever-waits-behind-that"),
        pytest.param([(0, 1), (0,)], [1, 2, 3], id="in-the-order-in-which-they-wait"),
        pytest.param([(0,), (0, 1)], [2, 3], id="in-the-other-order"),
        pytest.param([(0,), (1,), (0,), (1,)], [2, 3], id="by-turns"),
        pytest.param([(0, 1, 2, 3)] * 9, [], id="more-than-cores"),
        pytest.param([(3, 9)], [0, 1, 2], id="a-core-that-is-gone-is-nobodys"),
    ],
)
def test_who_waits_on_a_node_takes_its_lowest_free_core_of_those_it_may_have(
    claims: list[tuple[int, ...]], left: list[int]
) -> None:
    books = books_of(4)
    for job_id, cores in enumerate(claims, 10):
        books.claim(NODE, [job_id], cores)

    assert free(books) == left
    assert [node.node_id for node in books.open.values()] == [NODE] * bool(left)


def test_a_core_that_comes_free_is_kept_for_who_may_have_it_and_no_other() -> None:
    books = books_of(2)
    books.book(7, {NODE: (0,)})
    books.book(8, {NODE: (1,)})
    books.claim(NODE, [9], (1,))
    assert free(books) == []

    books.book(7, {})
    assert free(books) == [0]
    books.book(8, {})
    assert free(books) == [0]

    books.book(9, {NODE: (1,)})
    books.unclaim(NODE, [9])
    assert free(books) == [0]
    assert not books.claims


def test_who_waits_no_longer_leaves_its_core_to_the_next() -> None:
    books = books_of(2)
    books.claim(NODE, [7, 8], (0, 1))
    books.claim(NODE, [9], (1,))
    assert free(books) == []

    books.unclaim(NODE, [7])
    assert free(books) == []
    books.unclaim(NODE, [8])
    assert free(books) == [0]
    books.unclaim(NODE, [9])
    assert free(books) == [0, 1]


def test_what_has_started_there_is_on_its_core_and_on_no_lower_one() -> None:
    """As another one has ended, whose core was still taken then."""
    books = books_of(3)
    books.claim(NODE, [7], (0, 1))
    books.claim(NODE, [8, 9], (2,))
    books.pin(NODE, 7, 1)
    assert free(books) == [0]

    books.unclaim(NODE, [7])
    assert free(books) == [0, 1]


@pytest.mark.parametrize(
    ("node_id", "job_id", "core"),
    [(NODE, 7, 2), (NODE, 7, -1), (NODE, 8, 0), (2, 7, 0)],
)
def test_a_start_of_which_the_books_know_nothing_changes_nothing(
    node_id: int, job_id: int, core: int
) -> None:
    books = books_of(3)
    books.claim(NODE, [7], (0, 1))
    books.pin(node_id, job_id, core)

    assert books.claims == {NODE: {7: (0, 1)}}
    assert free(books) == [1, 2]


def test_cores_are_kept_for_those_alone_that_wait_for_them() -> None:
    books = books_of(4)
    books.book(6, {NODE: (0,)})
    assert books.kept(NODE) == books.kept(2) == set()

    books.claim(NODE, [7], (0, 1))
    books.claim(NODE, [8], (3,))
    assert books.kept(NODE) == {1, 3}
    assert free(books) == [2]
