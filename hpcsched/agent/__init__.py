"""The contract between the head and its node agents."""

from __future__ import annotations
