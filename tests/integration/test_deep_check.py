"""`chainwatch check --deep` holds every lease of every source against its contract, at once."""

import json
from pathlib import Path

import pytest

from chainwatch.control import deep_check
from tests.support.chain_model import minted
from tests.support.doubts import concealing, refusing, telling
from tests.support.office import Counter, counter
from tests.support.realm import ALICE, BOB, GRACE, HOUR


async def deep(at: Counter) -> tuple[int, dict[str, list[tuple[bool, str]]]]:
    """Exit code, and what was found about what."""
    said = await at.type("check", "--deep", "--json")
    found: dict[str, list[tuple[bool, str]]] = {}
    for each in json.loads(said.out):
        found.setdefault(each["subject"], []).append((each["ok"], each["text"]))
    return said.code, found


async def sold(at: Counter) -> None:
    for token in range(1, 4):
        at.realm.buy(token, lasts=100 * GRACE)
    at.realm.burn(2)
    at.realm.confirm()
    await at.realm.settle()


async def test_a_line_for_each_source_says_how_much_was_compared(tmp_path: Path) -> None:
    async with counter(tmp_path) as at:
        await sold(at)
        code, found = await deep(at)
        assert code == 0
        cluster = {"hypervisor", "token", "firewall", "OS template", "template 9000"}
        assert set(found) == {"source model", *cluster, "database", "audit model"}
        assert found["audit model"] == [
            (True, "3 leases held against the contract, 0 findings"),
        ]
        assert "audit model" not in (await at.type("check")).out


async def test_what_differs_is_said_with_both_accounts_and_halts_nothing(tmp_path: Path) -> None:
    async with counter(tmp_path) as at:
        await sold(at)
        world = at.realm
        world.renew(1, lasts=1000 * GRACE)
        world.chain.rpc.endpoints[0].tamper = concealing(world.chain.head.number)
        world.finalize()
        await world.turn()
        code, found = await deep(at)
        (wrong, line) = found["audit model"]
        assert code == 1
        assert wrong[0] is line[0] is False
        assert str(world.lease(1)) in wrong[1]
        assert wrong[1].endswith("no other endpoint tells")
        assert line[1] == "3 leases held against the contract, 1 findings"
        assert (await world.daemon.stores.journal.state("model")).halted is None


async def test_what_only_one_endpoint_says_is_told_apart_from_what_two_say(tmp_path: Path) -> None:
    async with counter(tmp_path) as at:
        await sold(at)
        honest = at.realm.chain.endpoint("honest")
        at.realm.chain.rpc.endpoints = [*at.realm.chain.rpc.endpoints, honest]
        at.realm.chain.rpc.endpoints[0].tamper = telling("eth_call", ALICE[2:], BOB[2:])
        code, found = await deep(at)
        assert code == 1
        assert all(
            text.endswith("honest tells it like our events") for _, text in found["audit model"][:2]
        )


async def test_a_missing_token_is_found(tmp_path: Path) -> None:
    async with counter(tmp_path) as at:
        world = at.realm
        world.buy(1, lasts=GRACE)
        world.mine(*minted(2, ALICE, plan=1, expires_at=world.chain.head.timestamp + HOUR))
        world.chain.rpc.endpoints[0].tamper = concealing(world.chain.head.number)
        world.buy(3, lasts=GRACE)
        await world.turn()
        code, found = await deep(at)
        assert code == 1
        assert "no event tells of the mint of token 2" in found["audit model"][0][1]


async def test_what_could_not_be_compared_is_no_good_news(tmp_path: Path) -> None:
    async with counter(tmp_path) as at:
        at.realm.buy(lasts=GRACE)
        await at.realm.turn()
        at.realm.chain.rpc.endpoints[0].tamper = refusing("eth_call", "missing trie node")
        code, found = await deep(at)
        assert code == 1
        ((ok, text),) = found["audit model"]
        assert not ok
        assert "the rest was not compared" in text
        assert "missing trie node" in text


async def test_a_flood_of_differences_is_cut_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deep_check, "MOST", 1)
    async with counter(tmp_path) as at:
        await sold(at)
        at.realm.chain.rpc.endpoints[0].tamper = telling("eth_call", ALICE[2:], BOB[2:])
        found = [each for each in await at.desk.check(deep=True) if each.subject == "audit model"]
        assert [each.text for each in found][1:] == [
            "and 1 more",
            "3 leases held against the contract, 2 findings",
        ]


async def test_deep_is_yes_or_no(tmp_path: Path) -> None:
    async with counter(tmp_path) as at:
        said = await at.curl("/check", "-d", '{"deep": "perhaps"}')
        assert said.out == '{"error":"deep is neither yes nor no"}\n\n400'
