"""Which installation a database belongs to, and which sources it follows.

Law: a database never serves two truths. Machines carry the installation's id and events carry
their source's name, so a config that now means another chain, contract or installation would turn
paid machines into orphans; it is refused, with what to do instead.
"""

from collections.abc import Sequence

from chainwatch.domain.batches import Source
from chainwatch.errors import Fatal
from chainwatch.store.database import Database, Reading, Transaction

_SAID = {
    "chain_id": "chain id",
    "contract": "contract",
    "start_block": "start block",
    "profile": "profile",
    "credential": "contract of the credentials",
}


async def check_installation(db: Database, installation_id: str, sources: Sequence[Source]) -> None:
    """Write who we are the first time, and refuse anything else afterwards (Fatal).

    A new source may be added at any time; one that is no longer configured stays as it is.
    """
    async with db.transaction("install") as tx:
        await _check_id(tx, installation_id)
        for source in sources:
            await _check_source(tx, source)


async def source_named(read: Reading, name: str) -> Source:
    """Return a stored source. Raises Fatal when there is none of that name."""
    row = await read.one(
        "SELECT name, chain_id, contract, start_block, profile, credential FROM source"
        " WHERE name = ?",
        name,
    )
    if row is None:
        raise Fatal(f"the database follows no source {name!r}; add it to the configuration")
    return Source(*row)


async def _check_id(tx: Transaction, installation_id: str) -> None:
    row = await tx.one("SELECT id FROM installation")
    if row is None:
        await tx.run("INSERT INTO installation (one, id) VALUES (1, ?)", installation_id)
    elif row["id"] != installation_id:
        raise Fatal(
            f"this database belongs to installation {row['id']!r} and the configuration says "
            f"{installation_id!r}; write the former, or use another database"
        )


async def _check_source(tx: Transaction, source: Source) -> None:
    wanted = (source.name, source.chain_id, source.contract.lower())
    rest = (source.start_block, source.profile, source.credential.lower())
    double = await tx.one(
        "SELECT name FROM source WHERE chain_id = ? AND contract = ? AND name <> ?",
        *(wanted[1], wanted[2], wanted[0]),
    )
    if double is not None:
        raise Fatal(
            f"sources.{source.name}: contract {wanted[2]} on chain {source.chain_id} is already "
            f"followed as {double['name']!r}; keep that name, a contract has one source"
        )
    await tx.run(
        "INSERT INTO source (name, chain_id, contract, start_block, profile, credential)"
        " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO NOTHING",
        *wanted,
        *rest,
    )
    stored = await source_named(tx, source.name)
    for field, said in _SAID.items():
        was, now = getattr(stored, field), dict(zip(_SAID, wanted[1:] + rest, strict=True))[field]
        if was != now:
            raise Fatal(
                f"sources.{source.name}: the {said} was {was} when this database was made and is "
                f"{now} now; write {was}, or give the new one a name of its own"
            )
