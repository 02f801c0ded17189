"""The fold of the logs against the contract's own state, after thousands of deals in any order.

The logs are read and folded by the daemon's own code; the state is what the contract answers. What
the daemon does not fold (money, who may renew, what was published) is taken from the receipts: the
last words on each, without adding, and the books of who paid and where it went, which everybody's
own purse shows too.
Of two bazaars each sees a thousand deals that succeed; in a soak, ten times as many.
"""

import os
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from chainwatch.chain import profiles
from chainwatch.chain.rpc import RpcError, RpcPool
from chainwatch.chain.scanner import Scanner
from chainwatch.chain.settings import SourceSettings
from chainwatch.domain.batches import Batch, Source
from chainwatch.domain.events import CredentialMoved, Logged, PlanEvent
from chainwatch.domain.lease import Lease, LeaseId, Plan, fold_all, fold_plan
from chainwatch.store.database import Database
from chainwatch.store.journal import Journal
from chainwatch.store.standings import Standing, Standings
from tests.support.anvil import CHAIN_ID, running
from tests.support.bazaar import PLANS, PURSE, SIGNED, Bazaar, opened
from tests.support.books import Books, Entry
from tests.support.last_words import LastWords, Word
from tests.support.lease_contract import NATIVE
from tests.support.ledger import Ledger
from tests.support.purses import Purses
from tests.support.stored import opened as stored

ROUNDS: Final = 20 if os.environ.get("CHAINWATCH_SOAK") else 2
DEALS: Final = 500
_AT_ONCE: Final = 200
_QUESTIONS: Final = (
    *("ownerOf", "expiresAt", "planOf", "deliveredAt", "sshKeyOf", "encryptionKeyOf"),
    *("escrowOf", "upgradeOf", "connectionOf", "isRenewable", "priceOf"),
)
_SAID: Final = ("connectionOf", "upgradeOf", "priceOf", "isRenewable")
_SEEN: Final = {
    *("Transfer", "LeaseMinted", "SubscriptionUpdate", "KeysChanged", "LeaseDelivered"),
    *("LeaseRenewed", "RenewalsAllowed", "ConnectionPublished", "PlanChanged", "ActionRequested"),
    *("UpgradeUpdate", "EscrowUpdate", "Refunded", "CreditUpdate", "Withdrawn", "PlanTerms"),
}

pytestmark = pytest.mark.timeout(60 + 120 * ROUNDS)

Answer = tuple[object, ...] | None


class Witness:
    """Reads a bazaar as the daemon does, and asks its contract as anybody may."""

    def __init__(self, bazaar: Bazaar, pool: RpcPool, db: Database) -> None:
        self.bazaar = bazaar
        self._pool = pool
        self._db = db
        self._ledger = Ledger()
        self._scanner = Scanner(_settings(bazaar), pool, profiles.get("lease"), self._ledger)

    async def read(self) -> tuple[dict[int, Lease], dict[int, Plan]]:
        """What the logs fold to."""
        stored = len(self._ledger.steps)
        await self._ledger.follow(self._scanner)
        for step in self._ledger.steps[stored:]:
            assert isinstance(step, Batch)
            await Journal(self._db).commit_batch("bazaar", step, 1)
        assert self._scanner.take_unread() == ()
        tokens: dict[int, list[Logged]] = defaultdict(list)
        plans: dict[int, Plan] = {}
        for logged in self._ledger.canonical():
            event = logged.event
            if isinstance(event, PlanEvent):
                plans[event.plan] = fold_plan(plans.get(event.plan), event)
            elif not isinstance(event, CredentialMoved):
                tokens[event.token].append(logged)
        folded = {token: fold_all(history) for token, history in tokens.items()}
        return {token: lease for token, lease in folded.items() if lease is not None}, plans

    async def asked(self, function: str, arguments: Iterable[Sequence[object]]) -> list[Answer]:
        """What the contract answers to each; None where there is no such token."""
        contract = self.bazaar.shop.deployed.contract
        calls = [
            (
                "eth_call",
                (
                    {"to": contract.address, "data": contract.encode_abi(function, args=given)},
                    "latest",
                ),
            )
            for given in arguments
        ]
        (rpc,) = self._pool.ranked()
        answers: list[object] = []
        for first in range(0, len(calls), _AT_ONCE):
            answers += await rpc.batch(calls[first : first + _AT_ONCE])
        return [self._decoded(function, answer) for answer in answers]

    async def standing(self, token: int) -> Standing:
        """How a lease stands by the daemon's own database."""
        lease = LeaseId(CHAIN_ID, self.bazaar.shop.address.lower(), token)
        standing = await Standings(self._db).of(str(lease))
        assert standing is not None
        return standing

    async def said(self) -> list[tuple[str, Mapping[str, object]]]:
        """Every event of the contract, from the receipts, in its order."""
        contract = self.bazaar.shop.deployed.contract
        by_topic = {event.topic: event for event in contract.all_events()}
        told: list[tuple[str, Mapping[str, object]]] = []
        for number in range((await self.bazaar.anvil.block()).number + 1):
            for receipt in await contract.w3.eth.get_block_receipts(number):
                for log in receipt["logs"]:
                    if log["address"] == contract.address:
                        read = by_topic[log["topics"][0].to_0x_hex()].process_log(log)
                        told.append((str(read["event"]), dict(read["args"])))
        return told

    def _decoded(self, function: str, answer: object) -> Answer:
        if isinstance(answer, RpcError):
            assert answer.data.startswith("0x7e273289"), answer  # ERC721NonexistentToken
            return None
        contract = self.bazaar.shop.deployed.contract
        types = [_type(each) for each in _outputs(contract.abi, function)]
        return tuple(contract.w3.codec.decode(types, bytes.fromhex(str(answer)[2:])))


