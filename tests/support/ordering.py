"""What an operator orders of the machine of lease 1, as a stage of its life."""

from collections.abc import Awaitable, Callable

from provisioner.model import Verb
from tests.support.realm import Realm


def ordering(verb: Verb) -> Callable[[Realm], Awaitable[None]]:
    """Return the stage in which an operator orders `verb`, once; a rollback to what he took."""

    async def ordered(world: Realm) -> None:
        key, now = str(world.lease()), world.daemon.supervisor.clock.now()
        wishes, row = world.daemon.stores.wishes, await world.daemon.stores.leases.get(key)
        before = await wishes.of(key, 9)
        if row is not None and verb not in [wish.verb for wish in before]:
            name = f"order-{before[0].number}" if verb is Verb.ROLLBACK else ""
            await wishes.ask((key, row.nonce), (verb, name), "a test", 0, now=now)

    return ordered
