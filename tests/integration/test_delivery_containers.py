"""A container is delivered, made larger, given back and burnt as a virtual machine is."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from chainwatch.config import Config, NodesConfig
from chainwatch.credentials import Secret
from chainwatch.domain.sealing import Unsealable
from chainwatch.domain.sendings import Kind, State
from provisioner.simulator.faults import Fault, FaultName
from provisioner.simulator.lxc.container import Container
from tests.support.estate import GRACE, HOST_KEY, HOUR, KEY_FILE, LARGE, SMALL, Estate, estate
from tests.support.lease_contract import Reverted
from tests.support.realm import ALICES_KEY, BOBS_KEY, FIRST

CONTAINER: Final = 1
NODES: Final = NodesConfig("root", 22, Secret(b"not used here"), ("pve 192.0.2.11 t k",))


def over_ssh(config: Config) -> Config:
    """A configuration that reaches its nodes, through which a container's keys change."""
    return replace(config, nodes=NODES)


@pytest.fixture
async def it(tmp_path: Path) -> AsyncIterator[Estate]:
    async with estate(tmp_path, adjust=over_ssh, kind=CONTAINER) as made:
        yield made


async def is_made(it: Estate) -> Container:
    """Turn until there is a container, which makes its host keys before it answers."""

    async def there() -> bool:
        made = FIRST in it.cluster.inventory().guests
        return made and "hostname" in it.guest().config

    await it.until(there, seconds=1)
    guest = it.guest()
    assert isinstance(guest, Container)
    guest.os.folders.add("/etc/ssh")
    guest.os.files[KEY_FILE] = f"{HOST_KEY} root@container\n"
    return guest


def hardware(guest: Container) -> tuple[int, int, int]:
    """Cores, MiB, and GiB of its root file system."""
    disk = guest.boot_disk_size() // 2**30
    return int(str(guest.config["cores"])), int(str(guest.config["memory"])), disk


async def test_a_buyer_of_a_container_is_delivered_and_decrypts_how_to_get_in(it: Estate) -> None:
    token = await it.buy()
    await is_made(it)
    await it.is_delivered(token)
    told = await it.read_by(it.alice, token)
    assert (told.user, told.ipv4, told.port) == ("root", "203.0.113.10", 22)
    assert told.host_keys == (HOST_KEY,)
    assert it.running()
    assert it.cluster.admits(FIRST, ALICES_KEY)
    await it.turns(5)
    assert [each.state for each in await it.sendings(token)] == [State.FINAL]
    assert len(await it.said("LeaseDelivered")) == len(await it.said("ConnectionPublished")) == 1


async def test_who_buys_a_container_from_its_owner_gets_in_and_the_seller_does_not(
    it: Estate,
) -> None:
    token = await it.buy()
    await is_made(it)
    await it.is_delivered(token)
    await it.shop.transfer(token, it.alice, it.bob)
    await it.shop.set_keys(token, it.bob, BOBS_KEY, it.public(it.bob))
    for _ in range(2):
        await it.finalize()
        await it.turns(8)
    assert (await it.read_by(it.bob, token)).host_keys == (HOST_KEY,)
    with pytest.raises(Unsealable):
        await it.read_by(it.alice, token)
    assert it.cluster.admits(FIRST, BOBS_KEY)
    assert not it.cluster.admits(FIRST, ALICES_KEY)


async def test_a_container_grows_before_its_upgrade_is_said_to_be_done(it: Estate) -> None:
    token = await it.buy()
    guest = await is_made(it)
    await it.is_delivered(token)
    price = LARGE.price_per_second * 3 * HOUR
    await it.shop.deployed.send("requestUpgrade", token, 2, 10**18, sender=it.alice, value=price)
    await it.anvil.mine(1)
    seen: set[tuple[int, int, int]] = set()

    async def done() -> bool:
        larger = await it.shop.deployed.call(int, "planOf", token) == 2
        if not larger:
            seen.add(hardware(guest))
        return larger

    await it.until(done, seconds=1)
    assert hardware(guest) == (4, 4096, 40)
    assert (4, 4096, 40) in seen, "it was said to be done before it was"
    await it.finalize()
    await it.turns(4)
    assert [(wish.verb, wish.outcome) for wish in await it.wishes(token)] == [("upgrade", "done")]
    assert [each.state for each in await it.sendings(token, Kind.UPGRADE)] == [State.FINAL]
    assert it.running()


async def test_a_container_that_cannot_grow_is_refused_and_paid_back(it: Estate) -> None:
    token = await it.buy()
    guest = await is_made(it)
    await it.is_delivered(token)
    it.cluster.arm(refused("PUT", "*/resize"))
    price = LARGE.price_per_second * 3 * HOUR
    await it.shop.deployed.send("requestUpgrade", token, 2, 10**18, sender=it.alice, value=price)
    await it.anvil.mine(1)
    await it.turns(6)
    await it.finalize()
    await it.turns(6)
    (wish,) = await it.wishes(token)
    assert (wish.verb, wish.outcome) == ("upgrade", "refused")
    assert await it.credit(it.alice) > 0
    assert hardware(guest) == (2, 2048, 20)
    assert [each.state for each in await it.sendings(token, Kind.REFUSE)] == [State.FINAL]


async def test_a_container_that_cannot_be_made_is_given_back_by_its_operator(it: Estate) -> None:
    it.cluster.arm(refused("POST", "*/lxc"))
    token = await it.buy()
    await it.turns(4)
    desk = it.desk()
    assert "chainwatch cancel" in {a.name: a.text for a in await desk.alarms()}["parked"]
    await desk.cancel(str(token), "its template is gone", 0)
    await it.turns(2)
    await it.finalize()
    await it.turns(4)
    assert await it.credit(it.alice) == HOUR * SMALL.price_per_second
    assert [each.state for each in await it.sendings(token, Kind.CANCEL)] == [State.FINAL]
    assert FIRST not in it.cluster.inventory().guests


async def test_a_container_is_burnt_when_its_grace_is_over_and_it_is_gone(it: Estate) -> None:
    token = await it.buy()
    await is_made(it)
    await it.is_delivered(token)
    await it.pass_time(HOUR + 1)
    await it.turns(20)
    assert not it.running()
    assert FIRST in it.cluster.inventory().guests
    assert await it.sendings(token, Kind.BURN) == []
    await it.pass_time(GRACE)
    for _ in range(6):
        await it.turns(8)
        await it.pass_time(60)
    assert FIRST not in it.cluster.inventory().guests
    (burn,) = await it.sendings(token, Kind.BURN)
    assert burn.state is State.FINAL
    with pytest.raises(Reverted):
        await it.shop.owner_of(token)


def refused(method: str, path: str) -> Fault:
    """Return a refusal that nothing mends."""
    text = "Parameter verification failed."
    return Fault(FaultName.REFUSE, method, path, status=400, text=text, lasting=True)
