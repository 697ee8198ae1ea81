"""What lists of jobs are chosen and sorted by."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
NUMBERS = (
    *("job_type", "unit_type", "run_until_canceled", "is_exclusive"),
    *("auto_calculate_min", "auto_calculate_max", "min_cores", "max_cores"),
    *("min_sockets", "max_sockets", "min_nodes", "max_nodes", "can_grow", "can_shrink"),
)


def upgrade() -> None:
    """Add columns to jobs, and the table of their terms."""
    op.add_column("job", sa.Column("previous_state", sa.Integer))
    op.add_column("job", sa.Column("start_time", sa.Float(53)))
    op.add_column("job", _counted("change_time", sa.Float(53)))
    op.add_column("job", _counted("requeue_count", sa.Integer()))
    op.create_table(
        "job_terms",
        sa.Column("job_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("user_name", sa.Text),
        sa.Column("runtime", BIG),
        *(sa.Column(name, sa.Integer) for name in NUMBERS),
    )


def _counted(name: str, kind: sa.types.TypeEngine[Any]) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False, server_default="0")
