"""ClusterService: the cluster as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcsched.api.v1 import cluster_service_pb2 as pb
from hpcsched.api.v1 import cluster_service_pb2_grpc
from hpcsched.services.convert_diagnosis import finding_message
from hpcsched.services.convert_node import (
    backup_message,
    cluster_message,
    parameter_message,
    role_name,
    token_message,
)
from hpcsched.services.convert_time import seconds_of, timestamp
from hpcsched.services.gate import caller
from hpcsched.services.requests import not_negative, request_of, texts

if TYPE_CHECKING:
    from hpcsched.runtime.front import ClusterFront


class ClusterService(cluster_service_pb2_grpc.ClusterServiceServicer):
    """See the proto."""

    def __init__(self, front: ClusterFront) -> None:
        self._front = front

    async def GetClusterInfo(
        self, request: pb.GetClusterInfoRequest, context: Any
    ) -> pb.GetClusterInfoResponse:
        who = caller()
        return cluster_message(await self._front.cluster(who), who)

    async def ListParameters(
        self, request: pb.ListParametersRequest, context: Any
    ) -> pb.ListParametersResponse:
        rows = await self._front.parameters(caller(), tuple(request.names))
        return pb.ListParametersResponse(parameters=map(parameter_message, rows))

    async def SetParameters(
        self, request: pb.SetParametersRequest, context: Any
    ) -> pb.SetParametersResponse:
        values = dict(request.values)
        rows = await self._front.set_parameters(caller(), values, request_of(request))
        return pb.SetParametersResponse(parameters=map(parameter_message, rows))

    async def ListVariables(
        self, request: pb.ListVariablesRequest, context: Any
    ) -> pb.ListVariablesResponse:
        return pb.ListVariablesResponse(variables=await self._front.variables(caller()))

    async def SetVariables(
        self, request: pb.SetVariablesRequest, context: Any
    ) -> pb.SetVariablesResponse:
        values = dict(request.values)
        found = await self._front.set_variables(caller(), values, request_of(request))
        return pb.SetVariablesResponse(variables=found)

    async def CreateToken(
        self, request: pb.CreateTokenRequest, context: Any
    ) -> pb.CreateTokenResponse:
        lifetime = None
        if request.HasField("lifetime"):
            lifetime = seconds_of(request.lifetime, "lifetime")
        row, secret = await self._front.create_token(
            caller(),
            request.user,
            role_name(request.role),
            lifetime,
            request_of(request),
        )
        return pb.CreateTokenResponse(token=token_message(row), secret=secret)

    async def ListTokens(
        self, request: pb.ListTokensRequest, context: Any
    ) -> pb.ListTokensResponse:
        rows = await self._front.list_tokens(caller())
        return pb.ListTokensResponse(tokens=map(token_message, rows))

    async def RevokeTokens(
        self, request: pb.RevokeTokensRequest, context: Any
    ) -> pb.RevokeTokensResponse:
        await self._front.revoke_tokens(caller(), texts(request.ids, "ids"))
        return pb.RevokeTokensResponse()

    async def CreateBackup(
        self, request: pb.CreateBackupRequest, context: Any
    ) -> pb.CreateBackupResponse:
        keep = not_negative(request.keep, "keep")
        made = await self._front.create_backup(caller(), keep)
        return pb.CreateBackupResponse(backup=backup_message(made))

    async def ListBackups(
        self, request: pb.ListBackupsRequest, context: Any
    ) -> pb.ListBackupsResponse:
        found = await self._front.list_backups(caller())
        return pb.ListBackupsResponse(backups=map(backup_message, found))

    async def ReadBackup(
        self, request: pb.ReadBackupRequest, context: Any
    ) -> pb.ReadBackupResponse:
        offset = not_negative(request.offset, "offset")
        data, eof = await self._front.read_backup(caller(), request.name, offset)
        return pb.ReadBackupResponse(data=data, eof=eof)

    async def DeleteBackups(
        self, request: pb.DeleteBackupsRequest, context: Any
    ) -> pb.DeleteBackupsResponse:
        await self._front.delete_backups(caller(), texts(request.names, "names"))
        return pb.DeleteBackupsResponse()

    async def DiagnoseCluster(
        self, request: pb.DiagnoseClusterRequest, context: Any
    ) -> pb.DiagnoseClusterResponse:
        found, version, now = await self._front.diagnose(caller(), store=request.store)
        return pb.DiagnoseClusterResponse(
            findings=map(finding_message, found), version=version, time=timestamp(now)
        )
