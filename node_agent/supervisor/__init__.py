"""The program ``hpc-task-supervisor``: it owns every task process of a node.

Standard library only, no network. ``main`` tells how its processes fit together.
"""

from __future__ import annotations
