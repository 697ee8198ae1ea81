"""The calls of a head by what they are about, over any kind of connection."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from grpc import aio

    from hpcsched.client.accounting import Accounting
    from hpcsched.client.cluster import Cluster
    from hpcsched.client.jobs import Jobs
    from hpcsched.client.nodes import Groups, Nodes
    from hpcsched.client.pools import Pools
    from hpcsched.client.stubs import Stubs
    from hpcsched.client.tasks import Tasks
    from hpcsched.client.templates import Templates
    from hpcsched.common.clock import Clock
    from hpcsched.common.rng import Ids

Req = TypeVar("Req")
Res = TypeVar("Res")


class Caller(Protocol):
    """What makes calls."""

    @property
    def clock(self) -> Clock:
        """The time."""

    @property
    def ids(self) -> Ids:
        """Names of requests."""

    async def call(
        self,
        method: Callable[[Stubs], aio.UnaryUnaryMultiCallable[Req, Res]],
        request: Req,
        *,
        timeout_s: float | None = None,
        persist: bool = False,
    ) -> Res:
        """Return the answer to a request.

        Args:
            method: Which one, such as ``lambda stubs: stubs.jobs.GetJob``.
            request: Sent again unchanged as long as nobody answers.
            timeout_s: One call with its retries, in place of the patience's.
            persist: Once any head has answered, go on trying without end; the timeout
                is then each attempt's.

        Raises:
            HpcError: the refusal, or HEAD_UNREACHABLE when patience ran out.
        """


class Api:
    """Every call that has one answer; a program imports those that it makes.

    Attributes:
        caller: What makes them.
        jobs: Calls about jobs.
        tasks: Calls about tasks.
        nodes: Calls about nodes.
        groups: Calls about node groups.
        cluster: Calls about the cluster.
        pools: Calls about pools.
        accounting: Calls about what was used, by whom, when.
        templates: Calls about job templates.
    """

    def __init__(self, caller: Caller) -> None:
        self.caller = caller

    @cached_property
    def jobs(self) -> Jobs:
        from hpcsched.client.jobs import Jobs as Calls

        return Calls(self.caller)

    @cached_property
    def tasks(self) -> Tasks:
        from hpcsched.client.tasks import Tasks as Calls

        return Calls(self.caller)

    @cached_property
    def nodes(self) -> Nodes:
        from hpcsched.client.nodes import Nodes as Calls

        return Calls(self.caller)

    @cached_property
    def groups(self) -> Groups:
        from hpcsched.client.nodes import Groups as Calls

        return Calls(self.caller)

    @cached_property
    def cluster(self) -> Cluster:
        from hpcsched.client.cluster import Cluster as Calls

        return Calls(self.caller)

    @cached_property
    def pools(self) -> Pools:
        from hpcsched.client.pools import Pools as Calls

        return Calls(self.caller)

    @cached_property
    def accounting(self) -> Accounting:
        from hpcsched.client.accounting import Accounting as Calls

        return Calls(self.caller)

    @cached_property
    def templates(self) -> Templates:
        from hpcsched.client.templates import Templates as Calls

        return Calls(self.caller)
