"""What happens to a lease or its machine, and what came of it, for daemons of their own.

Most of it happens while no daemon lives. An order is the exception, since only a daemon takes one:
`written_down` has it taken by a daemon that dies right after, so that the order stands and nothing
was done about it. What came of all that is read from the simulator's inventory; a daemon is asked
only whether it waits for anything still.
"""

import signal
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeAlias

from chainwatch.demo.cluster import Guest
from tests.support.daemon import GRACE, HOUR, KEY, Installation, Value
from tests.support.subscription import SubscriptionContract, subscriptions_at

BOBS_KEY: Final = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHUfGc4XyMUNk9i3QpmMwTB1IQ0cNOdpMhDXjQFvP1WA bob@y"
)
#: A lease that no act outlives.
LONG: Final = 100 * GRACE
TOKEN: Final = 1
#: Days for which a backup is kept, and the storage that it lies on.
KEPT_DAYS: Final = 1
VAULT: Final = "vault"
#: What a contract that knows no plans is configured to sell, and what it is changed to.
SMALL: Final[Mapping[str, Value]] = {"cores": 1, "memory_mib": 1024, "disk_gib": 10, "grace": GRACE}
LARGER: Final[Mapping[str, Value]] = {"cores": 2, "memory_mib": 2048, "disk_gib": 20}
#: Where an order stands written down, and nothing is done about it yet.
WRITTEN: Final = "commit.wish.after"

Happening: TypeAlias = Callable[[Installation], Awaitable[object]]
Came: TypeAlias = Callable[[Installation], Awaitable[bool]]
#: What an operator types, who may have to look at the machine first.
Words: TypeAlias = Callable[[Installation], Awaitable[tuple[str, ...]]]


# ----------------------------------------------------------------------------- what happens


async def bought(it: Installation) -> None:
    await it.buy(seconds=HOUR)


async def lasting(it: Installation) -> None:
    await it.buy(seconds=LONG)


async def run_out(it: Installation) -> None:
    await it.grounds.chain.advance(2 * HOUR)
    await it.grounds.chain.mine(3)


async def renewed(it: Installation) -> None:
    await it.shop.renew(TOKEN, LONG, it.buyer)
    await it.grounds.chain.mine(3)


async def forgotten_by_its_node(it: Installation) -> None:
    """It is renewed, and somebody restarts its node's network: routes and isolation are gone."""
    await it.grounds.control("POST", "nodes/pve/network")
    await renewed(it)


async def deafened(it: Installation) -> None:
    """It is paid for again, and the reply to the start that follows is lost."""
    (machine,) = await it.machines()
    path = f"*/{machine.vmid}/status/start"
    await it.grounds.arm(name="lose-reply", method="POST", path=path)
    await renewed(it)


async def sold(it: Installation) -> None:
    """Bob buys it, gives his key, and both are final."""
    _, alice, bob, *_ = await it.grounds.chain.accounts()
    await it.shop.transfer(TOKEN, alice, bob)
    await it.shop.set_keys(TOKEN, bob, BOBS_KEY)
    await final(it)


async def shrunk(it: Installation) -> None:
    """Somebody changes its size by hand while it stands still, and then it is paid for."""
    (machine,) = await it.machines()
    await it.grounds.cluster.edit(machine.vmid, cores=2, memory=512)
    await renewed(it)


async def nothing(_: Installation) -> None:
    """Nothing happens to the lease."""


async def final(it: Installation) -> None:
    """All that was said so far becomes final."""
    await it.grounds.chain.mine(5)


async def grace_over(it: Installation) -> None:
    await it.grounds.chain.advance(GRACE + HOUR)
    await final(it)


async def long_over(it: Installation) -> None:
    """The time for which backups are kept is over too."""
    await it.grounds.chain.advance(KEPT_DAYS * 86_400 + HOUR)
    await final(it)


# --------------------------------------------------------------- what somebody else's contract says


async def _subscriptions(it: Installation) -> SubscriptionContract:
    return await subscriptions_at(it.grounds.chain, str(it.settings["source"]["contract"]))


async def _subscribed(it: Installation, seconds: int) -> None:
    until = (await it.grounds.chain.block()).timestamp + seconds
    await (await _subscriptions(it)).announce_and_mint(it.buyer, TOKEN, until)
    await it.grounds.chain.mine()


async def subscribed(it: Installation) -> None:
    await _subscribed(it, HOUR)


async def subscribed_for_long(it: Installation) -> None:
    await _subscribed(it, LONG)


async def resubscribed(it: Installation) -> None:
    """It is paid for again, however late."""
    await (await _subscriptions(it)).renew(TOKEN, LONG)
    await final(it)


