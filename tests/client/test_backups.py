"""A backup may take longer than any other call."""

from __future__ import annotations

from typing import Any

from hpcsched.api.v1 import cluster_service_pb2 as pb
from hpcsched.client.cluster import BACKUP_S, Cluster


class Recorder:
    """A connection that answers at once, and keeps how long it was given."""

    timeout_s = 0.0

    async def call(self, method: Any, request: Any, *, timeout_s: float) -> Any:
        self.timeout_s = timeout_s
        return pb.CreateBackupResponse()


async def test_the_making_of_a_backup_is_waited_for_an_hour() -> None:
    connection: Any = Recorder()
    await Cluster(connection).create_backup()

    assert connection.timeout_s == BACKUP_S > 1800
