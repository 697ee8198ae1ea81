"""Where each property of the reference's objects is in the API, or why it is not.

The tables have the properties of jobs, tasks, nodes, pools and clusters that the
reference has, in its own names. ``Message.field`` is where one lives; several are
joined with ``+``. What begins with a dash has no counterpart, and says why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hpcsched.api.v1 import job_pb2, node_pb2, pool_service_pb2, task_pb2
from hpcsched.core import parameters

if TYPE_CHECKING:
    from google.protobuf.message import Message

MESSAGES: dict[str, type[Message]] = {
    "Job": job_pb2.Job,
    "JobSpec": job_pb2.JobSpec,
    "Task": task_pb2.Task,
    "TaskSpec": task_pb2.TaskSpec,
    "TaskCounts": task_pb2.TaskCounts,
    "Node": node_pb2.Node,
    "NodeCounters": node_pb2.NodeCounters,
    "Core": node_pb2.Core,
    "Pool": pool_service_pb2.Pool,
}
SOA = "- legacy: sessions of the reference's service broker"
STATES = (
    *("Configuring", "Submitted", "Validating", "Queued", "Dispatching", "Running"),
    *("Finishing", "Finished", "Failed", "Canceled", "Canceling"),
)
UNITS = ("Cores", "Sockets", "Nodes")
SIZES = {
    f"{end}imumNumberOf{unit}": f"{end.lower()}_{unit.lower()}"
    for end in ("Min", "Max")
    for unit in UNITS
}

JOB = {
    "Id": "Job.id",
    "Name": "JobSpec.name + Job.name",
    "Project": "JobSpec.project + Job.project",
    "Owner": "Job.owner",
    "UserName": "JobSpec.user_name + Job.user_name",
    "JobTemplate": "JobSpec.job_template + Job.job_template",
    "JobType": "Job.job_type",
    "ClientSource": "JobSpec.client_source",
    "ServiceName": "JobSpec.service_name",
    "EmailAddress": "JobSpec.email_address",
    "NotifyOnStart": "JobSpec.notify_on_start",
    "NotifyOnCompletion": "JobSpec.notify_on_completion",
    "Progress": "JobSpec.progress + Job.progress",
    "ProgressMessage": "JobSpec.progress_message + Job.progress_message",
    "CustomProperties": "JobSpec.custom_properties + Job.custom_properties",
    "EnvironmentVariables": "JobSpec.environment",
    "UnitType": "JobSpec.unit_type + Job.unit_type",
    **{name: f"JobSpec.{field}" for name, field in SIZES.items()},
    "AutoCalculateMin": "JobSpec.auto_calculate_min + Job.auto_calculate_min",
    "AutoCalculateMax": "JobSpec.auto_calculate_max + Job.auto_calculate_max",
    **{f"ComputedMin{unit}": "Job.computed_min" for unit in UNITS},
    **{f"ComputedMax{unit}": "Job.computed_max" for unit in UNITS},
    "TargetResourceCount": "JobSpec.target_resource_count",
    "PlannedCoreCount": "Job.planned_core_count",
    "CurrentCoreCount": "Job.current_core_count",
    "CurrentSocketCount": "Job.current_socket_count",
    "CurrentNodeCount": "Job.current_node_count",
    "CanGrow": "Job.can_grow",
    "CanShrink": "Job.can_shrink",
    "HasGrown": "Job.has_grown",
    "HasShrunk": "Job.has_shrunk",
    "IsExclusive": "JobSpec.is_exclusive",
    "SingleNode": "JobSpec.single_node",
    "RequestedNodes": "JobSpec.requested_nodes",
    "NodeGroups": "JobSpec.node_groups",
    "NodeGroupOp": "JobSpec.node_group_op",
    "ExcludedNodes": "JobSpec.excluded_nodes + Job.excluded_nodes",
    "RequiredNodes": "Job.required_nodes",
    "MinMemory": "JobSpec.min_memory",
    "MaxMemory": "JobSpec.max_memory",
    "MinCoresPerNode": "JobSpec.min_cores_per_node",
    "MaxCoresPerNode": "JobSpec.max_cores_per_node",
    "EstimatedProcessMemory": "JobSpec.estimated_process_memory",
    "OrderBy": "JobSpec.order_by",
    "SoftwareLicense": "JobSpec.software_license",
    "Pool": "Job.pool",
    "AllocatedNodes": "Job.allocated_nodes",
    "AllocatedCores": "Job.peak_core_count",
    "AllocatedSockets": "Job.peak_socket_count",
    "Priority": "JobSpec.priority + Job.priority",
    "ExpandedPriority": "JobSpec.priority + Job.priority",
    "RunUntilCanceled": "JobSpec.run_until_canceled",
    "Runtime": "JobSpec.runtime",
    "HasRuntime": "Job.has_runtime",
    "HoldUntil": "JobSpec.hold_until + Job.hold_until",
    "CanPreempt": "JobSpec.can_preempt + Job.can_preempt",
    "FailOnTaskFailure": "JobSpec.fail_on_task_failure",
    "FailDependentTasks": "JobSpec.fail_dependent_tasks",
    "ValidExitCodes": "JobSpec.valid_exit_codes",
    "TaskExecutionFailureRetryLimit": "JobSpec.task_execution_failure_retry_limit",
    "ParentJobIds": "JobSpec.parent_job_ids + Job.parent_job_ids",
    "ChildJobIds": "Job.child_job_ids",
    "IsBackfill": "Job.is_backfill",
    "State": "Job.state",
    "PreviousState": "Job.previous_state",
    "CreateTime": "Job.create_time",
    "SubmitTime": "Job.submit_time",
    "StartTime": "Job.start_time",
    "EndTime": "Job.end_time",
    "ChangeTime": "Job.change_time",
    "WaitTime": "Job.wait_time",
    "ErrorCode": "Job.error_code",
    "ErrorParams": "Job.error_params",
    "ErrorMessage": "Job.error_message",
    "FailureReason": "Job.failure_reason",
    "PendingReason": "Job.pending_reason",
    "RequestCancel": "Job.request_cancel",
    "RequeueCount": "Job.requeue_count",
    "AutoRequeueCount": "Job.auto_requeue_count",
    "TaskCount": "Job.task_count + Job.task_counts",
    **{f"{state}TaskCount": f"TaskCounts.{state.lower()}" for state in STATES},
    "TotalUserTime": "Job.user_cpu_ms",
    "TotalKernelTime": "Job.kernel_cpu_ms",
    "TotalCpuTime": "Job.user_cpu_ms + Job.kernel_cpu_ms",
    "TotalMemory": "Job.memory_bytes",
    "ProcessIds": "Job.process_ids",
    "MinMaxUpdateTime": "Job.min_max_update_time",
    "TaskLevelUpdateTime": "Job.min_max_update_time",
    "NodePrepareTask": "Job.node_prep_task_id",
    "NodeReleaseTask": "Job.node_release_task_id",
    "EndpointReference": SOA,
    "EndpointAddresses": SOA,
    "NumberOfCalls": SOA,
    "NumberOfOutstandingCalls": SOA,
    "CallDuration": SOA,
    "CallsPerSecond": SOA,
}
TASK = {
    "TaskId": "Task.job_id + Task.task_id + Task.instance_id",
    "Id": "- job, task and instance number name a task everywhere; CCP_TASKSYSTEMID "
    "is made of them",
    "Name": "TaskSpec.name + Task.name",
    "Type": "TaskSpec.type + Task.type",
    "IsParametric": "TaskSpec.type + Task.type",
    "StartValue": "TaskSpec.start_value",
    "EndValue": "TaskSpec.end_value",
    "IncrementValue": "TaskSpec.increment_value",
    "CommandLine": "TaskSpec.command_line + TaskSpec.arguments",
    "WorkDirectory": "TaskSpec.work_directory",
    "StdInFilePath": "TaskSpec.stdin_path",
    "StdOutFilePath": "TaskSpec.stdout_path",
    "StdErrFilePath": "TaskSpec.stderr_path",
    "EnvironmentVariables": "TaskSpec.environment",
    "CustomProperties": "TaskSpec.custom_properties",
    "UserBlob": "TaskSpec.user_blob",
    "DependsOn": "TaskSpec.depends_on",
    "GroupId": "TaskSpec.group_id",
    "IsRerunnable": "TaskSpec.is_rerunnable",
    "IsExclusive": "TaskSpec.is_exclusive",
    **{name: f"TaskSpec.{field}" for name, field in SIZES.items()},
    "RequiredNodes": "TaskSpec.required_nodes",
    "RequestedNodeGroup": "TaskSpec.requested_node_group",
    "Runtime": "TaskSpec.runtime",
    "HasRuntime": "TaskSpec.runtime",
    "ValidExitCodes": "TaskSpec.valid_exit_codes",
    "FailJobOnFailure": "TaskSpec.fail_job_on_failure",
    "FailJobOnFailureCount": "TaskSpec.fail_job_on_failure_count",
    "ExitIfPossible": "Task.exit_if_possible",
    "State": "Task.state",
    "PreviousState": "Task.previous_state",
    "ParentJobId": "Task.job_id",
    "ParentJobState": "Job.state",
    "CreateTime": "Task.create_time",
    "SubmitTime": "Task.submit_time",
    "StartTime": "Task.start_time",
    "EndTime": "Task.end_time",
    "ChangeTime": "Task.change_time",
    "ExitCode": "Task.exit_code",
    "Output": "Task.output",
    "ErrorCode": "Task.error_code",
    "ErrorParams": "Task.error_params",
    "ErrorMessage": "Task.error_message",
    "FailureReason": "Task.failure_reason",
    "PendingReason": "Task.pending_reason",
    "RequestCancel": "Task.request_cancel",
    "RequeueCount": "Task.requeue_count",
    "AutoRequeueCount": "Task.auto_requeue_count",
    "ExecutionFailureRetryCount": "Task.execution_failure_retry_count",
    "AllocatedNodes": "Task.nodes",
    "AllocatedCores": "Task.allocated_cores",
    "AllocatedSockets": "Task.allocated_sockets",
    "AllocatedCoreIds": "Task.allocated_core_ids",
    "InstanceId": "Task.instance_id",
    "InstanceValue": "Task.instance_value",
    **{
        f"Parametric{state}Count": "Task.element_counts"
        for state in ("Queued", "Running", "Failed", "Canceled")
    },
    "TotalSubTaskNumber": "Task.element_counts",
    "IsServiceConcluded": "Task.is_service_concluded",
    "Closed": "- the reference does not say what it means; Task.state ends a task",
    "TotalUserTime": "Task.user_cpu_ms",
    "TotalKernelTime": "Task.kernel_cpu_ms",
    "TotalCpuTime": "Task.user_cpu_ms + Task.kernel_cpu_ms",
    "MemoryUsed": "Task.max_memory_bytes",
    "ProcessIds": "Task.process_ids",
    "FailedNodeId": "Task.failed_node",
    "TaskOwner": "Job.owner",
}
PHASES = "- cores by phase of their tasks: Core.state and Core.task_id say it of each"
NODE = {
    "Id": "Node.id",
    "Guid": "Node.guid",
    "Name": "Node.name",
    "State": "Node.state",
    "PreviousState": "Node.previous_state",
    "MoveToOffline": "Node.move_to_offline",
    "IsForcedOffline": "Node.forced_offline",
    "Reachable": "Node.reachable",
    "LastPingTime": "Node.last_heartbeat_time",
    "Availability": "Node.availability",
    "OnlineTime": "Node.online_time",
    "OfflineTime": "Node.offline_time",
    "NumCores": "Node.cores",
    "NumSockets": "Node.sockets",
    "NumGpus": "Node.gpus",
    "CpuSpeed": "Node.cpu_mhz",
    "MemorySize": "Node.memory_bytes",
    "NodeGroups": "Node.groups",
    "JobType": "Node.job_types",
    "Affinity": "Node.affinity",
    "Location": "Node.labels",
    "DnsSuffix": "Node.dns_suffix",
    "OSDistrib": "Node.os",
    "NetworksInfo": "Node.addresses",
    "GpuInfo": "Node.gpu_info",
    "IdleResourceCount": "NodeCounters.idle_cores",
    "OfflineResourceCount": "NodeCounters.offline_cores",
    "JobScheduledResourceCount": "Core.job_id",
    "TaskRunningResourceCount": "NodeCounters.busy_cores",
    "TaskScheduledResourceCount": PHASES,
    "TaskDispatchedResourceCount": PHASES,
    "TaskClosedResourceCount": PHASES,
    "AzureServiceName": "- legacy: bursting to one vendor's cloud",
}
POOL = {
    "Id": "- its name is its key",
    "Name": "Pool.name",
    "Weight": "Pool.weight",
    "Guarantee": "Pool.guarantee",
    "CurrentAllocation": "Pool.current_allocation",
}
LATER = "- nodes are not started and stopped by load yet"
#: Cluster parameters of the reference; True: we have one of this name.
PARAMETERS: dict[str, bool | str] = {
    **dict.fromkeys(
        (
            *("ActivationFilterProgram", "ActivationFilterTimeout"),
            *("SubmissionFilterProgram", "SubmissionFilterTimeout", "AffinityType"),
            *("AllowNewUserConnections", "AutomaticGrowthEnabled"),
            *("AutomaticShrinkEnabled", "BackfillLookahead", "DefaultHoldDuration"),
            *("EmailNotificationEnabled", "EmailFromAddress", "EmailSmtpServer"),
            *("EmailUseSsl", "ExcludedNodesLimit", "HeartbeatInterval"),
            *("InactivityCount", "InactivityCountAzure", "JobCleanupHour"),
            *("JobCleanUpDayOfWeek", "JobRetryCount", "TaskRetryCount"),
            *("NodeReleaseTaskTimeout", "PreemptionType", "SchedulingMode"),
            *("PriorityBias", "RebalancingInterval", "TaskCancelGracePeriod"),
            *("TTLCompletedJobs", "EventLogLevel", "TaskImmediatePreemptionEnabled"),
            *("GrowByPreemptionEnabled", "PreemptionBalancedMode", "EnablePools"),
            *("RestoreMode", "DataExtensibilityTtl", "AllocationHistoryTtl"),
        ),
        True,
    ),
    "SpoolDir": "- legacy: where the reference's own clusrun kept output",
    "BrokerTaskProgram": SOA,
    "ServiceTaskProgram": SOA,
    "JobRuntime": "- the default run time of jobs is their template's",
    "BackfillLoadPeriod": "- how the reference's own queue is read; ours is in memory",
    "DisableCredentialReuse": "- legacy: no passwords are kept",
    "EnableGrowShrink": LATER,
    "TasksPerResourceUnit": LATER,
    "GrowThreshold": LATER,
    "GrowInterval": LATER,
    "ShrinkInterval": LATER,
    "ShrinkIdleTimes": LATER,
    "ExtraNodesGrowRatio": LATER,
    "GrowByMin": LATER,
    "ExcludeNodeGroups": LATER,
    "EmailBurst": "- nobody says what it means",
    "PriorityBiasLevel": "- nobody says what it means",
}
OURS = {"MaxSweepInstances", "MaxSweepTasksPerJob", "TaskCancelSignal"}
OURS |= {"TaskOutputLimit"}
TABLES = {"job": JOB, "task": TASK, "node": NODE, "pool": POOL}


@pytest.mark.parametrize(
    ("name", "where"),
    [
        pytest.param(name, where, id=f"{table}-{name}")
        for table, rows in TABLES.items()
        for name, where in rows.items()
    ],
)
def test_each_property_of_the_reference_is_in_the_api_or_says_why_not(
    name: str, where: str
) -> None:
    if where.startswith("- "):
        assert len(where) > len("- legacy"), f"{name}: why?"
        return
    for part in where.split(" + "):
        message, _, field = part.partition(".")
        assert field in MESSAGES[message].DESCRIPTOR.fields_by_name, f"{name}: {part}"


def test_every_cluster_parameter_of_the_reference_is_known_or_says_why_not() -> None:
    for name, known in PARAMETERS.items():
        found = parameters.known(name)
        assert (found is not None) is (known is True), name
        assert found is None or found.name == name

    ours = {parameter.name for parameter in parameters.PARAMETERS}
    assert ours == {name for name, known in PARAMETERS.items() if known is True} | OURS
