"""Decisions: values and plain functions. No I/O, no clock, no chance, no logging."""

from __future__ import annotations
