"""Addresses of heads: reading them, and telling loopback from the network."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, replace
from typing import Final

#: Where clients find a head.
CLIENT_PORT: Final = 7470
#: Where agents find a head.
AGENT_PORT: Final = 7471

_PORT: Final = "[0-9]{1,5}"
_LARGEST_PORT: Final = 65535


class AddressError(ValueError):
    """A text is not an address; the message quotes it and says what is missing."""


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port.

    Attributes:
        host: A name, or an IP address without brackets.
        port: 0 to 65535; 0 asks the system for a free one and is for listening only.
    """

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def as_seen(self, host: str) -> Address:
        """Return where others find what listens here: never ``0.0.0.0`` or ``[::]``.

        Args:
            host: This machine's name, for what listens on all its addresses.
        """
        try:
            everywhere = ipaddress.ip_address(self.host).is_unspecified
        except ValueError:
            everywhere = False
        return replace(self, host=host) if everywhere else self

    @property
    def is_loopback(self) -> bool:
        """Can only this machine reach it? Of names, only ``localhost`` is trusted."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def parse_address(text: str, default_port: int) -> Address:
    """Return the address in ``HOST[:PORT]`` or ``[IPV6][:PORT]``.

    >>> str(parse_address("head01", 7470))
    'head01:7470'
    >>> str(parse_address("[::1]:99", 7470))
    '[::1]:99'

    Raises:
        AddressError: the text is no such address.
    """
    host, port = _split(text.strip())
    if not host:
        raise AddressError(f"{text!r}: an address needs a host, as in head01:7470")
    if any(mark in host for mark in "/[] \t") or (":" in host and not _is_ipv6(host)):
        problem = "not an address such as head01:7470 or [::1]:7470"
        raise AddressError(f"{text!r}: {problem}")
    if port is None:
        return Address(host, default_port)
    if not re.fullmatch(_PORT, port) or int(port) > _LARGEST_PORT:
        raise AddressError(f"{text!r}: the port must be a number from 0 to 65535")
    return Address(host, int(port))


def _split(text: str) -> tuple[str, str | None]:
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if bracket and not rest:
            return host, None
        return host, rest[1:] if rest.startswith(":") else "?"
    if text.count(":") > 1:  # a bare IPv6 address has no port
        return text, None
    host, colon, port = text.partition(":")
    return host, port if colon else None


def _is_ipv6(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).version == 6  # noqa: PLR2004 - its name
    except ValueError:
        return False
