"""A lease's whole life from terminals: the real programs, keystores, and a real chain."""

import json
import stat
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from chainwatch import artifacts
from chainwatch.demo.deployed import Deployed
from chainwatch.domain.details import Details, written
from chainwatch.domain.sealing import Place, sealed
from tests.support.anvil import CHAIN_ID
from tests.support.lease_contract import LeaseContract, PlanOffer, issue_token, open_shop
from tests.support.terminal import BUYER, PASSWORD, SELLER, Street, Terminal, street, terminal

pytestmark = pytest.mark.timeout(300)

DAY = 86_400
SUPPLY = 10**12
SSH_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFU8WGqKdTL9+y0hJ2ODLVMWlSdzUf/Qa8fqBm6CKoYJ"
DETAILS = Details(
    "admin",
    "203.0.113.9",
    "2001:db8::9",
    22,
    (f"{SSH_KEY} host", "@cert-authority * ssh-ed25519 AAAA"),
)


@pytest.fixture(scope="module")
def loaded() -> Iterator[Terminal]:
    with terminal() as made:
        yield made


@pytest.fixture
async def place(loaded: Terminal, tmp_path: Path) -> AsyncIterator[Street]:
    async with street(loaded, tmp_path) as made:
        yield made


async def shop_on(place: Street, *offers: PlanOffer) -> LeaseContract:
    shop = await open_shop(place.anvil)
    for offer in offers or (PlanOffer(),):
        await shop.create_plan(offer)
    place.contract = shop.address
    return shop


async def tell(shop: LeaseContract, token: int, encryption_key: bytes) -> None:
    """Deliver, or say the way in anew, sealed to the key that the lease names."""
    where = Place(CHAIN_ID, shop.address, token)
    blob = sealed(written(DETAILS), encryption_key, where, X25519PrivateKey.generate())
    if await shop.deployed.call(int, "deliveredAt", token):
        owner = await shop.owner_of(token)
        words = ("publishConnection", token, owner, blob)
        await shop.deployed.send(*words, sender=shop.provisioner)
    else:
        await shop.deliver(token, blob)


async def test_an_operator_sells_his_first_machine(place: Street) -> None:
    admin, hot, taker = place.person(0), place.person(1), "0x" + "77" * 20
    made = await place.sells("deploy", "--provisioner", hot.address, by=admin)
    place.contract = made["contract"]
    seen = await place.sells("verify", "--transaction", made["transaction"], by=admin)
    roles = {"admin": admin.address, "treasurer": admin.address, "provisioner": hot.address}
    assert (seen["ok"], seen["roles"]) == (True, roles)

    plan = await place.sells("plan", "add", "small", "--price", "2.592", "--cap", "5", by=admin)
    assert (plan["plan"], plan["price"]) == (1, str(10**12))
    lease = LeaseContract(_lease(place), "", "", (await place.anvil.accounts())[1])
    token, _ = await lease.mint(1, (await place.anvil.accounts())[2], seconds=DAY)
    await lease.deliver(token)
    await place.anvil.advance(DAY)

    collected = await place.sells("collect", "--to", taker, by=admin)
    assert collected["collected"] == [token]
    held = int(str(await place.anvil.rpc("eth_getBalance", taker, "latest")), 16)
    assert held == DAY * 10**12

    await place.sells("plan", "retire", "1", by=admin)
    (left,) = (await place.sells("plan", "list", by=admin))["plans"]
    assert (left["on_sale"], left["cap"], left["live"]) == (False, 5, 1)


async def test_roles_are_granted_and_revoked_by_the_admin_alone(place: Street) -> None:
    await shop_on(place)
    admin, other = place.person(0), place.person(3)
    await place.sells("role", "grant", "treasurer", other.address, by=admin)
    again = await place.types(
        SELLER, "contract", "role", "grant", "treasurer", other.address, "--yes", by=admin
    )
    assert (again.code, "is treasurer already" in again.err) == (1, True)
    await place.sells("role", "revoke", "treasurer", other.address, by=admin)
    refused = await place.types(SELLER, "contract", "plan", "retire", "1", "--yes", by=other)
    assert refused.code == 1
    assert "has not the role for that (admin)" in refused.err


