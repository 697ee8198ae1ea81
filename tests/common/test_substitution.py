from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcsched.common.substitution import compile_template, is_constant, render


@pytest.mark.parametrize(
    ("text", "value", "rendered"),
    [
        ("*", 7, "7"),
        ("**", 7, "07"),
        ("**", 123, "123"),
        ("sim -n *** -o out^*", 5, "sim -n 005 -o out*"),
        ("a*b**c", 7, "a7b07c"),
        ("^^*", 7, "^7"),
        ("^^^*", 7, "^*"),
        ("^***", 7, "*07"),
        ("^x*^", 7, "^x7^"),
        ("plain", 7, "plain"),
        ("", 7, ""),
        ("***", -5, "-005"),
        ("a\n*", 7, "a\n7"),
    ],
)
def test_asterisks_become_the_value_and_carets_escape(
    text: str, value: int, rendered: str
) -> None:
    assert render(compile_template(text), value) == rendered


def test_a_line_of_a_file_is_put_in_as_it_is() -> None:
    template = compile_template("** ^* *")

    assert render(template, "a * ^^ b") == "a * ^^ b * a * ^^ b"


@pytest.mark.parametrize("text", ["", "plain", "^*", "a^^b^*c", "^"])
def test_a_text_without_a_value_is_one_segment(text: str) -> None:
    template = compile_template(text)

    assert is_constant(template)
    assert len(template) == 1


@pytest.mark.parametrize("text", ["*", "a*", "^^*"])
def test_a_text_with_a_value_is_not_constant(text: str) -> None:
    assert not is_constant(compile_template(text))


@given(st.text(alphabet="*^ax\n"))
def test_an_escaped_text_comes_out_as_it_was(text: str) -> None:
    escaped = text.replace("^", "^^").replace("*", "^*")

    assert compile_template(escaped) == (text,)


@given(st.text(alphabet="*^a", max_size=30), st.integers(0, 10**6))
def test_substitution_agrees_with_reading_letter_by_letter(
    text: str, value: int
) -> None:
    out, position = "", 0
    while position < len(text):
        if text[position] == "^" and text[position + 1 : position + 2] in {"*", "^"}:
            out += text[position + 1]
            position += 2
        elif text[position] == "*":
            width = len(text[position:]) - len(text[position:].lstrip("*"))
            out += f"{value:0{width}d}"
            position += width
        else:
            out += text[position]
            position += 1

    assert render(compile_template(text), value) == out
