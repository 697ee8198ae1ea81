"""The asynchronous client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from hpcsched.client.api import Api
from hpcsched.client.connection import Connection
from hpcsched.client.target import Target

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from types import TracebackType

    from hpcsched.api.v1 import job_service_pb2, watch_service_pb2
    from hpcsched.client.commands import Follower
    from hpcsched.client.patience import Patience
    from hpcsched.common.clock import Clock
    from hpcsched.common.rng import Ids
    from hpcsched.rpc.credentials import TlsFiles


class AsyncClient(Api):
    """A program's connection to a cluster.

    >>> async with AsyncClient.to("head01", token=secret) as client:
    ...     job = await client.jobs.get(42)

    Attributes:
        connection: To the heads; the calls with one answer are those of ``Api``.
    """

    def __init__(
        self,
        target: Target,
        *,
        patience: Patience | None = None,
        clock: Clock | None = None,
        ids: Ids | None = None,
    ) -> None:
        self.connection = Connection(target, patience=patience, clock=clock, ids=ids)
        super().__init__(self.connection)

    @classmethod
    def to(
        cls, addresses: str, *, token: str = "", tls: TlsFiles | None = None
    ) -> Self:
        """Return a client of the heads at ``HOST[:PORT][,HOST[:PORT]…]``.

        Raises:
            AddressError: one of them is no address.
        """
        return cls(Target.parse(addresses, token=token, tls=tls))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.connection.close()

    def watch(
        self,
        *,
        after: str = "",
        filter_: watch_service_pb2.WatchFilter | None = None,
        snapshot: bool = False,
        backlog_only: bool = False,
    ) -> AsyncGenerator[watch_service_pb2.WatchResponse, None]:
        """See ``hpcsched.client.watching.watch``."""
        from hpcsched.client.watching import watch

        return watch(
            self.connection,
            after=after,
            filter_=filter_,
            snapshot=snapshot,
            backlog_only=backlog_only,
        )

    def watch_job(
        self, job_id: int, *, after: str = "", jobs_only: bool = False
    ) -> AsyncGenerator[watch_service_pb2.WatchJobResponse, None]:
        """See ``hpcsched.client.watching.watch_job``."""
        from hpcsched.client.watching import watch_job

        return watch_job(self.connection, job_id, after=after, jobs_only=jobs_only)

    def follow_command(self, job_id: int) -> Follower:
        """Return who follows a command on nodes; see ``client.commands.Follower``."""
        from hpcsched.client.commands import Follower as Calls

        return Calls(self.connection, job_id)

    def read_output(
        self,
        job_id: int,
        task: job_service_pb2.TaskRef,
        *,
        stderr: bool = False,
        offset: int = 0,
        follow: bool = False,
        attempt: int = 0,
    ) -> AsyncGenerator[job_service_pb2.ReadOutputResponse, None]:
        """See ``hpcsched.client.output.read_output``."""
        from hpcsched.client.output import read_output

        return read_output(
            self.connection,
            job_id,
            task,
            stderr=stderr,
            offset=offset,
            follow=follow,
            attempt=attempt,
        )
