"""Hosting subscriptions and their credentials, whatever anybody does with them, read as leases.

The judges are the two contracts: what the events fold to is what they answer in the end, and what
was read is what the receipts say.
"""

import random
from collections.abc import Sequence

import pytest

from chainwatch.chain import profiles
from chainwatch.chain.rpc import RpcPool
from chainwatch.chain.scanner import Scanner
from chainwatch.demo.deployed import Reverted
from chainwatch.domain.credentials import Links, folded
from chainwatch.domain.events import Logged, PlanDefined, PlanTerms
from chainwatch.domain.lease import Lease, fold_all
from tests.support.anvil import Anvil, running
from tests.support.hosting import Hosting, hosting_truth, open_hosting
from tests.support.hotel import source_of
from tests.support.ledger import Ledger


class Crowd:
    """People who do anything, in their own transactions."""

    def __init__(self, hosting: Hosting, people: Sequence[str], seed: int) -> None:
        self.hosting, self.people, self.random = hosting, people, random.Random(seed)
        self.subscribers: list[str] = []
        self.owners: dict[int, str] = {}
        self.minted = 0

    async def acts(self, times: int) -> None:
        does = (self._subscribe, self._mint, self._sell, self._end, self._write, self._burn)
        for _ in range(times):
            (what,) = self.random.choices(does, (3, 4, 4, 2, 1, 1))
            try:
                await what()
            except Reverted:
                continue

    async def _subscribe(self) -> None:
        who = self.random.choice(self.people)
        await self.hosting.subscribe(who, seconds=self.random.randint(1, 10**9))
        self.subscribers.append(who)

    async def _mint(self) -> None:
        if not self.subscribers:
            return
        token = self.random.randrange(len(self.subscribers)) + 1
        to = self.subscribers[token - 1]
        if self.random.random() < 0.2:
            to = self.random.choice(self.people)
        number = await self.hosting.mint(to, self.hosting.words(token))
        self.owners[number] = to

    async def _sell(self) -> None:
        if not self.owners:
            return
        number, to = self.random.choice(sorted(self.owners)), self.random.choice(self.people)
        owner, self.owners[number] = self.owners[number], to
        await self.hosting.credentials.send("transferFrom", owner, to, number, sender=owner)

    async def _end(self) -> None:
        token = self.random.randrange(len(self.subscribers) + 1) + 1
        if self.random.random() < 0.3:
            await self.hosting.cancel(token)
        else:
            await self.hosting.extend(token, self.random.randint(1, 10**6))

    async def _write(self) -> None:
        if self.owners:
            number = self.random.choice(sorted(self.owners))
            words = self.hosting.words(self.random.randint(1, 9))
            who = self.owners[number]
            await self.hosting.credentials.send("updateUserEncrypted", number, words, sender=who)

    async def _burn(self) -> None:
        if self.owners:
            number = self.random.choice(sorted(self.owners))
            who = self.owners.pop(number)
            await self.hosting.credentials.send("burn", number, sender=who)


async def read(anvil: Anvil, hosting: Hosting) -> Ledger:
    settings, ledger = source_of(hosting, anvil.url), Ledger()
    pool = RpcPool(settings.http, timeout=5)
    try:
        scanner = Scanner(settings, pool, profiles.of(settings), ledger)
        await scanner.check()
        await ledger.follow(scanner)
        assert scanner.take_unread() == ()
    finally:
        await pool.close()
    return ledger


def leases(told: Sequence[Logged], links: Links) -> dict[int, Lease]:
    found: dict[int, list[Logged]] = {}
    for logged in folded(told, links.about(told)):
        event = logged.event
        assert not isinstance(event, PlanDefined | PlanTerms)
        token = getattr(event, "token", None)
        assert isinstance(token, int)
        found.setdefault(token, []).append(logged)
    states = {token: fold_all(history) for token, history in found.items()}
    return {token: lease for token, lease in states.items() if lease is not None}


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_is_done_the_leases_are_what_the_two_contracts_answer(seed: int) -> None:
    async with running() as anvil:
        hosting = await open_hosting(anvil)
        people = (await anvil.accounts())[1:4]
        crowd = Crowd(hosting, people, seed)
        await crowd.acts(60)
        await anvil.mine(4)
        ledger = await read(anvil, hosting)
        cursor = ledger.state.cursor
        assert cursor is not None
        told = ledger.canonical()
        assert told == await hosting_truth(hosting, cursor.number)
        links = Links()
        folded_to = leases(told, links)
        assert len(folded_to) == len(crowd.subscribers)
        credentials = {token: number for number, token in links.leases.items()}
        for token, lease in folded_to.items():
            assert lease.expires_at == await hosting.expiry(token)
            number = credentials.get(token)
            if number is None:
                assert lease.owner == crowd.subscribers[token - 1].lower()
            elif number in crowd.owners:
                assert lease.owner == crowd.owners[number].lower()
            else:
                assert lease.burnt
