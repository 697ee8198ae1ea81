"""Files that nobody in their right mind writes: XML, TOML and JSON.

Each way of making one begins with text that means something: bytes alone hardly get
past the first character.
"""

from __future__ import annotations

import json
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from tests.support.wild import TEXTS, spoiled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Draw = Callable[[st.SearchStrategy[Any]], Any]

V2: Final = "http://schemas.microsoft.com/HPCS2008R2/scheduler/"
V1: Final = "http://www.microsoft.com/ComputeCluster/"
#: Values of any kind, of texts that mean something in some attribute.
VALUES: Final = (
    *TEXTS,
    *("true", "False", "1e999", "nan", "inf", "-0", "+5", "00", "1:2:3", "Infinite"),
    *("99:99:9999999999", "Normal+100", "Highest - 9999", "Basic", "ParametricSweep"),
    *("Node", "Socket", "n1;n2,,;", "0..3,5", "1/2/2011 3:04:05 PM", "12/31/9999"),
    *("9999-12-31T23:59:59+14:00", "0001-01-01", "0001-01-01T00:00:00+14:00", "[]"),
    *("{}", "null", '{"a":1}', '["a"]', '"\\ud800"', "[" * 3000, "9" * 19, "3000s"),
)
#: What surrounds an XML document, and what may not.
PROLOGS: Final = (
    "",
    "",
    "",
    '<?xml version="1.0" encoding="utf-8"?>',
    '<?xml version="1.0" encoding="utf-16"?>',
    '<?xml version="1.0" encoding="idna"?>',
    '<?xml version="1.0" encoding="rot13"?>',
    '<?xml version="1.0" encoding="zlib_codec"?>',
    '<?xml version="1.0" encoding="unicode_escape"?>',
    '<?xml version="1.0" encoding="cp037"?>',
    '<?xml version="1.0" encoding="x"?>',
    "<!DOCTYPE Job>",
    '<!DOCTYPE Job [<!ENTITY a "b">]>',
    '<!DOCTYPE Job SYSTEM "file:///etc/passwd">',
    "<!-- a --><?b c?>",
)
ENTITIES: Final = ("&a;", "&#0;", "&#x110000;", "&#xD800;", "&amp;", "]]>", "<![CDATA[")
ELEMENTS: Final = (
    *("Job", "Tasks", "Task", "Dependencies", "Parent", "Child"),
    *("EnvironmentVariables", "Variable", "CustomProperties", "Term", "ExtendedTerms"),
    *("Name", "Value", "x", "o:Task", "é"),
)


def _quoted(text: str) -> str:
    for raw, shown in (("&", "&amp;"), ("<", "&lt;"), ('"', "&quot;"), ("\0", "&#0;")):
        text = text.replace(raw, shown)
    return text


@st.composite
def _element(draw: Draw, names: Sequence[str], depth: int) -> str:
    name = draw(st.sampled_from(ELEMENTS))
    parts = [f"<{name}"]
    for key in draw(st.lists(st.sampled_from(names), max_size=5)):
        value = _quoted(draw(st.sampled_from(VALUES)))
        parts.append(f' {key}="{value}"')
    inner = ""
    if depth < draw(st.integers(0, 5)):
        children = draw(st.lists(_element(names, depth + 1), max_size=4))
        inner = "".join(children)
    if not draw(st.integers(0, 3)):
        inner += draw(st.sampled_from([*ENTITIES, *map(_quoted, VALUES)]))
    parts.append(f">{inner}</{name}>")
    return "".join(parts)


@st.composite
def xml_files(draw: Draw, valid: Sequence[bytes], names: Sequence[str]) -> Any:
    """Return bytes that are, or nearly are, an XML job file.

    Args:
        valid: Files that can be read.
        names: Of attributes.
    """
    how = draw(st.integers(0, 5))
    if how == 0:
        return draw(spoiled(draw(st.sampled_from(valid))))
    if how < 3:
        text = draw(st.sampled_from(valid)).decode("utf-8-sig")
        for _ in range(draw(st.integers(1, 3))):
            text = draw(_changed(text, names))
        return draw(st.sampled_from(PROLOGS)).encode() + _bytes(text)
    space = draw(st.sampled_from([V1, V2, V2, "", "urn:x"]))
    inner = "".join(draw(st.lists(_element(names, 1), max_size=6)))
    some = draw(st.lists(st.sampled_from(names), max_size=6))
    keys = {key: _quoted(draw(st.sampled_from(VALUES))) for key in some}
    said = "".join(f' {key}="{value}"' for key, value in keys.items())
    text = (
        f'{draw(st.sampled_from(PROLOGS))}<Job xmlns="{space}" '
        f'xmlns:o="urn:hpcsched:job-file:1"{said}>{inner}</Job>'
    )
    encoding = draw(st.sampled_from(["utf-8", "utf-8", "utf-8", "utf-16", "latin-1"]))
    return text.encode(encoding, "replace")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


