"""The cluster parameters in force, as typed values (properties.md 6)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hpcsched.core.parameters import known, parse
from hpcsched.core.template.template import DEFAULT, Template

if TYPE_CHECKING:
    from collections.abc import Mapping


def _default_template() -> dict[str, Template]:
    return {DEFAULT: Template(name=DEFAULT)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What ``core.parameters`` describes. Times in seconds unless named otherwise.

    Attributes:
        templates: The job templates by name; the default one is always there.
        restored: An older store was put back: jobs below this number were there then,
            and their attempts begin at this number (core.job.numbering).
    """

    activation_filter: str = ""
    activation_timeout_s: int = 15
    affinity: str = "NonExclusiveJobs"
    allocation_ttl_days: int = 5
    allow_users: bool = True
    grow: bool = True
    shrink: bool = True
    backfill: int = 1000
    history_ttl_days: int = 365
    hold_s: int = 900
    email_from: str = ""
    email: bool = False
    email_server: str = ""
    email_ssl: bool = False
    pools: bool = False
    log_level: str = ""
    excluded_limit: int = 10
    grow_by_preemption: bool = False
    heartbeat_s: int = 30
    inactivity: int = 3
    inactivity_remote: int = 10
    cleanup_day: str = ""
    cleanup_hour: int = 2
    job_retries: int = 3
    max_sweep: int = 1000000
    max_sweeps: int = 100
    release_s: int = 15
    balanced_preemption: str = "Graceful"
    preemption: str = "Graceful"
    bias: str = "MediumBias"
    rebalance_s: int = 10
    restore_mode: bool = False
    mode: str = "Queued"
    submission_filter: str = ""
    submission_timeout_s: int = 15
    ttl_days: int = 5
    grace_s: int = 15
    signal: int = 15
    task_preemption: bool = True
    output_limit: int = 4096
    task_retries: int = 3
    templates: Mapping[str, Template] = field(default_factory=_default_template)
    restored: tuple[int, int] = (0, 1)

    @classmethod
    def from_texts(
        cls, texts: Mapping[str, str], templates: Mapping[str, Template] | None = None
    ) -> Settings:
        """Return the settings of stored texts; unknown names are passed over."""
        values = {}
        for name, text in texts.items():
            parameter = known(name)
            if parameter is not None:
                values[parameter.field] = parse(parameter, text)
        if templates is not None:
            return cls(**values, templates=templates)  # type: ignore[arg-type]
        return cls(**values)  # type: ignore[arg-type]
