"""Cursors of watches and tokens of pages: opaque texts, checked when they come back."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import TYPE_CHECKING, Final

from hpcsched.common.errors import HpcError

if TYPE_CHECKING:
    from google.protobuf.message import Message

#: The cursor before the oldest event that is kept.
OLDEST: Final = "0"

_PREFIX: Final = "e-"
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz234567"
_PAIRS: Final = [a + b for a in _LETTERS for b in _LETTERS]
"""Every ten bits in base 32."""
_GROUP: Final = 5
"""Bytes of which base 32 makes eight letters, whatever is before and behind them."""
_GROUPS_KEPT: Final = 20_000
_LARGEST: Final = (1 << 63) - 1
_MOST_DIGITS: Final = 19
_LONGEST: Final = 64
_DIGEST_BYTES: Final = 8


def encode_cursor(seq: int) -> str:
    """Return the cursor of a position in the global sequence."""
    # A cursor is made for each event that anybody watches, and neighbours differ in the
    # last digits alone.
    text = f"{_PREFIX}{seq}"
    cursor = ""
    for at in range(0, len(text), _GROUP):
        group = text[at : at + _GROUP]
        cursor += _groups.get(group) or _letters_of(group)
    return cursor


_groups: dict[str, str] = {}


def _letters_of(group: str) -> str:
    """Return the letters of a group of at most five bytes, and keep them."""
    size = len(group)
    number = int.from_bytes(group.encode(), "big") << 8 * (_GROUP - size)
    pairs = [_PAIRS[number >> shift & 1023] for shift in (30, 20, 10, 0)]
    if len(_groups) >= _GROUPS_KEPT:
        _groups.clear()
    letters = _groups[group] = "".join(pairs)[: (8 * size + 4) // 5]
    return letters


def decode_cursor(cursor: str) -> int:
    """Return the position of a cursor; ``0`` is the oldest.

    Raises:
        HpcError: CURSOR_UNKNOWN, it is not a text that ``encode_cursor`` gives.
    """
    if cursor == OLDEST:
        return 0
    seq = _position(cursor)
    if seq is None or encode_cursor(seq) != cursor:
        raise HpcError("CURSOR_UNKNOWN", cursor=cursor)
    return seq


def with_cursors(error: HpcError) -> HpcError:
    """Return a refusal about positions with cursors in place of their numbers."""
    facts = {
        name: encode_cursor(int(value))
        if name in {"cursor", "oldest_cursor", "newest_cursor"} and value.isdecimal()
        else value
        for name, value in error.facts.items()
    }
    return error if facts == error.facts else HpcError(error.reason, **facts)


class Pages:
    """Page tokens of one list call.

    A token holds where the next page starts, and a digest of the conditions, so that
    it cannot be used with others: that would skip or repeat entries unnoticed.
    """

    def __init__(self, request: Message) -> None:
        """Take the request: all of it but size, token and mask are the conditions."""
        conditions = type(request)()
        conditions.CopyFrom(request)
        conditions.ClearField("page_size")
        conditions.ClearField("page_token")
        if "read_mask" in request.DESCRIPTOR.fields_by_name:
            conditions.ClearField("read_mask")  # which fields: the entries are the same
        name = request.DESCRIPTOR.full_name.encode()
        data = name + b"\0" + conditions.SerializeToString(deterministic=True)
        self._digest = hashlib.sha256(data).digest()[:_DIGEST_BYTES]

    def encode(self, position: str) -> str:
        """Return the token of a position; empty for an empty one."""
        if not position:
            return ""
        return base64.urlsafe_b64encode(self._digest + position.encode()).decode()

    def decode(self, token: str) -> str:
        """Return the position in a token; empty for an empty one.

        Raises:
            HpcError: PAGE_TOKEN_INVALID, it was not given out for these conditions.
        """
        if not token:
            return ""
        try:
            data = base64.b64decode(token.encode("ascii"), b"-_", validate=True)
            position = data[_DIGEST_BYTES:].decode()
        except (binascii.Error, UnicodeError):
            raise HpcError("PAGE_TOKEN_INVALID", field="page_token") from None
        if data[:_DIGEST_BYTES] != self._digest or not position:
            raise HpcError("PAGE_TOKEN_INVALID", field="page_token")
        return position

    def decode_number(self, token: str) -> int:
        """Return the position as a number; 0 for an empty token.

        Raises:
            HpcError: PAGE_TOKEN_INVALID.
        """
        position = self.decode(token)
        if not position:
            return 0
        number = whole_number(position)
        if number is None:
            raise HpcError("PAGE_TOKEN_INVALID", field="page_token")
        return number


def whole_number(text: str) -> int | None:
    """Return the number in a position that came back; None: nobody gave that out."""
    if len(text) > _MOST_DIGITS or not (text.isascii() and text.isdigit()):
        return None
    number = int(text)
    return number if number <= _LARGEST else None


def _position(cursor: str) -> int | None:
    if len(cursor) > _LONGEST or not cursor.isascii():
        return None
    padded = cursor.upper() + "=" * (-len(cursor) % 8)
    try:
        text = base64.b32decode(padded).decode("ascii")
    except (binascii.Error, UnicodeError):
        return None
    digits = text.removeprefix(_PREFIX)
    if digits == text or not digits.isdigit():
        return None
    seq = int(digits)
    return seq if seq <= _LARGEST else None