@st.composite
def _changed(draw: Draw, text: str, names: Sequence[str]) -> Any:
    """Give one attribute another value, or put something anywhere."""
    value = _quoted(draw(st.sampled_from(VALUES)))
    at = draw(st.integers(0, len(text)))
    if draw(st.booleans()) and (found := text.find('="', at)) >= 0:
        end = text.find('"', found + 2)
        return text[: found + 2] + value + text[end:]
    if draw(st.booleans()) and (found := text.find(" ", at)) >= 0:
        name = draw(st.sampled_from(names))
        return f'{text[:found]} {name}="{value}"{text[found:]}'
    put: str = draw(
        st.sampled_from([*ENTITIES, "<x>", "</Task>", "<Task/>", "\x0b", "<!--"])
    )
    return text[:at] + put + text[at:]


# JSON and TOML

SCALARS: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63), 2**64, 10**400, 1.5, 1e308),
    *(float("nan"), float("inf"), float("-inf"), 1e-320, [], {}, [None], [[]], [{}]),
    *({"a": 1}, {"": None}, ["a"], [1], "\ud800", "1h30m", "90s", "-5s", "99999999w"),
    *("1:30", "1:30:00", "9" * 40 + "s", "0.0000000001s", "315576000001s"),
    *VALUES,
)


def _plain_values() -> st.SearchStrategy[Any]:
    return st.sampled_from(SCALARS) | st.recursive(
        st.sampled_from(SCALARS[:20]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(TEXTS), inner, max_size=3)
        ),
        max_leaves=8,
    )


@st.composite
def objects(draw: Draw, valid: Sequence[dict[str, Any]], names: Sequence[str]) -> Any:
    """Return what JSON can say: some of it nearly a valid object."""
    found = json.loads(json.dumps(draw(st.sampled_from(valid))))
    for _ in range(draw(st.integers(1, 3))):
        target = found
        while True:
            inside = [
                value
                for value in (target.values() if isinstance(target, dict) else target)
                if isinstance(value, dict) or (isinstance(value, list) and value)
            ]
            if not inside or not draw(st.integers(0, 2)):
                break
            target = draw(st.sampled_from(inside))
        value = deepcopy(draw(_plain_values()))
        if isinstance(target, list):
            target[draw(st.integers(0, len(target) - 1)) :] = [value]
            continue
        present = sorted(target)
        chosen = present if present and draw(st.booleans()) else names
        target[draw(st.sampled_from(chosen))] = value
    return found


@st.composite
def json_files(
    draw: Draw, valid: Sequence[dict[str, Any]], names: Sequence[str]
) -> Any:
    """Return text that is, or nearly is, a JSON file."""
    if not draw(st.integers(0, 15)):
        return draw(st.sampled_from(["[" * 100_000, '{"a":' * 100_000, "9" * 5000, ""]))
    text = json.dumps(draw(objects(valid, names)))
    if not draw(st.integers(0, 3)):
        return draw(spoiled(text.encode())).decode("utf-8", "replace")
    return text


@st.composite
def toml_files(
    draw: Draw, valid: Sequence[dict[str, Any]], names: Sequence[str]
) -> Any:
    """Return text that is, or nearly is, a TOML file."""
    odd = ["a" + ".a" * 2_000 + "=1", "x=" + "[" * 5_000, "[" + "a." * 500 + "a]", "\0"]
    odd += ["a.b=1\na=2", "x=1979-05-27T07:32:00Z", "x=99:99:99", f"x={'9' * 5000}"]
    if not draw(st.integers(0, 15)):
        return draw(st.sampled_from(odd))
    found = draw(objects(valid, names))
    text = "\n".join(f"{_key(key)} = {_toml(value)}" for key, value in found.items())
    if not draw(st.integers(0, 3)):
        return draw(spoiled(text.encode())).decode("utf-8", "replace")
    return text


def _key(name: str) -> str:
    return _toml(name)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        inner = ", ".join(f"{_key(k)} = {_toml(v)}" for k, v in value.items())
        return f"{{{inner}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if value is None:
        return "1979-05-27T07:32:00"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    shown = json.dumps(value, ensure_ascii=not isinstance(value, str))
    return shown.encode("utf-8", "replace").decode()
