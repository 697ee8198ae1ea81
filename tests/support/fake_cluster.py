"""The cluster of a fake API: parameters, tokens and accounting that a test has put."""

# ruff: noqa: N802 - names come from the protos

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from hpcsched.api.v1 import accounting_service_pb2, cluster_service_pb2
from hpcsched.common.errors import HpcError

if TYPE_CHECKING:
    from tests.support.fake_api import FakeApi

PART_BYTES = 1 << 20


class FakeCluster:
    """Parameters and tokens that a test has put there."""

    def __init__(self, api: FakeApi) -> None:
        self._api = api

    def GetClusterInfo(self, request: Any, context: Any) -> Any:
        answer = cluster_service_pb2.GetClusterInfoResponse(
            name="fake",
            version="1",
            user=self._api.user,
            role=cluster_service_pb2.ROLE_ADMINISTRATOR,
            cores_total=8,
            job_counts={"queued": 1},
            cursor="c0",
            jobs_set_aside=sum(bool(one.set_aside) for one in self._api.jobs.values()),
        )
        return self._api.answer("GetClusterInfo", request, context, lambda: answer)

    def ListParameters(self, request: Any, context: Any) -> Any:
        def work() -> Any:
            names = request.names or self._api.parameters
            return cluster_service_pb2.ListParametersResponse(
                parameters=[self._parameter(name) for name in names]
            )

        return self._api.answer("ListParameters", request, context, work)

    def _parameter(self, name: str) -> cluster_service_pb2.Parameter:
        for known, parameter in self._api.parameters.items():
            if known.lower() == name.lower():
                return parameter
        raise HpcError("PARAMETER_NOT_FOUND", name=name)

    def SetParameters(self, request: Any, context: Any) -> Any:
        def work() -> Any:
            found = {name: self._parameter(name) for name in request.values}
            for name, parameter in found.items():
                parameter.value = request.values[name]
            return cluster_service_pb2.SetParametersResponse(parameters=found.values())

        return self._api.answer("SetParameters", request, context, work)

    def ListVariables(self, request: Any, context: Any) -> Any:
        def work() -> Any:
            kind = cluster_service_pb2.ListVariablesResponse
            return kind(variables=self._api.variables)

        return self._api.answer("ListVariables", request, context, work)

    def SetVariables(self, request: Any, context: Any) -> Any:
        def work() -> Any:
            self._api.variables.update(request.values)
            kind = cluster_service_pb2.SetVariablesResponse
            return kind(variables=self._api.variables)

        return self._api.answer("SetVariables", request, context, work)

    def CreateToken(self, request: Any, context: Any) -> Any:
        def work() -> Any:
            number = f"t{len(self._api.tokens) + 1}"
            token = cluster_service_pb2.Token(
                id=number, user=request.user, role=request.role
            )
            self._api.tokens[number] = token
            return cluster_service_pb2.CreateTokenResponse(
                token=token, secret=f"secret-{number}"
            )

        return self._api.answer("CreateToken", request, context, work)

    def ListTokens(self, request: Any, context: Any) -> Any:
        def work() -> Any:
            tokens = self._api.tokens.values()
            return cluster_service_pb2.ListTokensResponse(tokens=tokens)

        return self._api.answer("ListTokens", request, context, work)

    def RevokeTokens(self, request: Any, context: Any) -> Any:
        def work() -> Any:
            for number in request.ids:
                if self._api.tokens.pop(number, None) is None:
                    raise HpcError("TOKEN_NOT_FOUND", token_id=number)
            return cluster_service_pb2.RevokeTokensResponse()

        return self._api.answer("RevokeTokens", request, context, work)

    def CreateBackup(self, request: Any, context: Any) -> Any:
        def work() -> Any:
            name, content = self._api.backup
            self._api.backups[name] = content
            made = self._backup(name)
            made.directory = "/head/backups"
            digest = hashlib.sha256(content).digest()
            made.sha256 = self._api.backup_digest or digest
            return cluster_service_pb2.CreateBackupResponse(backup=made)

        return self._api.answer("CreateBackup", request, context, work)

    def _backup(self, name: str) -> cluster_service_pb2.Backup:
        content = self._api.backups[name]
        return cluster_service_pb2.Backup(name=name, size_bytes=len(content))

    def ListBackups(self, request: Any, context: Any) -> Any:
        def work() -> Any:
            found = map(self._backup, self._api.backups)
            return cluster_service_pb2.ListBackupsResponse(backups=found)

        return self._api.answer("ListBackups", request, context, work)

    def ReadBackup(self, request: Any, context: Any) -> Any:
        def work() -> Any:
            rest = self._api.backups[request.name][request.offset :]
            return cluster_service_pb2.ReadBackupResponse(
                data=rest[:PART_BYTES], eof=len(rest) < PART_BYTES
            )

        return self._api.answer("ReadBackup", request, context, work)

    def DeleteBackups(self, request: Any, context: Any) -> Any:
        def work() -> Any:
            for name in request.names:
                del self._api.backups[name]
            return cluster_service_pb2.DeleteBackupsResponse()

        return self._api.answer("DeleteBackups", request, context, work)

    def DiagnoseCluster(self, request: Any, context: Any) -> Any:
        def work() -> Any:
            return self._api.diagnosis

        return self._api.answer("DiagnoseCluster", request, context, work)


class FakeAccounting:
    """Rows that a test has put there."""

    def __init__(self, api: FakeApi) -> None:
        self._api = api

    def __getattr__(self, name: str) -> Any:
        def method(request: Any, context: Any) -> Any:
            def work() -> Any:
                if name not in self._api.accounts:
                    kind = f"{name}Response"
                    return getattr(accounting_service_pb2, kind)()
                return self._api.accounts[name]

            return self._api.answer(name, request, context, work)

        return method
