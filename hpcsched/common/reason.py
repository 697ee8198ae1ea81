"""One entry of the catalogue of refusals (``common.errors``)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reason:
    """One entry of the catalogue.

    Attributes:
        status: Name of the gRPC status.
        hresult: The reference's number, negative; 0 where it has none.
        text: The sentence, with facts in braces.
        hint: What to do about it; may be empty.
    """

    status: str
    hresult: int
    text: str
    hint: str = ""
