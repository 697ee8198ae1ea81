"""More of what lists of jobs are chosen and sorted by."""

from __future__ import annotations

from typing import Any

import msgpack
import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

SIZES = ("min_sockets", "max_sockets", "min_nodes", "max_nodes")
UNITS = ("cores", "sockets", "nodes")
_PIECE = 1000


def upgrade() -> None:
    """Add the columns, and fill them from the jobs' specifications.

    Earlier versions left the sizes in sockets and nodes empty as well.
    """
    op.add_column("job_terms", sa.Column("job_template", sa.Text))
    op.add_column("job_terms", sa.Column("pool", sa.Text))
    integers = (*SIZES, "auto_calculate_min", "auto_calculate_max")
    terms = sa.table(
        "job_terms",
        sa.column("job_id", sa.Integer),
        *(sa.column(name, sa.Integer) for name in integers),
        sa.column("job_template", sa.Text),
        sa.column("pool", sa.Text),
    )
    spec = sa.table(
        "job_spec",
        sa.column("job_id", sa.Integer),
        sa.column("task_id", sa.Integer),
        sa.column("body", sa.LargeBinary),
    )
    bind = op.get_bind()
    after = 0
    while True:
        rows = bind.execute(
            sa.select(spec.c.job_id, spec.c.body)
            .where(spec.c.task_id == 0, spec.c.job_id > after)
            .order_by(spec.c.job_id)
            .limit(_PIECE)
        ).fetchall()
        for job_id, body in rows:
            bind.execute(
                sa.update(terms).where(terms.c.job_id == job_id).values(**_terms(body))
            )
        if not rows:
            return
        after = rows[-1][0]


def _terms(body: bytes) -> dict[str, Any]:
    """Return the values of a specification, of which defaults are left out."""
    given = msgpack.unpackb(body, strict_map_key=False)
    unit = UNITS[given.get("unit_type", 0)]
    found: dict[str, Any] = {name: given.get(name) for name in SIZES}
    for end in ("min", "max"):
        automatic = given.get(f"auto_calculate_{end}")
        if automatic is None:
            automatic = given.get(f"{end}_{unit}") is None
        found[f"auto_calculate_{end}"] = int(automatic)
    found["job_template"] = given.get("job_template", "Default")
    found["pool"] = given.get("pool", "Default")
    return found
