"""What is wrong with a cluster, why that matters, and what to do about it."""

from __future__ import annotations
