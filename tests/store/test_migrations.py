"""Old databases become new ones; new ones are made at once."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import msgpack
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.dialects import postgresql

from hpcsched.store.errors import StoreFormatError
from hpcsched.store.sql import migrate, schema, sqlite, sums
from hpcsched.store.sql.statements import BulkStatement, Statements

if TYPE_CHECKING:
    from pathlib import Path


def connect(path: Path | str) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None)


def an_unmigrated(connection: sqlite3.Connection) -> None:
    """Make what a database looks like before the first migration."""
    connection.execute(f"PRAGMA application_id={schema.APPLICATION_ID}")
    connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")


def schema_of(connection: sqlite3.Connection) -> dict[str, list[tuple[object, ...]]]:
    """Return columns and indexes by name, without the layout of the text."""
    found: dict[str, list[tuple[object, ...]]] = {}
    query = "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"
    for kind, name, sql in connection.execute(query).fetchall():
        if name == "alembic_version":
            continue
        if kind == "table":
            columns = connection.execute(f"PRAGMA table_xinfo({name})").fetchall()
            found[name] = [*columns, ("WITHOUT ROWID" in sql,)]
        else:
            found[name] = [(" ".join(sql.split()),)]
    return found


def bulk_statements(dialect: sa.Dialect) -> dict[str, BulkStatement]:
    made = vars(Statements(dialect)).items()
    return {name: each for name, each in made if isinstance(each, BulkStatement)}


def test_the_newest_migration_is_the_head() -> None:
    config = Config()
    config.set_main_option("script_location", migrate.SCRIPTS)

    assert ScriptDirectory.from_config(config).get_current_head() == schema.HEAD


def test_a_new_database_and_a_migrated_one_are_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with closing(connect(":memory:")) as new, closing(connect(":memory:")) as old:
        migrate.bring_up_to_date(new)
        an_unmigrated(old)
        monkeypatch.setattr(migrate, "version_of", lambda connection: "0001")
        monkeypatch.setattr(schema, "HEAD", "head")
        migrate.bring_up_to_date(old)

        assert schema_of(new)
        assert schema_of(old) == schema_of(new)


def test_a_migrated_database_is_what_the_tables_say() -> None:
    with closing(connect(":memory:")) as connection:
        migrate.bring_up_to_date(connection)
        engine = sa.create_engine(
            "sqlite://", creator=lambda: connection, poolclass=sa.StaticPool
        )
        with engine.connect() as over_engine:
            context = MigrationContext.configure(over_engine)

            assert compare_metadata(context, schema.metadata) == []


def test_what_jobs_are_found_by_is_filled_in_for_those_of_earlier_versions() -> None:
    specs = [
        {"min_nodes": 2, "unit_type": 2, "job_template": "short", "pool": "gold"},
        {"min_cores": 3, "auto_calculate_max": False},
    ]
    with closing(connect(":memory:")) as connection:
        an_unmigrated(connection)
        config = Config()
        config.set_main_option("script_location", migrate.SCRIPTS)
        engine = sa.create_engine(
            "sqlite://", creator=lambda: connection, poolclass=sa.StaticPool
        )
        with engine.connect() as over_engine:
            config.attributes["connection"] = over_engine
            command.upgrade(config, "0005")
            for number, spec in enumerate(specs, start=1):
                body = msgpack.packb(spec)
                connection.execute(
                    "INSERT INTO job_spec VALUES (?, 0, ?)", (number, body)
                )
                connection.execute(
                    "INSERT INTO job_terms (job_id) VALUES (?)", (number,)
                )
            command.upgrade(config, "head")
        names = "min_nodes, auto_calculate_min, auto_calculate_max, job_template, pool"
        rows = connection.execute(f"SELECT {names} FROM job_terms").fetchall()  # noqa: S608

    assert rows == [(2, 0, 1, "short", "gold"), (None, 0, 0, "Default", "Default")]


def test_what_is_counted_in_a_store_of_an_earlier_version_gets_its_checksums() -> None:
    with closing(connect(":memory:")) as connection:
        an_unmigrated(connection)
        config = Config()
        config.set_main_option("script_location", migrate.SCRIPTS)
        engine = sa.create_engine(
            "sqlite://", creator=lambda: connection, poolclass=sa.StaticPool
        )
        with engine.connect() as over_engine:
            config.attributes["connection"] = over_engine
            command.upgrade(config, "0008")
            connection.execute("INSERT INTO counter VALUES ('term', 5), ('x', -3)")
            connection.execute("INSERT INTO meta VALUES ('floor_seq', 9)")
            connection.executemany(
                "INSERT INTO usage VALUES (?, 'ann', 'é', 1, 2, 3, 4, 5, 6)",
                [(day,) for day in range(1500)],
            )
            command.upgrade(config, "head")
        for table in sums.SUMMED:
            query = f"SELECT count(*) FROM {table.name} WHERE crc IS NULL"  # noqa: S608
            assert connection.execute(query).fetchone() == (0,)
        assert list(sums.sum_findings(connection, 9)) == []
        connection.execute("UPDATE usage SET failed = 7 WHERE day = 1499")
        (found,) = sums.sum_findings(connection, 9)
        assert found.text == "usage 1499, ann, é is not what was written"


def test_opening_again_changes_nothing(tmp_path: Path) -> None:
    with closing(connect(tmp_path / "x.db")) as connection:
        migrate.bring_up_to_date(connection)
        before = connection.total_changes
        migrate.bring_up_to_date(connection)

        assert connection.total_changes == before
        assert migrate.version_of(connection) == schema.HEAD


def test_a_database_of_a_newer_version_is_refused() -> None:
    with closing(connect(":memory:")) as connection:
        migrate.bring_up_to_date(connection)
        connection.execute("UPDATE alembic_version SET version_num = '9999'")

        with pytest.raises(StoreFormatError, match="9999"):
            migrate.bring_up_to_date(connection)


def test_every_table_and_statement_compiles_for_postgresql() -> None:
    dialect: sa.Dialect
    dialect = postgresql.dialect(paramstyle="format")  # type: ignore[no-untyped-call]
    for table in schema.metadata.sorted_tables:
        assert str(sa.schema.CreateTable(table).compile(dialect=dialect))
        for index in table.indexes:
            assert str(sa.schema.CreateIndex(index).compile(dialect=dialect))

    for statement in bulk_statements(dialect).values():
        one, many = statement._text(1), statement._text(statement._sizes[0])
        assert many.count("%s") == statement._sizes[0] * one.count("%s")


@pytest.mark.parametrize("size", [4, 256])
def test_a_statement_for_many_rows_is_what_compiling_it_gives(size: int) -> None:
    for name, statement in bulk_statements(sqlite.dialect()).items():
        if size in statement._sizes:
            assert statement._text(size) == statement._compile(size), name
