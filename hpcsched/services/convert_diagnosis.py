"""What is wrong with a cluster as messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from hpcsched.api.v1 import cluster_service_pb2 as pb

if TYPE_CHECKING:
    from hpcsched.core.diagnosis.finding import Finding


def finding_message(found: Finding) -> pb.Finding:
    """Return one thing that is not as it should be."""
    return pb.Finding(
        severity=cast("pb.Finding.Severity.ValueType", int(found.severity)),
        rule=found.rule,
        text=found.text,
        why=found.why,
        action=found.action,
        command=found.command,
        nodes=found.nodes,
        job_ids=found.job_ids,
    )
