"""A running daemon has a source doubted, looked at and read again, on a real chain."""

import json
from pathlib import Path

import pytest

from tests.support.daemon import Grounds, Installation, installation

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

TASKS = ("qmclone", "qmstart", "qmshutdown", "qmstop", "qmdestroy")


async def story(it: Installation) -> dict[str, object]:
    code, said = await it.run("source", "show", "anvil", "--json")
    assert code == 0, said
    found: dict[str, object] = json.loads(said)
    return found


async def test_a_reread_under_a_running_machine_changes_nothing(
    place: Grounds, folder: Path
) -> None:
    async with installation(place, folder) as it:
        await it.daemon.start()
        token = await it.buy()
        machine = await it.provisioned(token)
        before = {kind: await it.tasks(kind) for kind in TASKS}

        order = ("source", "reread", "anvil", "0", "--reason", "a doubt", "--yes")
        code, said = await it.run(*order)
        assert code == 0, said

        async def caught_up() -> bool:
            found = await story(it)
            return found["reread_to"] is None and await it.status.ready()

        await it.until("it is read again", caught_up)
        assert (await it.provisioned(token)).vmid == machine.vmid
        assert {kind: await it.tasks(kind) for kind in TASKS} == before
        code, said = await it.run("check", "--deep")
        assert code == 0, said
        assert "1 leases held against the contract, 0 findings" in said
        assert await it.daemon.stop() == 0
        await it.judge(machines=1)


async def test_endpoints_are_heard_about_our_blocks(place: Grounds, folder: Path) -> None:
    async with installation(place, folder) as it:
        await it.daemon.start()
        await it.provisioned(await it.buy())
        found = await story(it)
        testimonies, cursor = found["testimonies"], found["stored_cursor"]
        assert isinstance(testimonies, list)
        assert isinstance(cursor, dict)
        block = await place.chain.block(cursor["number"])
        assert [said["at_cursor"] for said in testimonies] == [block.hash] == [cursor["hash"]]
        assert await it.daemon.stop() == 0


async def test_the_audit_of_a_real_contract_finds_every_kind_of_lease_as_it_is(
    place: Grounds, folder: Path
) -> None:
    async with installation(place, folder) as it:
        _, buyer, other, *_ = await place.chain.accounts()
        _, renewed, sold, ended, burnt, cancelled = [await it.buy() for _ in range(6)]
        await it.shop.renew(renewed, 7 * 86_400, buyer)
        await it.shop.transfer(sold, buyer, other)
        await it.shop.end(ended, buyer)
        await it.shop.end(burnt, buyer)
        await it.shop.burn(burnt, buyer)
        await it.shop.cancel(cancelled, buyer)
        await place.chain.mine()
        await it.daemon.start()
        await it.until("it is ready", it.status.ready)
        await it.until("its last lease is known", lambda: _known(it, cancelled))
        code, said = await it.run("check", "--deep")
        assert code == 0, said
        assert "6 leases held against the contract, 0 findings" in said
        assert await it.daemon.stop() == 0


async def _known(it: Installation, token: int) -> bool:
    return it.lease(token) in await it.status.leases()
