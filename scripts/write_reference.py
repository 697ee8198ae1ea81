"""Writes the pages of docs/reference that follow from tables in the code.

Run it after a change of them: python scripts/write_reference.py
"""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
REFERENCE: Final = ROOT / "docs" / "reference"
PROTOS: Final = ROOT / "protos" / "hpcsched" / "api" / "v1"

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_MADE: Final = (
    "Written by `scripts/write_reference.py` from `{source}`; a test compares them."
)
_PARAMETERS: Final = """\
`hpc cluster get` shows them, `hpc cluster set NAME=VALUE…` sets them, all or none, for
administrators and at once; an empty value restores the default. Names are taken in any
case. Seconds and days are bare numbers. A name that is not in this table is a parameter
of your own: the scheduler keeps it and does nothing with it.
"""
_REFUSALS: Final = """\
A refused call has changed nothing. Programs test the *reason*, never the sentence: each
fact of the sentence is also in the error's metadata, by the name in braces. *Number* is
the reference scheduler's (`hresult` in the metadata) where it has one. *Status* is that
of gRPC; `hpc` ends with 4 for `PERMISSION_DENIED` and `UNAUTHENTICATED`, else with 1.
"""
_JOB_FILES: Final = """\
What a job file may say (`hpc job submit --file`, `hpc job new --file`,
`hpc job modify --file`, `hpc job export`). In XML these are attributes of `Job` and
`Task`, of any case, in one of the reference's namespaces; in JSON and TOML keys of a
job and of its `tasks`. What the scheduler writes beside them (states, times, counts) is
passed over when a file is read. An attribute that is not known is passed over with a
warning; an unknown key is refused.

Variables are `EnvironmentVariables/Variable` with `Name` and `Value`, or `environment`;
pairs of your own `CustomProperties/Term`, or `custom_properties`. What has no name in
the reference is an attribute of our own namespace in XML.
"""


def pages() -> dict[str, str]:
    """Return the pages as they should be, by file name."""
    return {
        "parameters.md": _parameters(),
        "refusals.md": _refusals(),
        "job-files.md": _job_files(),
        "limits.md": _limits(),
    }


def _page(title: str, source: str, text: str, rest: Iterable[str]) -> str:
    made = _MADE.format(source=source)
    return "\n".join([f"# {title}", "", made, "", text, *rest, ""])


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(_cell(c) for c in line) + " |" for line in lines]


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("<", r"\<")


def _parameters() -> str:
    from hpcsched.core.parameters import INT32, PARAMETERS  # noqa: PLC0415

    rows = []
    for one in sorted(PARAMETERS, key=lambda p: p.name.lower()):
        values = ""
        match one.kind:
            case "int":
                high = f" … {one.high}" if one.high < INT32 else " or more"
                low = "any" if one.low < -1 else str(one.low)
                values = "any whole number" if low == "any" else f"{low}{high}"
            case "bool":
                values = "True, False"
            case "choice":
                values = ", ".join(filter(None, one.choices))
            case "signal":
                values = "a signal"
            case _:
                values = "text"
        meaning = re.sub(r" One of .*\.$", "", one.description)
        rows.append((f"`{one.name}`", one.default or "(empty)", values, meaning))
    table = _table(("Parameter", "Default", "Values", "Meaning"), rows)
    source = "hpcsched/core/parameters.py"
    return _page("Cluster parameters", source, _PARAMETERS, table)


def _refusals() -> str:
    from hpcsched.common.errors import REASONS  # noqa: PLC0415

    rows = []
    for name, reason in sorted(REASONS.items()):
        text = reason.text + (f". *{reason.hint}*" if reason.hint else "")
        number = str(reason.hresult) if reason.hresult else ""
        rows.append((f"`{name}`", reason.status, number, text))
    table = _table(("Reason", "Status", "Number", "Sentence, *hint*"), rows)
    return _page("Refusals", "hpcsched/common/errors.py", _REFUSALS, table)


def _limits() -> str:
    sys.path.insert(0, str(Path(__file__).parent))
    try:
        limits_page: Any = importlib.import_module("limits_page")
    finally:
        sys.path.pop(0)
    (set_text, settings), (fixed_text, fixed) = limits_page.lines()
    head: Sequence[str]
    head = ("Setting", "Default", "What is counted", "Who has more gets")
    rest = ["## To be set", "", set_text, *_table(head, settings), ""]
    head = ("What", "Limit", "Who has more gets")
    rest += ["## Fixed", "", fixed_text, "", *_table(head, fixed)]
    source = "hpcsched/common/limits.py` and `scripts/limits_page.py"
    return _page("Limits", source, limits_page.TEXT, rest)


def _job_files() -> str:
    from hpcsched.jobfile.names import JOB, TASK  # noqa: PLC0415

    head = ("XML", "JSON, TOML", "Meaning")
    lines = ["## Of a job", "", *_table(head, _attributes("job", "JobSpec", JOB))]
    lines += ["", "## Of a task", ""]
    lines += _table(head, _attributes("task", "TaskSpec", TASK))
    source = "hpcsched/jobfile/names.py` and `protos/hpcsched/api/v1"
    return _page("Job files", source, _JOB_FILES, lines)


def _attributes(
    file: str, message: str, names: Mapping[str, str]
) -> list[tuple[str, str, str]]:
    said = _comments(PROTOS / f"{file}.proto", message)
    xml = {field: f"`{name}`" for name, field in names.items()}
    return [(xml.get(name, ""), f"`{name}`", text) for name, text in said.items()]


def _comments(path: Path, message: str) -> dict[str, str]:
    """Return the fields of a message with what their comments say."""
    text = path.read_text(encoding="utf-8")
    body = text.split(f"\nmessage {message} {{\n")[1].split("\n}\n")[0]
    found: dict[str, str] = {}
    comment: list[str] = []
    for line in map(str.strip, body.splitlines()):
        if line.startswith("//"):
            comment.append(line[2:].strip())
        elif field := re.match(r"[\w<>., ]+ (\w+) = \d+[;\s\[]", line):
            found[field[1]] = " ".join(comment)
            comment = []
        else:
            comment = []
    return found


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    REFERENCE.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (REFERENCE / name).write_text(text, encoding="utf-8")
        print(REFERENCE / name)
