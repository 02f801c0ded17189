"""Whatever an honest chain does, no doubt is ever raised about what was read of it."""

import asyncio
import tempfile
from contextlib import suppress
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from chainwatch.domain.events import ZERO_ADDRESS, Transferred
from chainwatch.errors import RpcUnavailable
from tests.support.realm import ALICE, BOB, HOUR, Realm, realm

#: What happens: a word, and a number that chooses the token, the time or the depth.
Plot = list[tuple[str, int]]

WORDS = ("buy", "renew", "sell", "burn", "wait", "confirm", "reorg", "read", "reread", "look")
plots = st.lists(st.tuples(st.sampled_from(WORDS), st.integers(0, 5)), max_size=40)


def minted(world: Realm) -> list[int]:
    """The tokens that the chain as it is has minted, in their order."""
    said = [logged.event for logged in world.chain.events()]
    return [e.token for e in said if isinstance(e, Transferred) and e.sender == ZERO_ADDRESS]


def owners(world: Realm) -> dict[int, str]:
    """Who owns which token; what is burnt is nobody's."""
    said = [logged.event for logged in world.chain.events()]
    last = {e.token: e.recipient for e in said if isinstance(e, Transferred)}
    return {token: owner for token, owner in last.items() if owner != ZERO_ADDRESS}


def says(world: Realm, word: str, number: int) -> None:
    """Let something happen on the chain."""
    owned = owners(world)
    token = sorted(owned)[number % len(owned)] if owned else 0
    match word:
        case "buy":
            world.buy(len(minted(world)) + 1, lasts=HOUR)
        case "renew" if owned:
            world.renew(token, lasts=HOUR * (number + 1))
        case "sell" if owned:
            world.transfer(token, owned[token], BOB if owned[token] == ALICE else ALICE)
        case "burn" if owned:
            world.burn(token, owned[token])
        case "wait":
            world.pass_time(HOUR * number // 2)
        case "confirm":
            world.confirm()
        case "reorg":
            world.chain.reorg(min(number, world.chain.final_lag - 1, world.chain.head.number - 1))


async def does(world: Realm, word: str, number: int) -> None:
    """Let the daemon do something, or its operator."""
    match word:
        case "read":
            await world.read()
        case "reread":
            await read_again(world, number)
        case "look":
            with suppress(RpcUnavailable):  # the chain may have left our blocks, unread
                await look(world)


async def read_again(world: Realm, number: int) -> None:
    stores = world.daemon.stores
    cursor = (await stores.journal.state("model")).cursor
    if cursor is not None:
        await stores.rereads.reread("model", max(0, cursor.number - number), "why not", 0, now=1)


async def look(world: Realm) -> None:
    """Look at everything, and find nothing."""
    (lookout,) = world.daemon.supervisor.lookouts
    world.cluster.advance(61)
    assert await lookout.second_look.look() is None
    await lookout.audit.look()
    assert lookout.audit.suspects == {}
    assert (await world.daemon.stores.journal.state("model")).halted is None
    assert not {"audit", "second-look", "source-halted"} & set(await world.alarms())


async def story(folder: Path, plot: Plot) -> None:
    async with realm(folder) as world:
        world.finalize()
        await world.read()
        for word, number in plot:
            says(world, word, number)
            await does(world, word, number)
        await world.read()
        await look(world)
        (lookout,) = world.daemon.supervisor.lookouts
        endpoint = world.chain.rpc.endpoints[0]
        assert "eth_call" in endpoint.asked or not minted(world)
        assert lookout.audit._newest is not None, "it never looked"


@settings(max_examples=50, deadline=None)
@given(plots)
def test_an_honest_chain_is_never_doubted(plot: Plot) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(story(Path(folder), plot))
