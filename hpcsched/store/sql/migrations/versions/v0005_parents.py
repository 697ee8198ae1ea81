"""Which jobs wait for which."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the table of parents."""
    op.create_table(
        "job_parent",
        sa.Column("job_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("parent_id", sa.Integer, primary_key=True, autoincrement=False),
        sqlite_with_rowid=False,
    )
    op.create_index("job_parent_by_parent", "job_parent", ["parent_id", "job_id"])
