"""An argument vector as a line for a shell, as the reference shows commands."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from hpcsched.jobfile.texts import plain

if TYPE_CHECKING:
    from collections.abc import Iterable


def shown_command(arguments: Iterable[str]) -> str:
    """Return the vector quoted for a shell (properties.md 4.1, CommandLine)."""
    return plain(shlex.join(arguments))
