"""Definitions that come one by one: one that is like the last one is not read anew.

Most jobs differ from the one before in nothing but the variables that name them. What
such a definition shares is kept, as in ``alike.py``, but where its program was found:
another may be there by now.
"""

from __future__ import annotations

from node_agent.supervisor.definition import Common, Definition, variables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from node_agent.supervisor.definition import User

FIXED = {"HOME", "PATH"}
"""Variables that decide where a task runs and what."""


class Familiar:
    """Makes definitions of messages."""

    __slots__ = ("_last", "_rest", "_user", "_variables")

    def __init__(self, user: User) -> None:
        self._user = user
        self._last: Definition | None = None
        self._rest = ""
        self._variables: dict[str, Any] = {}

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
                return made
        made = Definition(raw, self._user)
        self._last, self._rest = made, rest
        self._variables = dict(environment or {})
        return made
