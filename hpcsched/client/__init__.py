"""The client library: what Python programs use to talk to a head.

``AsyncClient`` is for programs with an event loop, ``Client`` for scripts without one.
Both are loaded when they are first named, so that a program which only reads settings
does not pay for gRPC.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hpcsched.client.aio import AsyncClient
    from hpcsched.client.patience import Patience
    from hpcsched.client.sync import Client
    from hpcsched.client.target import Target

__all__ = ["AsyncClient", "Client", "Patience", "Target"]


def __getattr__(name: str) -> object:
    """Load a public class when it is first named."""
    if name == "AsyncClient":
        from hpcsched.client.aio import AsyncClient  # noqa: PLC0415 - on first use

        return AsyncClient
    if name == "Client":
        from hpcsched.client.sync import Client  # noqa: PLC0415 - on first use

        return Client
    if name == "Patience":
        from hpcsched.client.patience import Patience  # noqa: PLC0415 - on first use

        return Patience
    if name == "Target":
        from hpcsched.client.target import Target  # noqa: PLC0415 - on first use

        return Target
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
