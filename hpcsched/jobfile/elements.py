"""XML text as a tree of elements, with nothing in it that XML can do beyond that.

No document type, hence no entities but the five that XML has itself, nothing external,
and no expansion; depth, number of elements and size are limited. expat is used as it
is: its handlers know lines, and there is nothing to switch off later.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from xml.parsers import expat

from hpcsched.jobfile.problems import JobFileError

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGEST: Final = 64 * 1024 * 1024
"""Bytes of one file; a job's specification has at most 4 MiB as a message."""
DEEPEST: Final = 16
MOST_ELEMENTS: Final = 2_000_000
_ENCODING: Final = re.compile(
    r"utf-?8|utf-?16(le|be)?|(us-)?ascii|iso-8859-[0-9]+|latin-?1|windows-125[0-9]",
    re.IGNORECASE,
)
"""Of all that Python can decode, what is the encoding of a text and no more."""
_SEPARATOR: Final = "\x1f"
"""Between namespace and name: no XML document can contain it."""


@dataclass(slots=True)
class Element:
    """One element.

    Attributes:
        space: Namespace; empty: none.
        attributes: Name to value, of attributes without a namespace.
        foreign: (namespace, name) to value, of attributes with one.
        text: Its own text, without that of its children.
        line: Where it begins, from 1.
    """

    space: str
    name: str
    line: int
    attributes: dict[str, str] = field(default_factory=dict)
    foreign: dict[tuple[str, str], str] = field(default_factory=dict)
    children: list[Element] = field(default_factory=list)
    text: str = ""

    def all(self, name: str) -> Iterator[Element]:
        """Yield the children of a name in any case, of the same namespace."""
        for child in self.children:
            if child.space == self.space and child.name.lower() == name.lower():
                yield child


def parse(text: bytes) -> Element:
    """Return the root of a document.

    Raises:
        JobFileError: it is no well-formed XML, is too large, or has a document type.
    """
    if len(text) > LARGEST:
        raise JobFileError(f"it has {len(text)} bytes; the limit is {LARGEST}")
    reader = _Reader()
    try:
        return reader.read(text)
    except expat.ExpatError as error:
        problem = f"it is no well-formed XML: {expat.ErrorString(error.code)}"
        raise JobFileError(problem, error.lineno) from None
    except (LookupError, UnicodeError, ValueError) as error:
        if isinstance(error, JobFileError):
            raise
        # An encoding that there is not, or in which the text is not.
        raise JobFileError(f"it cannot be read: {error}") from None


class _Reader:
    """Builds the tree from expat's calls."""

    def __init__(self) -> None:
        self._parser = expat.ParserCreate(namespace_separator=_SEPARATOR)
        self._parser.buffer_text = True
        self._parser.XmlDeclHandler = self._declaration
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._open: list[Element] = []
        self._texts: list[list[str]] = []
        self._count = 0
        self._root: Element | None = None

    def read(self, text: bytes) -> Element:
        self._parser.Parse(text, True)  # noqa: FBT003  expat's own signature
        if self._root is None:
            raise JobFileError("it has no root element")
        return self._root

    def _declaration(self, _: str, encoding: str | None, __: int) -> None:
        if encoding is not None and not _ENCODING.fullmatch(encoding):
            raise JobFileError(f"encoding {encoding!r} is not known; write UTF-8", 1)

    def _doctype(self, *_: Any) -> None:
        line = self._parser.CurrentLineNumber
        raise JobFileError("a document type (DOCTYPE) is not allowed", line)

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        line = self._parser.CurrentLineNumber
        self._count += 1
        if self._count > MOST_ELEMENTS:
            raise JobFileError(f"there are more than {MOST_ELEMENTS} elements", line)
        if len(self._open) >= DEEPEST:
            raise JobFileError(f"elements are nested deeper than {DEEPEST}", line)
        space, _, name = tag.rpartition(_SEPARATOR)
        element = Element(space, name, line)
        for key, value in attributes.items():
            of, _, name = key.rpartition(_SEPARATOR)
            if of:
                element.foreign[of, name] = value
            else:
                element.attributes[name] = value
        if self._open:
            self._open[-1].children.append(element)
        else:
            self._root = element
        self._open.append(element)
        self._texts.append([])

    def _end(self, _: str) -> None:
        self._open.pop().text = "".join(self._texts.pop())

    def _characters(self, text: str) -> None:
        if self._texts:
            self._texts[-1].append(text)
