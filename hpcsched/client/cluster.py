"""Calls about the cluster as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from google.protobuf import duration_pb2

from hpcsched.api.v1 import cluster_service_pb2

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

    from hpcsched.client.api import Caller


#: The longest that a backup may take, seconds: some 100 GB on a slow disk.
BACKUP_S: Final = 3600.0


class Cluster:
    """The cluster as a whole, its parameters and its tokens."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Caller) -> None:
        self._connection = connection

    async def info(self) -> cluster_service_pb2.GetClusterInfoResponse:
        """Return what the cluster is, and who the caller is."""
        request = cluster_service_pb2.GetClusterInfoRequest()
        return await self._connection.call(lambda s: s.cluster.GetClusterInfo, request)

    async def parameters(
        self, names: Iterable[str] = ()
    ) -> Sequence[cluster_service_pb2.Parameter]:
        """Return parameters by name; without names all of them."""
        request = cluster_service_pb2.ListParametersRequest(names=names)
        answer = await self._connection.call(
            lambda s: s.cluster.ListParameters, request
        )
        return answer.parameters

    async def set_parameters(
        self, values: Mapping[str, str], *, request_id: str = ""
    ) -> Sequence[cluster_service_pb2.Parameter]:
        """Set parameters, all or none; an empty value restores the default."""
        request = cluster_service_pb2.SetParametersRequest(
            values=values, request_id=request_id or self._connection.ids.uuid()
        )
        answer = await self._connection.call(lambda s: s.cluster.SetParameters, request)
        return answer.parameters

    async def variables(self) -> Mapping[str, str]:
        """Return the environment variables that every task gets."""
        request = cluster_service_pb2.ListVariablesRequest()
        answer = await self._connection.call(lambda s: s.cluster.ListVariables, request)
        return answer.variables

    async def set_variables(
        self, values: Mapping[str, str], *, request_id: str = ""
    ) -> Mapping[str, str]:
        """Set such variables, all or none, and return all; an empty value deletes."""
        request = cluster_service_pb2.SetVariablesRequest(
            values=values, request_id=request_id or self._connection.ids.uuid()
        )
        answer = await self._connection.call(lambda s: s.cluster.SetVariables, request)
        return answer.variables

    async def create_token(
        self,
        user: str,
        *,
        role: cluster_service_pb2.Role.ValueType = cluster_service_pb2.ROLE_USER,
        lifetime_s: float | None = None,
        request_id: str = "",
    ) -> cluster_service_pb2.CreateTokenResponse:
        """Make a token; the answer holds its secret, which is shown only now."""
        lifetime = None
        if lifetime_s is not None:
            lifetime = duration_pb2.Duration()
            lifetime.FromMilliseconds(round(lifetime_s * 1000))
        request = cluster_service_pb2.CreateTokenRequest(
            user=user,
            role=role,
            lifetime=lifetime,
            request_id=request_id or self._connection.ids.uuid(),
        )
        return await self._connection.call(lambda s: s.cluster.CreateToken, request)

    async def tokens(self) -> Sequence[cluster_service_pb2.Token]:
        """Return all tokens, without their secrets."""
        request = cluster_service_pb2.ListTokensRequest()
        answer = await self._connection.call(lambda s: s.cluster.ListTokens, request)
        return answer.tokens

    async def revoke_tokens(self, ids: Iterable[str]) -> None:
        """Void tokens."""
        request = cluster_service_pb2.RevokeTokensRequest(ids=ids)
        await self._connection.call(lambda s: s.cluster.RevokeTokens, request)

    async def create_backup(self, *, keep: int = 0) -> cluster_service_pb2.Backup:
        """Make a backup on the head; delete the oldest beyond ``keep`` (0: none).

        It is answered when it is made, which may take as long as BACKUP_S.
        """
        request = cluster_service_pb2.CreateBackupRequest(keep=keep)
        answer = await self._connection.call(
            lambda s: s.cluster.CreateBackup, request, timeout_s=BACKUP_S
        )
        return answer.backup

    async def backups(self) -> Sequence[cluster_service_pb2.Backup]:
        """Return the backups that the head has, oldest first."""
        request = cluster_service_pb2.ListBackupsRequest()
        answer = await self._connection.call(lambda s: s.cluster.ListBackups, request)
        return answer.backups

    async def read_backup(self, name: str) -> AsyncIterator[bytes]:
        """Yield a backup, part by part."""
        offset = 0
        while True:
            request = cluster_service_pb2.ReadBackupRequest(name=name, offset=offset)
            answer = await self._connection.call(
                lambda s: s.cluster.ReadBackup, request
            )
            yield answer.data
            if answer.eof:
                return
            offset += len(answer.data)

    async def delete_backups(self, names: Iterable[str]) -> None:
        """Delete backups by name."""
        request = cluster_service_pb2.DeleteBackupsRequest(names=names)
        await self._connection.call(lambda s: s.cluster.DeleteBackups, request)

    async def diagnose(
        self, *, store: bool = False
    ) -> cluster_service_pb2.DiagnoseClusterResponse:
        """Return what is wrong with the cluster, the worst first.

        Args:
            store: Look through the store as well, which may take half a minute.
        """
        request = cluster_service_pb2.DiagnoseClusterRequest(store=store)
        return await self._connection.call(lambda s: s.cluster.DiagnoseCluster, request)
