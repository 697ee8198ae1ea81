"""How many tasks and elements a job has, for lists; filled by ``relisting``."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

STATES = (
    *("configuring", "submitted", "validating", "queued", "dispatching", "running"),
    *("finishing", "finished", "failed", "canceled", "canceling"),
)


def upgrade() -> None:
    """Add the columns."""
    for name in ("task_count", "tasks_total", *(f"tasks_{one}" for one in STATES)):
        op.add_column(
            "job", sa.Column(name, sa.Integer, nullable=False, server_default="0")
        )
