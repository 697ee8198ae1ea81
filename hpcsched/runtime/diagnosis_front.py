"""What the services need of the head for a diagnosis: a part of ``runtime.front``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcsched.core.caller import Caller
    from hpcsched.core.diagnosis.finding import Finding


class DiagnosisFront(Protocol):
    """Use cases of the diagnosis."""

    async def diagnose(
        self, caller: Caller, *, store: bool
    ) -> tuple[Sequence[Finding], str, float]:
        """Return what is wrong, the head's version, and its time."""
        ...
