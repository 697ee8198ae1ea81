"""Whom a client calls, and as whom."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from hpcsched.rpc.addresses import CLIENT_PORT, Address, parse_address

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcsched.rpc.credentials import TlsFiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Whom to call, and as whom.

    Attributes:
        addresses: Heads, tried in turn; at least one.
        token: The secret; it is never shown in a representation.
        tls: Files for TLS; None means TLS with the system's authorities beyond
            loopback, and plain text on it.
        client: Name and version of the calling program, for the head's log.
    """

    addresses: Sequence[Address]
    token: str = field(default="", repr=False)
    tls: TlsFiles | None = None
    client: str = "hpcsched-client"

    def __post_init__(self) -> None:
        if not self.addresses:
            raise ValueError("at least one address of a head is needed")

    @classmethod
    def parse(cls, text: str, *, token: str = "", tls: TlsFiles | None = None) -> Self:
        """Return the target of ``HOST[:PORT][,HOST[:PORT]…]``.

        Raises:
            AddressError: one of them is no address.
        """
        addresses = tuple(parse_address(one, CLIENT_PORT) for one in text.split(","))
        return cls(addresses=addresses, token=token, tls=tls)
