"""Bringing a database to the newest schema when it is opened. Forward only.

A new database is made at the newest schema directly; migrations run on older ones
only. A test proves that both ways lead to the same schema. Alembic is imported only
when there is something to migrate: its import costs more than the start of a store.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite as sqlite_dialect

from hpcsched.store.errors import StoreFormatError
from hpcsched.store.sql import schema

if TYPE_CHECKING:
    import sqlite3

log = logging.getLogger(__name__)

SCRIPTS: Final = "hpcsched.store.sql:migrations"

_VERSION_TABLE: Final = """
CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL,
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
)"""


def bring_up_to_date(connection: sqlite3.Connection) -> None:
    """Make the tables, or migrate them, in one transaction.

    Raises:
        StoreFormatError: the database is another program's, or of a newer version.
        sqlite3.Error: it is not of the version that it says, or the disk fails.
    """
    version = version_of(connection)
    if version == schema.HEAD:
        return
    if version is None:
        _create(connection)
    else:
        _upgrade(connection, version)


def version_of(connection: sqlite3.Connection) -> str | None:
    """Return the schema's version, or None for an empty database.

    Raises:
        StoreFormatError: the database is another program's.
    """
    tables = {
        row[0]
        for row in connection.execute("SELECT name FROM sqlite_master").fetchall()
    }
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    if not tables and application in {0, schema.APPLICATION_ID}:
        return None
    if application != schema.APPLICATION_ID or "alembic_version" not in tables:
        raise StoreFormatError("the database belongs to another program")
    rows = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    return str(rows[0][0]) if rows else ""


@cache
def _definitions() -> tuple[str, ...]:
    """Return what makes the tables and indexes of the newest schema, in order."""
    dialect = sqlite_dialect.dialect()
    made: list[sa.schema.ExecutableDDLElement] = []
    for table in schema.metadata.sorted_tables:
        made.append(sa.schema.CreateTable(table))
        indexes = sorted(table.indexes, key=lambda index: str(index.name))
        made += map(sa.schema.CreateIndex, indexes)
    return tuple(str(one.compile(dialect=dialect)) for one in made)


def _create(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        for definition in _definitions():
            connection.execute(definition)
        connection.execute(_VERSION_TABLE)
        connection.execute("INSERT INTO alembic_version VALUES (?)", (schema.HEAD,))
        connection.execute(f"PRAGMA application_id={schema.APPLICATION_ID}").fetchall()
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _upgrade(connection: sqlite3.Connection, version: str) -> None:
    from alembic import command  # noqa: PLC0415 - see above
    from alembic.config import Config  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    from hpcsched.store.sql.relisting import relist  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", SCRIPTS)
    scripts = ScriptDirectory.from_config(config).walk_revisions()
    if version not in {script.revision for script in scripts}:
        problem = f"the database has schema {version!r}, not {schema.HEAD} or older"
        raise StoreFormatError(problem)
    log.info("migrating the store from schema %s to %s", version, schema.HEAD)
    engine = sa.create_engine(
        "sqlite://", creator=lambda: connection, poolclass=sa.StaticPool
    )
    with engine.connect() as over_engine:
        over_engine.exec_driver_sql("BEGIN IMMEDIATE")
        config.attributes["connection"] = over_engine
        try:
            command.upgrade(config, schema.HEAD)
            relist(connection)
        except sa.exc.DBAPIError as error:
            over_engine.rollback()
            # What the driver said tells a full disk from one that fails.
            raise (error.orig or error) from error
        except BaseException:
            over_engine.rollback()
            raise
        over_engine.commit()
