"""The attributes of one element of a job file, onto the fields of one message."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from hpcsched.jobfile.names import OURS, PAIRS, XSI
from hpcsched.jobfile.problems import JobFileError
from hpcsched.jobfile.texts import camel, fields_of, plain, read, read_exact, written

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from google.protobuf.message import Message

    from hpcsched.jobfile.elements import Element

FEW: Final = 20
"""Warnings of one kind of trouble that are told one by one."""


class Warnings:
    """What was left out of a file, for the user; the same thing is told once."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}

    def add(self, element: Element, what: str) -> None:
        """Note something; it is told with the line where it first was."""
        key = f"{element.name}: {what}"
        self._seen.setdefault(key, element.line)

    @property
    def texts(self) -> tuple[str, ...]:
        """One sentence each."""
        told = [f"line {line}: {text}" for text, line in self._seen.items()]
        if len(told) > FEW:
            return (*told[:FEW], f"and {len(told) - FEW} more of that kind")
        return tuple(told)


class Attributes:
    """Reads one element's attributes, each at most once.

    Args:
        element: The element.
        message: What to fill in.
        known: XML name to field.
        read_only: Names in small letters that are passed over.
        renamed: Other names, in small letters, of what is known.
        warnings: Where to tell of what is not known.
    """

    def __init__(
        self,
        element: Element,
        message: Message,
        *,
        known: Mapping[str, str],
        read_only: Collection[str],
        renamed: Mapping[str, str],
        warnings: Warnings,
    ) -> None:
        self._element = element
        self._message = message
        self._known = {name.lower(): name for name in known}
        self._fields = known
        self._read_only = read_only
        self._warnings = warnings
        self._left: dict[str, str] = {}
        self._spelled: dict[str, str] = {}
        self._by_field = {field: name.lower() for name, field in known.items()}
        for name, value in element.attributes.items():
            small = name.lower()
            place = renamed.get(small, small).lower()
            self._left[place] = value
            self._spelled[place] = name
        self._said = dict(self._left)
        self._ours: list[str] = []

    def take(self, name: str, parse: Callable[[str], Any] = str) -> Any | None:
        """Return what an attribute says, and do not look at it again; None: not there.

        Raises:
            JobFileError: it is malformed.
        """
        text = self._left.pop(name.lower(), None)
        if text is None:
            return None
        return self._told(name, parse, text)

    def read_into(self, message: Message, name: str) -> None:
        """Read one attribute into another message than the element's.

        Raises:
            JobFileError: it is malformed.
        """
        field = fields_of(message)[self._fields[name]]
        self.take(name, lambda text: read(message, field, text))

    def warn(self, what: str) -> None:
        """Tell the user something about the element."""
        self._warnings.add(self._element, what)

    def drop(self, *names: str) -> None:
        """Do not look at attributes that mean nothing here."""
        for name in names:
            self._left.pop(name.lower(), None)

    @property
    def ours(self) -> Sequence[str]:
        """Names of fields that were set from attributes of ours."""
        return self._ours

    def fill(self) -> list[str]:
        """Set every field that an attribute names; return their names.

        Raises:
            JobFileError: one is malformed.
        """
        by_name = fields_of(self._message)
        given: list[str] = []
        for name, text in self._left.items():
            of_reference = self._known.get(name)
            field = by_name.get(self._fields.get(of_reference or "", ""))
            if of_reference is not None and field is not None:
                self._told(of_reference, partial(read, self._message, field), text)
                given.append(field.name)
            elif name not in self._read_only:
                what = f"{self._spelled[name]} is not known here and was left out"
                self._warnings.add(self._element, what)
        self._left = {}
        self._fill_ours()
        return given

    def _fill_ours(self) -> None:
        """Set what only we have names for, and what we can say more exactly."""
        message = self._message
        fields = {camel(name): field for name, field in fields_of(message).items()}
        for (space, name), text in self._element.foreign.items():
            field = fields.get(name)
            if space != OURS or name == "Version":
                if space not in {OURS, XSI}:
                    told = f"{name} of namespace {space} was left out"
                    self._warnings.add(self._element, told)
                continue
            if field is None:
                told = f"{name} is not known to this version and was left out"
                self._warnings.add(self._element, told)
                continue
            value = type(message)()
            self._told(name, partial(read_exact, value, field), text)
            shown = written(value, field)
            of_reference = self._by_field.get(field.name)
            if of_reference is not None and shown is not None:
                # Whoever edits the file edits what the reference has a name for.
                if plain(shown) != self._said.get(of_reference):
                    continue
            elif field.name in PAIRS and not _same_pairs(value, message, field.name):
                continue
            message.ClearField(field.name)
            message.MergeFrom(value)
            self._ours.append(field.name)

    def _told(self, name: str, parse: Callable[[str], Any], text: str) -> Any:
        try:
            return parse(text)
        except JobFileError as error:
            problem = f"{self._element.name}: {name}: {error}"
            raise JobFileError(problem, self._element.line) from None


def _same_pairs(exact: Message, shown: Message, field: str) -> bool:
    pairs = getattr(exact, field)
    return {plain(n): plain(v) for n, v in pairs.items()} == dict(getattr(shown, field))


def read_pairs(element: Element, message: Message) -> None:
    """Read EnvironmentVariables and CustomProperties (V1: ExtendedTerms).

    Raises:
        JobFileError: one has no name.
    """
    for field, (section, item) in PAIRS.items():
        found = getattr(message, field)
        sections = [*element.all(section)]
        if field == "custom_properties":
            sections[:0] = element.all("ExtendedTerms")
        for one in sections:
            for pair in one.all(item):
                name, value = _part(pair, "Name"), _part(pair, "Value")
                if not name:
                    raise JobFileError(f"{item} has no Name", pair.line)
                found[name] = value or ""


def _part(pair: Element, name: str) -> str | None:
    for child in pair.all(name):
        return child.text
    for key, value in pair.attributes.items():
        if key.lower() == name.lower():
            return value
    return None
