"""Limits on what callers may have under way, which a site can set ([limits])."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class CallLimits:
    """How much may be under way at a time (RELIABILITY 5.5).

    Attributes:
        connections: Of clients to the head, and of agents to it, each.
        connections_per_address: Connections of one address with calls under way.
        connections_per_user: Connections of one user with calls under way.
        calls: Calls that are being answered. When there are so many, who has more than
            an even share of them is refused, and nobody else.
        calls_per_user: Those of one user.
        streams: Calls that stay open: watches, outputs that are followed, waits.
        streams_per_user: Those of one user.
        megabytes: Requests that are being carried out, MiB together; shared evenly
            like ``calls``.
        megabytes_per_user: Those of one user.
    """

    connections: int = 8192
    connections_per_address: int = 4096
    connections_per_user: int = 256
    calls: int = 4096
    calls_per_user: int = 256
    streams: int = 8192
    streams_per_user: int = 1024
    megabytes: int = 512
    megabytes_per_user: int = 64