async def test_another_contract_s_code_is_told_apart(place: Street) -> None:
    shop = await shop_on(place)
    code = str(await place.anvil.rpc("eth_getCode", shop.address, "latest"))
    changed = f"{code[:200]}{'00' if code[200:202] != '00' else '01'}{code[202:]}"
    await place.anvil.rpc("anvil_setCode", shop.address, changed)
    told = await place.types(SELLER, "contract", "verify")
    assert told.code == 1
    assert "is another than that of this version's contract" in told.out


async def test_a_buyer_lives_through_a_lease(place: Street) -> None:
    shop = await shop_on(place, PlanOffer(price_per_second=1_000_000))
    buyer = place.person(4)
    key = place.folder / "id.pub"
    key.write_text(f"{SSH_KEY} buyer@home\n")
    bought = await place.buys("buy", "1", "2d", "--ssh-key", str(key), by=buyer)
    token, public = str(bought["token"]), bytes.fromhex(bought["encryption_key"])
    kept = list(place.folder.glob("person-4.json.x25519-*"))
    assert [stat.S_IMODE(path.stat().st_mode) for path in kept] == [0o600]

    early = await place.types(BUYER, "connect", token, by=buyer)
    assert (early.code, "are on the chain yet" in early.err) == (1, True)
    await tell(shop, bought["token"], public)
    inside = await place.types(BUYER, "connect", token, by=buyer)
    assert inside.out.startswith("ssh admin@203.0.113.9\nssh admin@2001:db8::9\n"), inside.err

    known = [f"{each} {SSH_KEY}" for each in (DETAILS.ipv4, DETAILS.ipv6)]
    assert inside.out.splitlines()[4:6] == known
    assert "@cert-authority" not in inside.out
    assert "is none, and is left out" in inside.out
    renewed = await place.buys("renew", token, "1d", by=buyer)
    assert renewed["expires_at"] == await shop.expires_at(bought["token"])
    await place.buys("action", token, "reboot", by=buyer)
    await place.buys("end", token, by=buyer)
    shown = await place.buys("show", token, by=buyer)
    assert (shown["state"], int(shown["credit"]) > 0) == ("expired", True)
    claimed = await place.buys("claim", by=buyer)
    assert claimed["claimed"][0]["amount"] == shown["credit"]


async def test_who_takes_a_lease_over_publishes_his_own_key_and_gets_in(place: Street) -> None:
    shop = await shop_on(place)
    seller, heir = place.person(4), place.person(5)
    token = str((await place.buys("buy", "1", "1d", by=seller))["token"])
    await shop.deliver(int(token))
    await place.buys("transfer", token, heir.address, by=seller)
    told = await place.types(BUYER, "connect", token, by=heir)
    assert (told.code, "names no encryption key" in told.err) == (1, True)
    made = await place.buys("keys", token, by=heir)
    await tell(shop, int(token), bytes.fromhex(made["encryption_key"]))
    inside = await place.buys("connect", token, by=heir)
    assert (inside["user"], inside["ipv4"]) == (DETAILS.user, DETAILS.ipv4)
    (kept,) = place.folder.glob(f"person-5.json.x25519-{made['encryption_key'][:16]}")
    kept.unlink()
    lost = await place.types(BUYER, "connect", token, by=heir)
    assert (lost.code, "is not there: take it from" in lost.err) == (1, True)


