"""Losing the database of a realm, and making it again."""

from chainwatch.app import opened
from chainwatch.control.rebuild import Report
from tests.support.realm import Realm, wired


async def forget(world: Realm) -> None:
    """Stop the daemon and delete its database."""
    await world.db.close()
    for file in world.config.installation.state_dir.glob("test.db*"):
        file.unlink()


async def reopen(world: Realm) -> None:
    """Start the daemon over a new and empty database."""
    path = world.config.installation.state_dir / "test.db"
    async with opened(world.config, path, create=True):
        pass
    await world.restart()


async def rebuild(world: Realm) -> Report:
    """Make the database again, as `chainwatch rebuild` does, and start the daemon over it."""
    path = world.config.installation.state_dir / "test.db"
    async with opened(world.config, path, create=True) as db:
        daemon = wired(world.config, world.chain, world.cluster, db, world.credential)
        report = await daemon.rebuild.run(0)
    await world.restart()
    return report
