"""Which property is called what in a job file: tables (properties.md 9).

A field of the API that no table here names is written under a name of its own in our
namespace, so that nothing is lost, whatever is added later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


def _small(names: str) -> frozenset[str]:
    return frozenset(names.lower().split())


V2: Final = "http://schemas.microsoft.com/HPCS2008R2/scheduler/"
V1: Final = "http://www.microsoft.com/ComputeCluster/"
OURS: Final = "urn:hpcsched:job-file:1"
"""What the reference has no name for, and what its own forms cannot say exactly."""
XSI: Final = "http://www.w3.org/2001/XMLSchema-instance"
VERSION: Final = "3.000"
VERSIONS: Final = ("1.0", "2.0", "3.0")

JOB: Final[Mapping[str, str]] = {
    "Name": "name",
    "Project": "project",
    "UserName": "user_name",
    "ClientSource": "client_source",
    "RuntimeSeconds": "runtime",
    "RunUntilCanceled": "run_until_canceled",
    "FailOnTaskFailure": "fail_on_task_failure",
    "FailDependentTasks": "fail_dependent_tasks",
    "Preemptable": "can_preempt",
    "IsExclusive": "is_exclusive",
    "RequestedNodes": "requested_nodes",
    "ExcludedNodes": "excluded_nodes",
    "JobValidExitCodes": "valid_exit_codes",
    "TaskExecutionFailureRetryLimit": "task_execution_failure_retry_limit",
    "UnitType": "unit_type",
    "MinCores": "min_cores",
    "MaxCores": "max_cores",
    "MinSockets": "min_sockets",
    "MaxSockets": "max_sockets",
    "MinNodes": "min_nodes",
    "MaxNodes": "max_nodes",
    "AutoCalculateMin": "auto_calculate_min",
    "AutoCalculateMax": "auto_calculate_max",
    "TargetResourceCount": "target_resource_count",
    "SingleNode": "single_node",
    "MinMemory": "min_memory",
    "MaxMemory": "max_memory",
    "MinCoresPerNode": "min_cores_per_node",
    "MaxCoresPerNode": "max_cores_per_node",
    "EstimatedProcessMemory": "estimated_process_memory",
    "OrderBy": "order_by",
    "NodeGroups": "node_groups",
    "NodeGroupOp": "node_group_op",
    "JobTemplate": "job_template",
    "EmailAddress": "email_address",
    "NotifyOnStart": "notify_on_start",
    "NotifyOnCompletion": "notify_on_completion",
    "SoftwareLicense": "software_license",
    "ServiceName": "service_name",
    "HoldUntil": "hold_until",
    "ParentJobIds": "parent_job_ids",
}
"""Attributes of Job, and the fields of JobSpec that have the same meaning."""

TASK: Final[Mapping[str, str]] = {
    "Name": "name",
    "Type": "type",
    "CommandLine": "command_line",
    "StartValue": "start_value",
    "EndValue": "end_value",
    "IncrementValue": "increment_value",
    "WorkDirectory": "work_directory",
    "StdInFilePath": "stdin_path",
    "StdOutFilePath": "stdout_path",
    "StdErrFilePath": "stderr_path",
    "DependsOn": "depends_on",
    "IsRerunnable": "is_rerunnable",
    "MinCores": "min_cores",
    "MaxCores": "max_cores",
    "MinSockets": "min_sockets",
    "MaxSockets": "max_sockets",
    "MinNodes": "min_nodes",
    "MaxNodes": "max_nodes",
    "IsExclusive": "is_exclusive",
    "RequestedNodeGroup": "requested_node_group",
    "RequiredNodes": "required_nodes",
    "RuntimeSeconds": "runtime",
    "TaskValidExitCodes": "valid_exit_codes",
    "FailJobOnFailure": "fail_job_on_failure",
    "FailJobOnFailureCount": "fail_job_on_failure_count",
}
"""Attributes of Task, and the fields of TaskSpec that have the same meaning."""

PAIRS: Final[Mapping[str, tuple[str, str]]] = {
    "environment": ("EnvironmentVariables", "Variable"),
    "custom_properties": ("CustomProperties", "Term"),
}
"""Maps: the element, and its children with Name and Value."""

JOB_ELSEWHERE: Final = frozenset({"tasks", "priority", *PAIRS})
"""Fields of JobSpec with rules of their own."""
NOT_OF_TEMPLATES: Final = frozenset(
    {
        *("client_source", "job_template", "hold_until", "parent_job_ids"),
        *("environment", "custom_properties", "progress", "progress_message"),
        "node_loss",
    }
)
"""Fields of JobSpec for which no template has a default."""
TASK_ELSEWHERE: Final = frozenset({"arguments", *PAIRS})
"""Fields of TaskSpec with rules of their own."""

JOB_READ_ONLY: Final = _small(
    "AllocatedCores AllocatedNodes AllocatedSockets AutoRequeueCount CallDuration "
    "CallsPerSecond CanGrow CanShrink ChangeTime ChildJobIds ComputedMaxCores "
    "ComputedMaxNodes ComputedMaxSockets ComputedMinCores ComputedMinNodes "
    "ComputedMinSockets ComputedNodeList CreateTime CurrentCoreCount "
    "CurrentNodeCount CurrentSocketCount EndTime EndpointReference ErrorCode "
    "ErrorMessage ErrorParams FailureReason HasGrown HasRuntime HasShrunk Id "
    "IsBackfill JobType MinMaxUpdateTime NextTaskNiceID NodePrepareTask "
    "NodeReleaseTask NumberOfCalls NumberOfOutstandingCalls Owner PendingReason "
    "PlannedCoreCount Pool PreviousState ProcessIds Progress ProgressMessage "
    "RequestCancel RequeueCount RequiredNodes StartTime State SubmitTime "
    "SubmittedBy TaskCount TaskLevelUpdateTime TotalCpuTime TotalKernelTime "
    "TotalUserTime WaitTime CanceledTaskCount ConfiguringTaskCount "
    "DispatchingTaskCount FailedTaskCount FinishedTaskCount FinishingTaskCount "
    "CancelingTaskCount QueuedTaskCount RunningTaskCount SubmittedTaskCount "
    "ValidatingTaskCount Status Version"
)
"""Attributes of Job, in small letters, that an import passes over (9.2)."""

TASK_READ_ONLY: Final = _small(
    "AllocatedCoreIds AllocatedCores AllocatedNodes AllocatedSockets "
    "AutoRequeueCount ChangeTime Closed CreateTime EndTime ErrorCode ErrorMessage "
    "ErrorParams ExecutionFailureRetryCount ExitCode FailedNodeId FailureReason "
    "Id InstanceId InstanceValue IsServiceConcluded MemoryUsed NiceId Output "
    "ParametricCanceledCount ParametricFailedCount ParametricQueuedCount "
    "ParametricRunningCount ParentJobId ParentJobState PendingReason PreviousState "
    "ProcessIds RequestCancel RequeueCount StartTime State Status SubmitTime "
    "TaskOwner TotalCpuTime TotalKernelTime TotalSubTaskNumber TotalUserTime "
    "UnitType Version"
)
"""The same for Task."""

V1_JOB: Final[Mapping[str, str]] = {
    "askednodes": "RequestedNodes",
    "maximumnumberofprocessors": "MaxCores",
    "minimumnumberofprocessors": "MinCores",
    "user": "UserName",
    "status": "State",
    "submittedby": "Owner",
}
"""What V1 calls otherwise (9.3)."""
V1_TASK: Final[Mapping[str, str]] = {
    "depend": "DependsOn",
    "maximumnumberofprocessors": "MaxCores",
    "minimumnumberofprocessors": "MinCores",
    "stderr": "StdErrFilePath",
    "stdin": "StdInFilePath",
    "stdout": "StdOutFilePath",
    "status": "State",
}
"""The same for its tasks."""
