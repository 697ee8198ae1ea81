"""The program ``hpc-node-agent``: one on each compute node, without root."""

from __future__ import annotations
