"""The public contract: what clients of the head may rely on."""

from __future__ import annotations
