"""The program ``hpc``: verbs, tables and JSON."""

from __future__ import annotations
