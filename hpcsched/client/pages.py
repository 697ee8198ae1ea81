"""Lists that come page by page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """What was listed.

    Attributes:
        items: In the order of the call.
        next_page_token: Where the list goes on; empty at its end.
    """

    items: Sequence[T]
    next_page_token: str = ""


async def gather(
    fetch: Callable[[int, str], Awaitable[Page[T]]],
    *,
    limit: int | None,
    page_token: str,
    page_size: int,
) -> Page[T]:
    """Return the first items of a list, all of them without a limit.

    Args:
        fetch: Gets one page: (largest size, token).
        limit: Most items to return; None for all.
        page_token: Where to begin; empty for the start.
        page_size: Largest page that the call takes.
    """
    items: list[T] = []
    token = page_token
    while limit is None or len(items) < limit:
        size = page_size if limit is None else min(page_size, limit - len(items))
        page = await fetch(size, token)
        items.extend(page.items)
        token = page.next_page_token
        if not token:
            break
    return Page(items=items, next_page_token=token)
