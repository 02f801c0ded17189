"""Brings a database's schema to the version that this program knows, one numbered file at a time.

The version is `PRAGMA user_version`; a file and its number commit together, so a crash leaves a
database between two versions, never within one. A database from a newer program is refused: what
this one does not know it would not keep true.
"""

from functools import cache
from importlib import resources

import aiosqlite

from chainwatch.errors import Fatal
from provisioner import faultpoints


@cache
def scripts() -> tuple[str, ...]:
    """Return the migrations' SQL; the first brings a database from version 0 to version 1."""
    folder = resources.files("chainwatch.store.migrations")
    files = sorted(
        (file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda f: f.name
    )
    numbers = [int(file.name.split("_")[0]) for file in files]
    if numbers != list(range(1, len(files) + 1)):
        raise Fatal(f"the migrations are numbered {numbers}; install chainwatch again")
    return tuple(file.read_text(encoding="utf-8") for file in files)


async def migrate(writer: aiosqlite.Connection) -> None:
    """Apply what is missing. Raises Fatal for a database that is newer than this program."""
    version = await _version(writer)
    if version > len(scripts()):
        raise Fatal(
            f"the database has schema {version} and this chainwatch knows up to {len(scripts())}; "
            "install the version that wrote it, or a newer one"
        )
    for number, sql in enumerate(scripts()[version:], start=version + 1):
        faultpoints.reach("commit.migrate.before")
        await writer.executescript(
            f"BEGIN IMMEDIATE;\n{sql}\nPRAGMA user_version = {number};\nCOMMIT;"
        )
        faultpoints.reach("commit.migrate.after")


async def _version(connection: aiosqlite.Connection) -> int:
    (row,) = await connection.execute_fetchall("PRAGMA user_version")
    return int(row[0])
