"""Cutting answers to a size that clients of any language take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcsched.services.limits import MAX_PAGE_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from google.protobuf.message import Message


def fitting(messages: Sequence[Message]) -> int:
    """Return how many of a page's messages fit into it, at least one of any."""
    size = 0
    for position, message in enumerate(messages):
        size += message.ByteSize()
        if size > MAX_PAGE_BYTES and position:
            return position
    return len(messages)
