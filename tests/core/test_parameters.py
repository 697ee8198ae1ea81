"""Cluster parameters: each has a value of its kind, a default and a range."""

from __future__ import annotations

from dataclasses import fields

import pytest

from hpcsched.common.errors import HpcError
from hpcsched.core.parameters import PARAMETERS, Parameter, check, find, parse
from hpcsched.core.settings import Settings

BY_KIND = {
    "int": ("1.5", "many", "", "--1", "1e3", "9" * 5000),
    "bool": ("yes", "1", ""),
    "choice": ("Sometimes",),
    "signal": ("STOP", "15", ""),
    "path": ("two\nlines", "x" * 1025),
    "server": ("two\nlines", "x" * 1025),
    "sender": ("two\nlines", "x" * 1025),
}


def test_each_parameter_has_a_field_and_each_field_a_parameter() -> None:
    names = [parameter.field for parameter in PARAMETERS]

    others = {"templates", "restored"}  # from the store
    assert {*names} | others == {field.name for field in fields(Settings)}
    assert len({parameter.name.lower() for parameter in PARAMETERS}) == len(PARAMETERS)


@pytest.mark.parametrize("parameter", PARAMETERS, ids=lambda p: p.name)
def test_the_default_text_is_the_default_value(parameter: Parameter) -> None:
    assert parse(parameter, parameter.default) == getattr(Settings(), parameter.field)


@pytest.mark.parametrize("parameter", PARAMETERS, ids=lambda p: p.name)
def test_a_text_of_another_kind_is_refused_with_the_name(parameter: Parameter) -> None:
    for text in BY_KIND[parameter.kind]:
        with pytest.raises(HpcError) as refusal:
            parse(parameter, text)
        assert refusal.value.reason == "PARAMETER_INVALID"
        assert parameter.name in str(refusal.value)


@pytest.mark.parametrize(
    "parameter", [p for p in PARAMETERS if p.kind == "int"], ids=lambda p: p.name
)
def test_a_number_outside_its_range_is_refused_and_the_ends_are_not(
    parameter: Parameter,
) -> None:
    for good in (parameter.low, parameter.high):
        assert parse(parameter, str(good)) == good
    for bad in (parameter.low - 1, parameter.high + 1):
        with pytest.raises(HpcError, match=f"from {parameter.low} to"):
            parse(parameter, str(bad))


def test_names_and_choices_are_found_in_any_case() -> None:
    assert find("preemptiontype").name == "PreemptionType"
    assert Settings.from_texts({"PREEMPTIONTYPE": "immediate"}).preemption == (
        "Immediate"
    )
    assert Settings.from_texts({"MyOwnName": "x"}) == Settings()


def test_an_unknown_name_is_no_parameter() -> None:
    with pytest.raises(HpcError, match="Preemption"):
        find("Preemption")


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("SubmissionFilterProgram", ("/f", "/a b"), ("f", "./f", " /f")),
        ("ActivationFilterProgram", ("/f",), ("f", "~/f")),
        (
            "EmailSmtpServer",
            ("mail", "mail.example.org:25", "127.0.0.1:25", "[::1]:465", "[::1]"),
            ("a:b:c", "mail:", "mail:0", "mail:65536", "a b", "me@mail", ":25", "::1"),
        ),
        ("EmailFromAddress", ("hpc@example.org",), ("hpc", "a@b@c", "a b@c", "<a@b>")),
    ],
)
def test_a_text_that_could_never_do_is_refused_when_it_is_set(
    name: str, good: tuple[str, ...], bad: tuple[str, ...]
) -> None:
    for text in good:
        check(find(name), text)
    for text in bad:
        with pytest.raises(HpcError) as refusal:
            check(find(name), text)
        assert refusal.value.reason == "PARAMETER_INVALID"
        # What an older head has stored keeps none from starting.
        assert parse(find(name), text) == text
