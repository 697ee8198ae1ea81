"""What a template's defaults would be refused for in every job that takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hpcsched.common.errors import HpcError
from hpcsched.core.job.spec import JobSpec
from hpcsched.core.job.validation import validate_job
from hpcsched.core.template.applying import apply_template, check_values
from hpcsched.core.template.template import Template

if TYPE_CHECKING:
    from hpcsched.core.settings import Settings

_NOT_ALONE: Final = frozenset({"run_until_canceled", "target_resource_count"})
"""They need sizes, which the user or another rule gives."""


def check_defaults(template: Template, settings: Settings) -> None:
    """Refuse a default that no job can have: by itself, or for the rule's own limits.

    Raises:
        HpcError: INVALID_FIELD, with what a job would be refused for.
    """
    for at, (name, rule) in enumerate(template.rules.items()):
        if rule.default is None:
            continue
        alone = Template(name=template.name, rules={name: rule})
        spec = apply_template(JobSpec(), alone)
        try:
            if name not in _NOT_ALONE:
                validate_job(spec, settings)
            check_values(spec, alone)
        except HpcError as refusal:
            raise HpcError(
                "INVALID_FIELD",
                field=f"template.rules[{at}].default",
                problem=f"no job can have it: {refusal}",
            ) from None
