"""Checksums of what is counted, added up, set and about to be deleted."""

from __future__ import annotations

from zlib import crc32

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

NUMBERS = {
    "counter": (("name",), ("value",)),
    "meta": (("name",), ("value",)),
    "usage": (
        ("day", "owner", "project"),
        ("core_ms", "user_ms", "kernel_ms", "finished", "failed", "canceled"),
    ),
}
_PIECE = 1000


def upgrade() -> None:
    """Add the columns, and fill them: what is added to would never have one."""
    for name in (*NUMBERS, "parameter", "purge"):
        op.add_column(name, sa.Column("crc", sa.BigInteger()))
    bind = op.get_bind()
    for name, (key, numbers) in NUMBERS.items():
        table = sa.table(name, *map(sa.column, (*key, *numbers, "crc")))
        keys = [table.c[one] for one in key]
        after: tuple[object, ...] | None = None
        while True:
            query = sa.select(*keys, *(table.c[one] for one in numbers))
            if after is not None:
                query = query.where(sa.tuple_(*keys) > sa.tuple_(*after))
            rows = bind.execute(query.order_by(*keys).limit(_PIECE)).fetchall()
            for row in rows:
                here = sa.and_(*(one == at for one, at in zip(keys, row, strict=False)))
                crc = _sum(row[: len(key)], row[len(key) :])
                bind.execute(sa.update(table).where(here).values(crc=crc))
            if not rows:
                break
            after = tuple(rows[-1][: len(key)])


def _sum(key: tuple[object, ...], numbers: tuple[int, ...]) -> int:
    """As the version of this migration has it (sql.sums)."""
    text = "\0".join(map(str, key))
    base = crc32(text.encode("utf-8", "surrogatepass"))
    total = 0
    for place, number in enumerate(numbers):
        weight = ((base + place) * 0x9E3779B1 & 0xFFFFFFFF) << 1 | 1
        total += weight * number
    return total & 2**62 - 1
