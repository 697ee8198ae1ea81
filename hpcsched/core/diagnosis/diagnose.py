"""From facts to findings, the worst first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcsched.core.diagnosis.of_head import (
    expiry_findings,
    head_findings,
    store_findings,
)
from hpcsched.core.diagnosis.of_jobs import job_findings
from hpcsched.core.diagnosis.of_nodes import node_findings

if TYPE_CHECKING:
    from hpcsched.core.diagnosis.facts import ClusterFacts
    from hpcsched.core.diagnosis.finding import Finding


def diagnose(facts: ClusterFacts) -> list[Finding]:
    """Return what is not as it should be; nothing: all is well."""
    found = [
        *head_findings(facts),
        *store_findings(facts),
        *node_findings(facts),
        *job_findings(facts),
        *expiry_findings(facts),
    ]
    return sorted(found, key=lambda finding: -finding.severity)
