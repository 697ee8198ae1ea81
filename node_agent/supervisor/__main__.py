"""``python -m node_agent.supervisor`` is ``hpc-task-supervisor``."""

from __future__ import annotations

from node_agent.supervisor.main import main

raise SystemExit(main())
