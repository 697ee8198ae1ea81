"""What a node finds out about its own machine: cores, memory, load."""

from __future__ import annotations
