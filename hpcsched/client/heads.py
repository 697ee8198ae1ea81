"""The heads of a target in turn, and how long to try: for each kind of connection."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from hpcsched.client.patience import Patience, Retries
from hpcsched.common.rng import SystemIds
from hpcsched.rpc.credentials import TlsFiles
from hpcsched.rpc.errors import from_rpc_error
from hpcsched.rpc.metadata import call_metadata

if TYPE_CHECKING:
    from grpc.aio import AioRpcError

    from hpcsched.client.target import Target
    from hpcsched.common.clock import Clock
    from hpcsched.common.errors import HpcError
    from hpcsched.common.rng import Ids
    from hpcsched.rpc.addresses import Address


class HasAddress(Protocol):
    """A link to one head."""

    address: Address


L = TypeVar("L", bound=HasAddress)


class Heads(ABC, Generic[L]):
    """Links to the heads of a target; the one that answered last is asked first.

    Attributes:
        clock: The time.
        ids: Names of requests.
    """

    def __init__(
        self,
        target: Target,
        *,
        patience: Patience | None,
        clock: Clock,
        ids: Ids | None,
    ) -> None:
        self.clock = clock
        self.ids = ids or SystemIds(clock)
        self._target = target
        self._patience = patience or Patience()
        self._links: list[L | None] = [None] * len(target.addresses)
        self._current = 0
        self._answered = False
        self._metadata = call_metadata(token=target.token, client=target.client)

    @abstractmethod
    def _open(self, address: Address, tls: TlsFiles | None) -> L:
        """Return a new link.

        Raises:
            CredentialsError: files of TLS cannot be used.
        """

    def _link(self) -> L:
        """Return the link to the head whose turn it is."""
        link = self._links[self._current]
        if link is None:
            address = self._target.addresses[self._current]
            link = self._open(address, tls_for(self._target, address))
            self._links[self._current] = link
        return link

    def _forget_links(self) -> list[L]:
        """Return the links that there are, and have none any more."""
        links = [link for link in self._links if link is not None]
        self._links = [None] * len(self._links)
        return links

    def _retries(self, *, limit: float | None) -> Retries:
        return Retries(self._patience, self.clock, self.ids, limit=limit)

    def _next_head(self, retries: Retries, refusal: HpcError) -> float:
        """Turn to the next head; return the seconds to wait before it is asked.

        Raises:
            HpcError: this refusal: trying again is no use, or patience ran out.
        """
        heads = len(self._links)
        pause = retries.next_pause(refusal, heads=heads)
        if pause is None:
            raise refusal
        self._current = (self._current + 1) % heads
        return pause

    def _refused(self, error: AioRpcError, link: L) -> HpcError:
        """Return the refusal in an error of a call."""
        refusal = from_rpc_error(error, address=str(link.address))
        if refusal.reason != "HEAD_UNREACHABLE":
            self._answered = True
        return refusal


def tls_for(target: Target, address: Address) -> TlsFiles | None:
    """Return the files of TLS with a head; None for plain text, on loopback only."""
    if target.tls is not None or address.is_loopback:
        return target.tls
    return TlsFiles()
