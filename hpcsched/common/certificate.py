"""When a certificate ends, read from its file: the one thing we need to know of it."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, datetime
from typing import Final

_PEM: Final = re.compile(
    "-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL
)
_SEQUENCE: Final = 0x30
_VERSION: Final = 0xA0
_UTC_TIME: Final = 0x17
_GENERALIZED_TIME: Final = 0x18
_LONG: Final = 0x80


def certificate_end(pem: str) -> float:
    """Return when the first certificate of a PEM text ends, seconds since 1970.

    Raises:
        ValueError: there is none, or it cannot be read.
    """
    found = _PEM.search(pem)
    if found is None:
        raise ValueError("it holds no certificate in PEM")
    try:
        der = base64.b64decode("".join(found[1].split()), validate=True)
        return _not_after(der)
    except (binascii.Error, IndexError, UnicodeDecodeError) as error:
        raise ValueError(f"its certificate cannot be read: {error}") from error


def _not_after(der: bytes) -> float:
    """Return notAfter of RFC 5280 4.1: the fourth field after the version, its end."""
    _, body, _ = _field(der)
    _, signed, _ = _field(body)
    tag, _, rest = _field(signed)
    if tag != _VERSION:
        rest = signed
    for _ in range(3):  # number, algorithm, issuer
        _, _, rest = _field(rest)
    tag, validity, _ = _field(rest)
    if tag != _SEQUENCE:
        raise ValueError("its certificate has no validity")
    _, _, rest = _field(validity)
    tag, value, _ = _field(rest)
    text = value.decode("ascii")
    if tag == _UTC_TIME:  # two digits of the year: 50 to 99 are the last century's
        text = ("19" if text[:2] >= "50" else "20") + text
    elif tag != _GENERALIZED_TIME:
        raise ValueError("its certificate has no end")
    moment = datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
    return moment.timestamp()


def _field(der: bytes) -> tuple[int, bytes, bytes]:
    """Return the tag, the body of a field, and what follows it."""
    tag, length, start = der[0], der[1], 2
    if length & _LONG:
        start += length & ~_LONG
        length = int.from_bytes(der[2:start], "big")
    if start + length > len(der):
        raise ValueError("its certificate is cut off")
    return tag, der[start : start + length], der[start + length :]