async def test_the_fold_of_the_logs_is_what_the_contract_says(tmp_path: Path) -> None:
    async with witnessed(tmp_path, 1) as witness:
        leases: dict[int, Lease] = {}
        plans: dict[int, Plan] = {}
        for _ in range(ROUNDS):
            await witness.bazaar.deal(DEALS)
            leases, plans = await witness.read()
            state = await _state(witness, leases)
            for token, lease in leases.items():
                told = state["ownerOf"][token]
                assert lease.burnt is (told is None)
                if told is not None:
                    assert _folded(lease) == {name: state[name][token] for name in _folded(lease)}
            for number, plan in plans.items():
                (answer,) = await witness.asked("plan", [(number,)])
                assert answer is not None
                assert _of(plan) == _without_promises(answer[0])
        assert len(plans) == PLANS
        assert len(leases) > DEALS // 20
        await _much_was_signed(witness.bazaar)


async def test_money_and_what_was_said_are_where_the_logs_say_to_the_wei(
    tmp_path: Path,
) -> None:
    async with witnessed(tmp_path, 2) as witness:
        for _ in range(ROUNDS):
            await witness.bazaar.deal(DEALS)
        leases, plans = await witness.read()
        state = await _state(witness, leases)
        said = await witness.said()
        assert {name for name, _ in said} >= _SEEN, Counter(name for name, _ in said)
        escrow, aside, credit = _last_words(said)
        owed = dict.fromkeys(held := await _held(witness.bazaar), 0)
        for token, lease in leases.items():
            if lease.burnt:
                assert (escrow[token], aside.get(token, 0)) == (0, 0)
                continue
            match state["escrowOf"][token]:
                case (int(earned), int(unused), int(set_aside)):
                    assert earned + unused == escrow[token]
                    assert set_aside == aside.get(token, 0)
                case other:
                    raise AssertionError(other)
            assert lease.plan is not None
            owed[witness.bazaar.paid_in(lease.plan)] += escrow[token] + aside.get(token, 0)
        for (coin, account), amount in credit.items():
            assert await witness.asked("creditOf", [(coin, account)]) == [(amount,)]
            owed[coin] += amount
        assert owed == held
        books = Books().take_in(Entry(*each) for each in said)
        books.balanced()
        assert (set(books.leases), books.credits) == (set(leases), credit)
        assert min(sum(each.refunded for each in books.leases.values()), books.withdrawn) > 0
        await _as_it_was_said(witness, leases, plans, state, said)
        await _as_everybody_has_it(witness.bazaar, said)
        await _much_was_signed(witness.bazaar)


# --- inside ---------------------------------------------------------------------------------------


@asynccontextmanager
async def witnessed(folder: Path, seed: int) -> AsyncIterator[Witness]:
    async with running() as anvil:
        bazaar = await opened(anvil, seed)
        pool = RpcPool((anvil.url,), timeout=10)
        try:
            async with stored(folder / "bazaar.db", _settings(bazaar).source) as db:
                yield Witness(bazaar, pool, db)
        finally:
            await pool.close()


def _settings(bazaar: Bazaar) -> SourceSettings:
    return SourceSettings(
        source=Source("bazaar", CHAIN_ID, bazaar.shop.address.lower(), 0, "lease"),
        http=(bazaar.anvil.url,),
        ws=(),
        confirmations=0,
        finality="finalized",
        poll_interval=1,
        stale_after=60,
        max_range=1000,
        timeout=10,
    )


async def _state(witness: Witness, tokens: Iterable[int]) -> dict[str, dict[int, Answer]]:
    """What the contract answers about these tokens, by question."""
    asked = sorted(tokens)
    return {
        name: dict(zip(asked, await witness.asked(name, [(t,) for t in asked]), strict=True))
        for name in _QUESTIONS
    }


def _folded(lease: Lease) -> dict[str, Answer]:
    """A lease as the contract would answer for it."""
    return {
        "ownerOf": (lease.owner,),
        "expiresAt": (lease.expires_at,),
        "planOf": (lease.plan,),
        "deliveredAt": (lease.delivered_at,),
        "sshKeyOf": (lease.ssh_key,),
        "encryptionKeyOf": (bytes.fromhex(lease.encryption_key.removeprefix("0x")),),
    }