async def sold_larger(it: Installation) -> None:
    """What is sold has more of everything from now on, by the configuration."""
    it.settings["source.plan"] |= LARGER
    it.configure()
    await final(it)


# -------------------------------------------------------------------------------- what is ordered


def words(*typed: str) -> Words:
    """Return what an operator types without looking."""

    async def typed_blindly(_: Installation) -> tuple[str, ...]:
        return typed

    return typed_blindly


def to_it(verb: str, *more: str) -> Words:
    """Return an order to the machine."""
    return words(verb, str(TOKEN), *more, "--reason", "an operator wants it")


async def back(it: Installation) -> tuple[str, ...]:
    """Return the order that rolls it back to its only snapshot."""
    (machine,) = await it.machines()
    name = str(machine.config["parent"])
    return ("rollback", str(TOKEN), name, "--reason", "it broke", "--yes")


def written_down(order: Words) -> Happening:
    """Have a daemon take an order and die before it has done anything about it."""

    async def taken(it: Installation) -> None:
        await it.daemon.start(WRITTEN)
        await typed_at(it, order)
        assert await it.daemon.end() == -signal.SIGKILL

    return taken


async def typed_at(it: Installation, order: Words) -> int:
    """Type an order once the daemon takes them; returns the command's exit code."""
    typed = await order(it)
    await it.until("it takes orders", it.status.ready)
    code, _ = await it.run(*typed)
    return code


# ------------------------------------------------------------------------------ what came of it


async def up(it: Installation) -> Guest | None:
    """Return it if it runs, and nothing is left to do."""
    machine = await it.running()
    return machine if machine is not None and await it.settled(TOKEN) else None


async def done_once(it: Installation, *kinds: str) -> bool:
    """Say whether one task of these kinds went well on it, and no other was begun."""
    made = [task.status for kind in kinds for task in await it.tasks(kind)]
    assert len(made) <= 1, f"more than once: {kinds}"
    return made == ["OK"]


async def is_up(it: Installation) -> bool:
    """It runs, and nothing is left to do."""
    return await up(it) is not None


async def runs(it: Installation) -> bool:
    """It runs, has the size that was sold, and lets Alice in."""
    machine = await up(it)
    if machine is None:
        return False
    size = (int(machine.config["cores"]), int(machine.config["memory"]))
    return size == (1, 1024) and await it.grounds.cluster.admits(machine.vmid, KEY)


async def is_larger(it: Installation) -> bool:
    """It has the larger disk, and the rest by its next boot from outside at the latest."""
    machine = await up(it)
    if machine is None:
        return False
    shown = machine.config | {k: v for k, v in machine.pending.items() if v is not None}
    disk = str(shown.get("scsi0") or shown["rootfs"])
    size = (int(shown["cores"]), int(shown["memory"]))
    return size == (2, 2048) and disk.endswith("size=20G")


async def is_bobs(it: Installation) -> bool:
    """It runs and lets in Bob, and Alice no more."""
    machine = await up(it)
    if machine is None:
        return False
    admits = it.grounds.cluster.admits
    return await admits(machine.vmid, BOBS_KEY) and not await admits(machine.vmid, KEY)


async def is_anew(it: Installation) -> bool:
    """It was destroyed once, and runs again at the same place."""
    return await runs(it) and await done_once(it, "qmdestroy", "vzdestroy")


async def is_kept(it: Installation) -> bool:
    """It has one snapshot, and runs."""
    return await runs(it) and await done_once(it, "qmsnapshot", "vzsnapshot")


async def is_as_it_was(it: Installation) -> bool:
    """It was rolled back once, and runs."""
    return await runs(it) and await done_once(it, "qmrollback", "vzrollback")


async def is_restored(it: Installation) -> bool:
    """It was restored once, and runs."""
    return await is_up(it) and await done_once(it, "qmrestore", "vzrestore")


async def stands_still(it: Installation) -> bool:
    """It is there and does not run."""
    powers = [machine.power for machine in await it.machines()]
    return powers == ["stopped"] and await it.settled(TOKEN)


async def is_gone(it: Installation) -> bool:
    """There is no machine any more, and nothing is left to do."""
    return not await it.machines() and await it.settled(TOKEN)


async def is_saved(it: Installation) -> bool:
    """There is no machine any more, and one backup of it."""
    return await is_gone(it) and len(await _backups(it)) == 1


async def leaves_nothing(it: Installation) -> bool:
    """There is neither a machine nor a backup any more."""
    return await is_gone(it) and await _backups(it) == []


async def _backups(it: Installation) -> list[str]:
    backups = (await it.grounds.cluster.inventory()).backups
    return [volid for volid, vmid in backups.items() if vmid in it.vmids]