@pytest.mark.parametrize("pay", ["permit", "approve"])
async def test_a_token_pays_exactly_the_price(place: Street, pay: str) -> None:
    buyer = place.person(4)
    account = (await place.anvil.accounts())[4]
    token = await issue_token(place.anvil, account, SUPPLY)
    shop = await shop_on(place, PlanOffer(payment_token=token.address, price_per_second=7))
    bought = await place.buys("buy", "1", "1d", "--pay", pay, by=buyer)
    assert len(bought["transactions"]) == {"permit": 1, "approve": 2}[pay]
    assert await token.call(int, "balanceOf", account) == SUPPLY - 7 * DAY
    assert await token.call(int, "allowance", account, shop.address) == 0
    renewed = await place.buys("renew", str(bought["token"]), "1d", by=buyer)
    assert len(renewed["transactions"]) == 1
    assert await token.call(int, "balanceOf", account) == SUPPLY - 14 * DAY


async def test_what_is_not_delivered_is_taken_back_whole(place: Street) -> None:
    await shop_on(place)
    buyer = place.person(4)
    bought = await place.buys("buy", "1", "1d", by=buyer)
    early = await place.types(BUYER, "refund", str(bought["token"]), "--yes", by=buyer)
    assert (early.code, "may still be delivered until" in early.err) == (1, True)
    await place.anvil.advance(2 * 3600)
    await place.buys("refund", str(bought["token"]), by=buyer)
    assert (await place.buys("claim", by=buyer))["claimed"][0]["amount"] == bought["paid"]


async def test_errors_say_what_to_do_and_nothing_is_sent_unasked(place: Street) -> None:
    await shop_on(place)
    buyer = place.person(4)
    height = (await place.anvil.block()).number
    for words, said in (
        (("buy", "1", "1d"), "nobody is there to be asked"),
        (("buy", "1", "1d", "--yes", "--most", "0.00000000000001"), "more than --most"),
        (("buy", "1", "1d", "--yes", "--most-fee", "0.0000001"), "more than --most-fee"),
        (("buy", "9", "1d", "--yes"), "there is no plan 9: `plans` lists what is sold"),
        (("show", "7"), "there is no lease 7"),
        (("plans", "--chain-id", "1"), "is on chain 31337, and chain 1 is wanted"),
        (("plans", "--contract", "0x" + "99" * 20), "there is no such contract at 0x99"),
    ):
        told = await place.types(BUYER, *words, by=buyer)
        assert told.code == 1, words
        assert said in told.err
    assert (await place.anvil.block()).number == height
    assert list(place.folder.glob("*.x25519-*")) == []


async def test_a_password_is_asked_for_unseen_and_a_no_sends_nothing(place: Street) -> None:
    await shop_on(place)
    buyer = place.person(4)
    height = (await place.anvil.block()).number
    asked = [("keystore: ", PASSWORD), ("Do it?", "n")]
    code, screen = await place.answers("buy", "1", "1d", by=buyer, keys=asked)
    assert (code, PASSWORD in screen) == (1, False)
    assert "costs   up to" in screen
    assert (await place.anvil.block()).number == height
    code, screen = await place.answers(
        "buy", "1", "1d", by=buyer, keys=[("keystore: ", "wrong one")]
    )
    assert (code, "does not open with this password" in screen) == (1, True)
    assert list(place.folder.glob("*.x25519-*")) == []


async def test_ctrl_c_ends_a_question_at_once_and_sends_nothing(place: Street) -> None:
    await shop_on(place)
    height = (await place.anvil.block()).number
    for keys in (
        [("keystore: ", "\x03")],
        [("keystore: ", PASSWORD), ("Do it?", "\x03")],
    ):
        code, _ = await place.answers("buy", "1", "1d", by=place.person(4), keys=keys)
        assert code == 1
    assert (await place.anvil.block()).number == height
    assert list(place.folder.glob("*.x25519-*")) == []