def _of(plan: Plan) -> tuple[object, ...]:
    """A plan as the contract's `plan` tells it, without its promises and its stock."""
    return (
        *(plan.name, plan.kind, plan.cores, plan.memory_mib, plan.disk_gib, plan.grace),
        *(plan.payment_token, plan.cap, plan.on_sale, plan.price_per_second),
    )


def _without_promises(plan: object) -> tuple[object, ...]:
    assert isinstance(plan, tuple)
    return plan[:6] + plan[8:10] + plan[11:]


def _last_words(
    said: Iterable[tuple[str, Mapping[str, object]]],
) -> tuple[dict[object, int], dict[object, int], dict[tuple[str, str], int]]:
    """The last that was said of each lease's escrow and upgrade, and of each credit."""
    escrow: dict[object, int] = {}
    aside: dict[object, int] = {}
    credit: dict[tuple[str, str], int] = {}
    for name, values in said:
        match name, values:
            case "EscrowUpdate", {"tokenId": token, "escrow": int(amount)}:
                escrow[token] = amount
            case "UpgradeUpdate", {"tokenId": token, "aside": int(amount)}:
                aside[token] = amount
            case "CreditUpdate", {"token": str(coin), "account": str(who), "credit": int(amount)}:
                credit[coin, who] = amount
    return escrow, aside, credit


async def _as_it_was_said(
    witness: Witness,
    leases: Mapping[int, Lease],
    plans: Mapping[int, Plan],
    state: Mapping[str, Mapping[int, Answer]],
    said: Iterable[tuple[str, Mapping[str, object]]],
) -> None:
    """Hold connections, upgrades, prices, refusals to renew and plans against what was said."""
    words = LastWords().take_in(said)
    now = (await witness.bazaar.anvil.block()).timestamp
    live: Counter[int] = Counter()
    for token, lease in leases.items():
        if lease.burnt:
            continue
        word = words.leases[token]
        plan, deadline, aside = word.upgrade
        wanted = (plan, deadline, word.wanted_price if plan else 0, aside)
        grace = plans[word.plan].grace if lease.delivered_at else 0
        assert lease.plan == word.plan
        assert {name: state[name][token] for name in _SAID} == {
            "connectionOf": (word.connection,),
            "upgradeOf": (wanted,),
            "priceOf": (words.price_of(token, now),),
            "isRenewable": (word.renewals and now < lease.expires_at + grace,),
        }, (lease, word)
        await _as_the_daemon_stored_it(witness, lease, word)
        live.update(each for each in (word.plan, plan) if each)
    for number in plans:
        (answer,) = await witness.asked("plan", [(number,)])
        assert answer is not None
        assert isinstance(answer[0], tuple)
        assert (*answer[0][6:8], answer[0][10]) == (*words.promises[number], live[number])


async def _as_the_daemon_stored_it(witness: Witness, lease: Lease, word: Word) -> None:
    """Hold what the daemon decides by, as it comes out of its database, against the same."""
    standing = await witness.standing(lease.token)
    plan, deadline, _ = word.upgrade
    upgrade, published = standing.dealings.upgrade, standing.dealings.published
    assert standing.lease == lease
    assert (upgrade and (upgrade.plan, upgrade.deadline)) == ((plan, deadline) if plan else None)
    said = None if published is None else bytes.fromhex(published.removeprefix("0x"))
    assert said == word.published


async def _as_everybody_has_it(
    bazaar: Bazaar, said: Iterable[tuple[str, Mapping[str, object]]]
) -> None:
    """Hold what everybody has of the tokens against who, as was said, paid and was paid."""
    purses = Purses(bazaar.paid_in).take_in(said)
    begun = {**dict.fromkeys(bazaar.signers.people, PURSE), bazaar.shop.treasurer: 0}
    for coin in bazaar.coins:
        for who, had in begun.items():
            has = await coin.call(int, "balanceOf", who)
            assert has - had == purses.gained[coin.address, who], (coin.address, who)


async def _much_was_signed(bazaar: Bazaar) -> None:
    """Hold that all three ways to pay by signature were gone, and permits were used for it."""
    done = [bazaar.done[way] for way in SIGNED]
    assert min(done) > DEALS // 20, bazaar.done
    assert await bazaar.signers.look() > DEALS // 20


async def _held(bazaar: Bazaar) -> dict[str, int]:
    native = int(str(await bazaar.anvil.rpc("eth_getBalance", bazaar.shop.address, "latest")), 16)
    coins = {
        coin.address: await coin.call(int, "balanceOf", bazaar.shop.address)
        for coin in bazaar.coins
    }
    return {NATIVE: native, **coins}


def _outputs(abi: Iterable[Mapping[str, object]], function: str) -> list[Mapping[str, object]]:
    (entry,) = (e for e in abi if e["type"] == "function" and e["name"] == function)
    outputs = entry["outputs"]
    assert isinstance(outputs, list)
    return outputs


def _type(entry: Mapping[str, object]) -> str:
    match entry:
        case {"type": "tuple", "components": list(parts)}:
            return f"({','.join(map(_type, parts))})"
        case {"type": str(simple)}:
            return simple
    raise AssertionError(entry)
