"""Job templates: defaults and limits that administrators give to jobs (api.md 7)."""

from __future__ import annotations
