"""What the chain says right while a call is made, which no mode of the cluster's own can show.

Each changes the chain model and nothing else: whoever asks the cluster for something knows of it
only later.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final

from chainwatch.domain.events import Event, KeysChanged
from tests.support.chain_model import ModelBlock
from tests.support.judge import KEYS
from tests.support.realm import ALICE, BOB, Realm
from tests.support.tenancies import latest


def sold_meanwhile(world: Realm) -> None:
    """Its owner sells it, and the new one gives a key."""
    for token, tenancy in latest(world.chain).tenancies.items():
        buyer = BOB if tenancy.owner == ALICE else ALICE
        world.transfer(token, tenancy.owner, buyer)
        world.mine(KeysChanged(token, KEYS[buyer], "0x"))
        world.confirm()


def over_meanwhile(world: Realm) -> None:
    """It runs out."""
    for tenancy in latest(world.chain).tenancies.values():
        world.pass_time(max(tenancy.expires_at - world.chain.head.timestamp, 0) + 1)


def told_again(world: Realm) -> None:
    """The last two blocks are others now, with the same transactions in them."""
    lost = world.chain.fork()[-3:]
    world.chain.drop(len(lost) - 1)
    for before, block in pairwise(lost):
        events, tx = _said(block)
        later = block.block.timestamp - before.block.timestamp
        world.chain.mine(events, seconds=later, tx=tx)


def _said(block: ModelBlock) -> tuple[Sequence[Event], str | None]:
    logged = block.logged()
    return [each.event for each in logged], logged[0].tx_hash if logged else None


MEANWHILE: Final[Sequence[Callable[[Realm], None]]] = (told_again, sold_meanwhile, over_meanwhile)
