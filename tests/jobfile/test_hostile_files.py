"""F59: files that are made to do harm are refused, and cost little."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hpcsched.common.toml import DEEPEST, DEEPEST_KEY, TomlError, parse_toml
from hpcsched.jobfile import groups
from hpcsched.jobfile.plain import read_json, read_toml
from hpcsched.jobfile.problems import LONGEST, JobFileError
from hpcsched.jobfile.reading import read_xml

if TYPE_CHECKING:
    from collections.abc import Callable

V2 = "http://schemas.microsoft.com/HPCS2008R2/scheduler/"
BOMB = "".join(
    f'<!ENTITY a{n} "{f"&a{n - 1};" * 10 if n else "ha"}">' for n in range(20)
)


@pytest.mark.parametrize(
    "kind",
    [
        f"<!DOCTYPE Job [{BOMB}]>",
        '<!DOCTYPE Job SYSTEM "file:///etc/passwd">',
        '<!DOCTYPE Job [<!ENTITY % a SYSTEM "http://127.0.0.1/"> %a;]>',
    ],
)
def test_f59_a_document_type_is_refused_before_anything_in_it_is_read(
    kind: str,
) -> None:
    with pytest.raises(JobFileError, match="DOCTYPE"):
        read_xml(f'{kind}<Job Name="&a19;" xmlns="{V2}" />'.encode())


@pytest.mark.parametrize("encoding", ["unicode_escape", "rot13", "idna", "cp037", "x"])
def test_f59_an_encoding_that_does_more_than_encode_is_refused(encoding: str) -> None:
    text = rf'<?xml version="1.0" encoding="{encoding}"?><Job Name="\]" xmlns="{V2}"/>'
    with pytest.raises(JobFileError, match=f"encoding '{encoding}' is not known"):
        read_xml(text.encode())


@pytest.mark.parametrize("encoding", ["UTF-8", "utf-16", "us-ascii", "ISO-8859-15"])
def test_encodings_that_files_have_are_read(encoding: str) -> None:
    text = f'<?xml version="1.0" encoding="{encoding}"?><Job Name="a" xmlns="{V2}"/>'
    assert read_xml(text.encode(encoding)).spec.name == "a"


def test_f59_a_group_that_waits_for_many_groups_costs_no_square(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parents = "".join(
        f'<Parent GroupId="{n}"><Child GroupId="1" /></Parent>'
        for n in range(2, 40_000)
    )
    text = f'<Job xmlns="{V2}"><Dependencies>{parents}</Dependencies></Job>'
    compared = 0

    class Number(int):
        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return int(self) == other

        __hash__ = int.__hash__

    monkeypatch.setattr(groups, "whole", Number)
    read_xml(text.encode())
    assert compared < 500_000


def test_f59_tasks_that_wait_for_the_product_of_two_groups_are_refused() -> None:
    tasks = "".join(
        f'<Task Name="t{n}" GroupId="{1 + n % 2}" CommandLine="a" />'
        for n in range(4_000)
    )
    text = (
        f'<Job xmlns="{V2}"><Dependencies><Parent GroupId="1"><Child GroupId="2" />'
        f"</Parent></Dependencies><Tasks>{tasks}</Tasks></Job>"
    )
    with pytest.raises(JobFileError, match="tasks of group 2 wait for 2000 names each"):
        read_xml(text.encode())


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("name = 'a'\n" + "a" + ".a" * 500_000 + " = 1", "line 2: a key has more than"),
        ("[" + '"a" . ' * 500_000 + "a]", "line 1: a key has more than"),
        ("x = {" + "a." * 500_000 + "a = 1}", "line 1: a key has more than"),
        ("x = " + "[" * 20_000, "nested deeper than"),
        ("x = " + "[" * 200 + "]" * 200, "nested deeper than"),
        ("a" + ".a" * 90 + ".b = {" + "a" + ".a" * 90 + " = 1}", "nested deeper than"),
        ("x = " + "9" * 5_000, "limit"),
    ],
)
def test_f59_toml_that_is_made_to_cost_much_is_refused(text: str, problem: str) -> None:
    with pytest.raises(TomlError, match=problem):
        parse_toml(text)
    with pytest.raises(JobFileError, match=problem):
        read_toml(text)


def test_what_people_write_is_no_long_key() -> None:
    deep = ".".join(["a"] * (DEEPEST_KEY - 1))
    text = f"command = '''\nrun 10.0.0.1,{deep}, \"x.y\"\n'''\n{deep} = 1"
    assert parse_toml(text)["command"].startswith("run")
    assert DEEPEST_KEY <= DEEPEST


@pytest.mark.parametrize("read", [read_json, read_toml])
@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("9" * 400, "runtime: "),
        ('"90"', "runtime: '90' is a number without a unit"),
        ('"' + "9" * 4_000 + 'w"', "runtime: "),
    ],
)
def test_a_run_time_that_is_none_is_refused_with_its_field(
    read: Callable[[str], object], value: str, problem: str
) -> None:
    text = f'{{"runtime": {value}}}' if read is read_json else f"runtime = {value}"
    with pytest.raises(JobFileError, match=problem) as refused:
        read(text)
    assert len(str(refused.value)) <= LONGEST + 20


def test_a_run_time_of_a_task_is_refused_with_its_place() -> None:
    with pytest.raises(JobFileError, match=r"tasks\[1\]\.runtime: '1:30' may be"):
        read_json('{"tasks": [{}, {"runtime": "1:30"}]}')


def test_f59_half_of_a_surrogate_pair_is_refused_wherever_it_is() -> None:
    for text in (r'{"tasks": ["\ud800"]}', r'{"\udfff": 1}', '{"name": "\ud800"}'):
        with pytest.raises(JobFileError, match="half of a surrogate pair"):
            read_json(text)
    assert read_json(r'{"name": "\ud83e\udd80"}').name == "\N{CRAB}"
