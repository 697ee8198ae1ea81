from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcsched.common.nodelist import NodeListError, expand, fold


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("login", ["login"]),
        ("n[01-03,20]", ["n01", "n02", "n03", "n20"]),
        ("n[1-3], login ,n2", ["n1", "n2", "n3", "login"]),
        ("n[8-11]", ["n8", "n9", "n10", "n11"]),
        ("n[099-101]", ["n099", "n100", "n101"]),
        ("n[09-100]", ["n09"] + [f"n{n}" for n in range(10, 101)]),
        ("r[1-2]n[1, 3].eu", ["r1n1.eu", "r1n3.eu", "r2n1.eu", "r2n3.eu"]),
        ("n[7]", ["n7"]),
        ("[1-2]n", ["1n", "2n"]),
    ],
)
def test_brackets_stand_for_numbers(text: str, names: list[str]) -> None:
    assert list(expand(text)) == names


@pytest.mark.parametrize(
    "text",
    [
        "",
        ",",
        "a,",
        ",a",
        "n[",
        "n]",
        "n[]",
        "n[1",
        "n[[1]]",
        "n[a-b]",
        "n[3-1]",
        "n[01-5]",
        "n[1-05]",
        "n[01-002]",
        "n[1--2]",
        "n[-1]",
        "n[1-2-3]",
        "a b",
        "n/1",
        "-n",
        "nö",
        "n[1234567890]",
    ],
)
def test_what_is_no_node_list_is_refused(text: str) -> None:
    with pytest.raises(NodeListError):
        expand(text)


@pytest.mark.parametrize(
    "text", ["n[1-999999999]", "a[1-9999]b[1-9999]", "n[1-5],m[1-6]"]
)
def test_an_expansion_beyond_the_limit_is_refused_unexpanded(text: str) -> None:
    with pytest.raises(NodeListError, match="more than 10 nodes"):
        expand(text, limit=10)


def test_an_expansion_up_to_the_limit_is_granted() -> None:
    assert len(expand("n[1-4],m[1-6]", limit=10)) == 10


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], ""),
        (["login"], "login"),
        (["n7"], "n7"),
        (["n007"], "n007"),
        (["n1", "login", "n3", "n2"], "n[1-3],login"),
        (["n9", "n10", "n11"], "n[9-11]"),
        (["n09", "n10", "n12", "n9"], "n[09-10,12],n9"),
        (["n1.dc2", "n2.dc2", "n4.dc2"], "n[1-2,4].dc2"),
        (["n", "n5", "n6"], "n,n[5-6]"),
        (["r1n1", "r1n2", "r2n1"], "r1n[1-2],r2n1"),
        (["n1", "n1"], "n1"),
        (["n0", "n00", "n1"], "n[0-1],n00"),
    ],
)
def test_names_fold_into_ranges_of_their_last_number(
    names: list[str], text: str
) -> None:
    assert fold(names) == text


node_names = st.from_regex(r"[a-c0]([a-b0-9.-]){0,5}", fullmatch=True)


@given(st.lists(node_names, min_size=1, max_size=30))
def test_folded_names_expand_to_the_same_set(names: list[str]) -> None:
    assert set(expand(fold(names))) == set(names)


@given(st.text(alphabet="n[]0123,-. ", max_size=20))
def test_no_text_makes_expand_raise_anything_else(text: str) -> None:
    try:
        names = expand(text, limit=1000)
    except NodeListError:
        return
    assert 0 < len(names) <= 1000