async def test_ctrl_c_while_a_block_is_waited_for_says_that_it_is_sent(place: Street) -> None:
    await shop_on(place)
    await place.anvil.rpc("evm_setAutomine", False)
    keys = [("keystore: ", PASSWORD), ("Do it?", "y"), ("sends   0x", "\x03")]
    code, screen = await place.answers("buy", "1", "1d", by=place.person(4), keys=keys)
    assert code == 1
    assert "Look whether it is before you do the same again" in screen
    assert len(list(place.folder.glob("*.x25519-*"))) == 1


async def test_neither_keys_nor_the_node_s_address_are_ever_printed(place: Street) -> None:
    await shop_on(place)
    buyer = place.person(4)
    bought = await place.types(
        BUYER, "buy", "1", "1d", "--yes", "--rpc", f"{place.anvil.url}/?key=SECRETKEY", by=buyer
    )
    (kept,) = place.folder.glob("*.x25519-*")
    private = json.loads(kept.read_text())["private"]
    away = await place.types(BUYER, "plans", "--rpc", "http://127.0.0.1:9/SECRETKEY")
    assert (bought.code, away.code) == (0, 1), bought.err
    for told in (bought, away):
        for secret in (private, buyer.key.hex(), PASSWORD, "SECRETKEY"):
            assert secret not in told.out + told.err


async def test_who_has_not_enough_is_told_how_much_is_missing(place: Street) -> None:
    await shop_on(place)
    buyer = place.person(4)
    await place.anvil.rpc("anvil_setBalance", buyer.address, hex(10**6))
    told = await place.types(BUYER, "buy", "1", "1d", "--yes", by=buyer)
    assert told.code == 1
    assert "has 0.000000000001 of the chain's coin, and 0.0000000000864 for it" in told.err


async def test_what_a_hostile_contract_answers_moves_no_cursor(place: Street) -> None:
    token = "0x" + "66" * 20
    await place.anvil.rpc("anvil_setCode", token, answering(b"\x1b[2J\r\nlease"))
    await shop_on(place, PlanOffer(payment_token=token))
    told = await place.types(BUYER, "plans")
    assert told.code == 0, told.err
    assert "\\x1b[2J\\r\\nlease" in told.out
    assert not {"\x1b", "\r"} & set(told.out)

    place.contract = token
    odd = await place.types(BUYER, "plans")
    assert (odd.code, "is the address right" in odd.err) == (1, True)


async def test_an_upgrade_costs_the_difference_and_leaves_no_approval(place: Street) -> None:
    buyer = place.person(4)
    account = (await place.anvil.accounts())[4]
    token = await issue_token(place.anvil, account, SUPPLY)
    small = PlanOffer(payment_token=token.address, price_per_second=7)
    large = PlanOffer("large", cores=2, payment_token=token.address, price_per_second=9)
    shop = await shop_on(place, small, large)
    lease = (await place.buys("buy", "1", "1d", by=buyer))["token"]
    await shop.deliver(lease)
    await place.buys("upgrade", str(lease), "2", "--most", "1", by=buyer)
    spent = SUPPLY - await token.call(int, "balanceOf", account)
    assert 8 * DAY < spent <= 9 * DAY
    assert await token.call(int, "allowance", account, shop.address) == 0
    assert (await place.buys("show", str(lease), by=buyer))["wanted_plan"] == 2


def answering(text: bytes) -> str:
    """Code that answers every call with one string (whose first word also is the number 32)."""
    answer = (
        (32).to_bytes(32) + len(text).to_bytes(32) + text.ljust(-(-len(text) // 32) * 32, b"\0")
    )
    size = len(answer).to_bytes(2)
    return "0x" + (b"\x61" + size + b"\x80\x60\x0a\x5f\x39\x5f\xf3" + answer).hex()


def _lease(place: Street) -> Deployed:
    from web3 import AsyncWeb3

    artifact = artifacts.load("Lease")
    web3 = AsyncWeb3(place.anvil.provider)
    address = AsyncWeb3.to_checksum_address(place.contract)
    contract = web3.eth.contract(address=address, abi=artifact.abi)
    return Deployed(place.anvil, address, artifact, contract)
