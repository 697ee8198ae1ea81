"""Definitions that come one by one: one that is like the last one is not read anew.

Most jobs differ from the one before in nothing but the variables that name them. What
such a definition shares is kept, as in ``alike.py``, but where its program was found:
another may be there by now. The same goes for its record in the journal.
"""

from __future__ import annotations

import json
from json.encoder import encode_basestring_ascii as quoted

from node_agent.supervisor import records
from node_agent.supervisor.definition import Common, Definition, variables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from node_agent.supervisor.definition import User

FIXED = {"HOME", "PATH"}
"""Variables that decide where a task runs and what."""


class Familiar:
    """Makes definitions of messages.

    Attributes:
        record: What says the same as the last message, for the journal.
    """

    __slots__ = ("_last", "_rest", "_text", "_texts", "_user", "_variables", "record")

    def __init__(self, user: User) -> None:
        self._user = user
        self._last: Definition | None = None
        self._rest = ""
        self._variables: dict[str, Any] = {}
        self._text = ""
        self._texts: dict[str, str] = {}
        self.record = b""

    def definition(self, raw: dict[str, Any]) -> Definition:
        """Return what a message defines.

        Raises:
            FieldError: it makes no sense.
        """
        # As text, for True is not to be taken for 1.
        rest = repr({**raw, "job": type(raw.get("job")), "env": None})
        environment = raw.get("env")
        last, before = self._last, self._variables
        if (
            last is not None
            and rest == self._rest
            and type(environment) is dict
            and environment.keys() == before.keys()
        ):
            items = environment.items()
            other = {name: value for name, value in items if value != before[name]}
            if FIXED.isdisjoint(other):
                made = last.like(raw["job"], variables(other, "define: env"))
                made.common = Common()
                self.record = self._record(raw, other)
                return made
        made = Definition(raw, self._user)
        self._last, self._rest = made, rest
        self._variables = dict(environment or {})
        self._text, self._texts = "", {}
        self.record = records.defined(raw)
        return made

    def _record(self, raw: dict[str, Any], other: dict[str, str]) -> bytes:
        """Return the record of a message that is like the last one, but for these."""
        if not self._text:
            rest = {name: raw[name] for name in raw if name not in {"job", "env"}}
            self._text = json.dumps(rest, separators=(",", ":"))[1:-1]
            self._texts = {
                name: f"{quoted(name)}:{quoted(value)}"
                for name, value in self._variables.items()
            }
        texts = self._texts
        if other:
            own = {name: f"{quoted(name)}:{quoted(other[name])}" for name in other}
            texts = {**texts, **own}
        shared = f"{self._text}," if self._text else ""
        return (
            f'D{{"job":{raw["job"]},{shared}"env":{{{",".join(texts.values())}}}}}'
        ).encode()
