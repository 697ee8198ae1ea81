"""The client for scripts: the same calls without an event loop of one's own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self, TypeVar

from hpcsched.client.aio import AsyncClient
from hpcsched.client.connection import Target
from hpcsched.client.tasks import ref

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Coroutine, Iterable, Iterator, Sequence
    from types import TracebackType
    from typing import Any

    from hpcsched.api.v1 import job_pb2, node_pb2, task_pb2, watch_service_pb2
    from hpcsched.client.patience import Patience
    from hpcsched.rpc.credentials import TlsFiles

T = TypeVar("T")


class Client:
    """A script's connection to a cluster: each method waits for its answer.

    >>> with Client.to("head01", token=secret) as client:
    ...     (job_id,) = client.submit(spec)
    ...     print(client.wait(job_id).state)

    It has a loop of its own, so it is for programs without a running one, and for one
    thread at a time.
    """

    __slots__ = ("_client", "_runner")

    def __init__(self, target: Target, *, patience: Patience | None = None) -> None:
        self._runner = asyncio.Runner()
        self._client = AsyncClient(target, patience=patience)

    @classmethod
    def to(
        cls, addresses: str, *, token: str = "", tls: TlsFiles | None = None
    ) -> Self:
        """Return a client of the heads at ``HOST[:PORT][,HOST[:PORT]…]``.

        Raises:
            AddressError: one of them is no address.
        """
        return cls(Target.parse(addresses, token=token, tls=tls))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection; the object cannot be used any more."""
        self._runner.run(self._client.connection.close())
        self._runner.close()

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        """Return the answer to any call of ``Client.api``."""
        return self._runner.run(call)

    @property
    def api(self) -> AsyncClient:
        """Every call there is, for ``run``: ``client.run(client.api.nodes.list())``."""
        return self._client

    def submit(self, *specs: job_pb2.JobSpec, request_id: str = "") -> Sequence[int]:
        """Make and submit jobs, all or none; return their ids."""
        return self.run(self._client.jobs.submit_all(specs, request_id=request_id))

    def job(self, job_id: int) -> job_pb2.Job:
        """Return a job."""
        return self.run(self._client.jobs.get(job_id))

    def jobs(
        self,
        *,
        states: Iterable[job_pb2.Job.State.ValueType] = (),
        owner: str = "",
        limit: int | None = None,
    ) -> Sequence[job_pb2.Job]:
        """Return jobs, the newest first; without an owner everybody's."""
        call = self._client.jobs.list(states=states, owner=owner, limit=limit)
        return self.run(call).items

    def wait(self, job_id: int, *, timeout_s: float | None = None) -> job_pb2.Job:
        """Return a job once it has ended.

        Raises:
            TimeoutError: it has not ended within the time, which is given in seconds.
        """

        async def wait() -> job_pb2.Job:
            async with asyncio.timeout(timeout_s):
                return await self._client.jobs.wait(job_id)

        return self.run(wait())

    def cancel(
        self, *job_ids: int, message: str = "", force: bool = False
    ) -> Sequence[job_pb2.Job]:
        """Cancel jobs in the order given; stops at the first refusal."""
        return self.run(self._client.jobs.cancel(job_ids, message=message, force=force))

    def requeue(self, *job_ids: int) -> Sequence[job_pb2.Job]:
        """Queue jobs again in the order given; stops at the first refusal."""
        return self.run(self._client.jobs.requeue(job_ids))

    def task(self, job_id: int, task_id: int, instance_id: int = 0) -> task_pb2.Task:
        """Return a task, or an element of a sweep."""
        return self.run(self._client.tasks.get(job_id, ref(task_id, instance_id)))

    def tasks(self, job_id: int, *, elements: bool = False) -> Sequence[task_pb2.Task]:
        """Return the tasks of a job; with ``elements`` those of sweeps one by one."""
        return self.run(self._client.tasks.list(job_id, elements=elements)).items

    def output(
        self,
        job_id: int,
        task_id: int,
        instance_id: int = 0,
        *,
        stderr: bool = False,
        follow: bool = False,
    ) -> Iterator[bytes]:
        """Yield what a task wrote; with ``follow`` until it has ended."""
        pieces = self._client.read_output(
            job_id, ref(task_id, instance_id), stderr=stderr, follow=follow
        )
        for piece in self._iterate(pieces):
            yield piece.data

    def nodes(self) -> Sequence[node_pb2.Node]:
        """Return the nodes by name."""
        return self.run(self._client.nodes.list()).items

    def watch(
        self,
        *,
        after: str = "",
        filter_: watch_service_pb2.WatchFilter | None = None,
    ) -> Iterator[watch_service_pb2.WatchResponse]:
        """Yield what happens in the cluster, without end; see ``AsyncClient.watch``."""
        return self._iterate(self._client.watch(after=after, filter_=filter_))

    def watch_job(self, job_id: int) -> Iterator[watch_service_pb2.WatchJobResponse]:
        """Yield what happens to one job, until it has ended."""
        return self._iterate(self._client.watch_job(job_id))

    def _iterate(self, items: AsyncGenerator[T, None]) -> Iterator[T]:
        async def step() -> tuple[T] | None:
            async for item in items:
                return (item,)
            return None

        try:
            while (found := self.run(step())) is not None:
                yield found[0]
        finally:
            self.run(items.aclose())
