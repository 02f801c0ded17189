"""Which lease a credential is of: by the order of the chain alone, however it is stored."""

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from eth_abi.abi import encode

from chainwatch.chain.profiles.blockhost import lease_in, mint_call
from chainwatch.chain.sender.credential_calls import CREDENTIAL_LOOKS
from chainwatch.chain.sender.looks import Answer, Refusal, Word
from chainwatch.domain.batches import Rewind
from chainwatch.domain.credentials import Links, folded
from chainwatch.domain.events import (
    END_OF_BLOCK,
    ZERO_ADDRESS,
    Block,
    CredentialLinked,
    CredentialMoved,
    Event,
    ExpiryUpdated,
    Logged,
    Subscribed,
    Transferred,
)
from chainwatch.domain.lease import Lease, LeaseId, fold_all
from chainwatch.domain.sendings import Call, Intent, Kind, Sending, State
from chainwatch.store.database import Database
from chainwatch.store.journal import Journal
from chainwatch.store.leases import Leases
from chainwatch.store.standings import Standings
from chainwatch.store.verify import verify
from tests.support.stored import ALICE, BOB, SOURCE, batch, block, lease_id, logged, opened, tx_of

SUBSCRIPTIONS = replace(SOURCE, profile="blockhost", credential="0x" + "cd" * 20)
MAIN = SOURCE.name
CONTRACT = "0x" + "ab" * 20
BOUGHT = Subscribed(7, ALICE, 1, 2_000_000_000)
LINKED = CredentialLinked(7, 3, ALICE)
MINTED = CredentialMoved(3, ZERO_ADDRESS, ALICE)
SOLD = CredentialMoved(3, ALICE, BOB)


def said(*events: Event) -> list[Logged]:
    return [
        each
        for number, event in enumerate(events, start=1)
        for each in _in_block(block(number), event)
    ]


def _in_block(where: Block, *events: Event) -> tuple[Logged, ...]:
    """Events of a block in their order; links come behind all logs."""
    told = [
        replace_place(each, END_OF_BLOCK) if isinstance(each.event, CredentialLinked) else each
        for each in logged(where, *events)
    ]
    return tuple(sorted(told, key=lambda each: each.log_index))


def replace_place(each: Logged, by: int) -> Logged:
    place = (each.block, each.block_hash, each.log_index + by, each.tx_hash)
    return Logged(each.event, *place)


def owner_after(*events: Event) -> str | None:
    told = said(*events)
    lease = fold_all(folded(told, Links().about(told)))
    return lease.owner if lease else None


def test_until_it_has_a_credential_a_lease_is_its_subscribers() -> None:
    assert owner_after(BOUGHT) == ALICE
    assert owner_after(BOUGHT, MINTED, LINKED) == ALICE


def test_a_lease_goes_where_its_credential_goes() -> None:
    assert owner_after(BOUGHT, MINTED, LINKED, SOLD) == BOB


def test_a_burnt_credential_leaves_nobody() -> None:
    told = said(BOUGHT, LINKED, CredentialMoved(3, ALICE, ZERO_ADDRESS))
    lease = fold_all(folded(told, Links().about(told)))
    assert lease is not None
    assert lease.burnt


@pytest.mark.parametrize(
    "claim",
    [
        CredentialLinked(7, 3, BOB),
        CredentialLinked(8, 3, ALICE),
    ],
)
def test_a_credential_of_somebody_else_or_of_another_lease_takes_nothing(claim: Event) -> None:
    assert owner_after(BOUGHT, MINTED, claim, SOLD) == ALICE


def test_the_first_credential_counts_and_no_other() -> None:
    second = CredentialLinked(7, 4, ALICE)
    assert owner_after(BOUGHT, LINKED, second, CredentialMoved(4, ALICE, BOB)) == ALICE
    assert owner_after(BOUGHT, LINKED, second, SOLD) == BOB


def test_a_credential_that_is_one_leases_becomes_no_other_leases() -> None:
    other = Subscribed(8, ALICE, 1, 2_000_000_000)
    told = said(BOUGHT, other, LINKED, CredentialLinked(8, 3, ALICE), SOLD)
    assert Links().about(told) == [7, 8, 7, None, 7]


def test_a_link_that_comes_before_its_subscription_counts_for_nothing() -> None:
    assert owner_after(LINKED, BOUGHT, SOLD) == ALICE


def test_a_credential_that_is_sold_in_the_block_of_its_mint_takes_the_lease_along() -> None:
    told = [*_in_block(block(1), BOUGHT), *_in_block(block(2), MINTED, SOLD, LINKED)]
    lease = fold_all(folded(told, Links().about(told)))
    assert lease is not None
    assert lease.owner == BOB


# ------------------------------------------------------------------------------------- the words


def carried(data: bytes) -> bytes:
    return encode(["bytes"], [data])


def test_what_we_mint_with_names_the_lease() -> None:
    call = bytes.fromhex(mint_call(LeaseId(5, CONTRACT, 2**256 - 1), ALICE)[2:])
    words = b"chainwatch eip155:5/erc721:" + CONTRACT.encode() + b"/" + str(2**256 - 1).encode()
    assert words in call
    assert lease_in(carried(words), 5, CONTRACT) == 2**256 - 1


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff" * 40,
        f"chainwatch eip155:6/erc721:{CONTRACT}/7".encode(),
        f"chainwatch eip155:5/erc721:0x{'12' * 20}/7".encode(),
        f"chainwatch eip155:5/erc721:{CONTRACT}/7\n".encode(),
        f" chainwatch eip155:5/erc721:{CONTRACT}/7".encode(),
        f"chainwatch eip155:5/erc721:{CONTRACT}/-7".encode(),
        f"chainwatch eip155:5/erc721:{CONTRACT}/{2**256}".encode(),
    ],
)
def test_other_words_name_none(data: bytes) -> None:
    assert lease_in(carried(data), 5, CONTRACT) is None


@pytest.mark.parametrize("answer", [b"", b"\xff" * 31, b"\xff" * 64])
def test_an_answer_that_is_no_bytes_names_none(answer: bytes) -> None:
    assert lease_in(answer, 5, CONTRACT) is None


# ------------------------------------------------------------------------------------- the look


SILENT = Refusal("0x")


def owned(by: str) -> bytes:
    return int(by, 16).to_bytes(32)


def _look(*answers: Answer, sold: Answer = SILENT) -> Word:
    call = Call(BOB, mint_call(LeaseId(5, CONTRACT, 7), ALICE))
    intent = Intent(MAIN, Kind.MINT, f"eip155:5/erc721:{CONTRACT}/7", "abc from 9", call)
    look = CREDENTIAL_LOOKS[Kind.MINT](Sending(1, intent, 5, State.WANTED, 0))
    assert [data[-1:] for _, data in look.calls[1:5]] == ["9", "9", "a", "a"]
    missing = [SILENT] * (len(look.calls) - 1 - len(answers))
    return look.judge([sold, *answers, *missing]).word


OURS = carried(f"chainwatch eip155:5/erc721:{CONTRACT}/7".encode())


def test_a_mint_is_wanted_while_no_later_credential_names_the_lease() -> None:
    other = carried(f"chainwatch eip155:5/erc721:{CONTRACT}/8".encode())
    assert _look() is Word.WANTED
    assert _look(other, owned(ALICE), b"", owned(ALICE)) is Word.WANTED


def test_a_mint_is_done_when_any_of_them_names_it() -> None:
    assert _look(carried(b""), owned(ALICE), SILENT, SILENT, OURS, owned(ALICE)) is Word.DONE


def test_somebody_else_who_writes_the_same_words_keeps_no_mint_off() -> None:
    assert _look(OURS, owned(BOB), OURS, SILENT) is Word.WANTED


def test_of_a_cancelled_subscription_no_mint_is_wanted_and_nonsense_keeps_none_off() -> None:
    words = ["uint256", "address", "uint256", "bool", "bool"]
    assert _look(sold=encode(words, [1, ALICE, 9, False, True])) is Word.MOOT
    assert _look(sold=encode(words, [1, ALICE, 9, True, False])) is Word.WANTED
    assert _look(sold=b"nonsense") is Word.WANTED


# ------------------------------------------------------------------------------------ the journal


async def leases(db: Database) -> dict[int, Lease]:
    rows = await Leases(db).all()
    return {row.id.token: row.lease for row in rows if row.lease is not None}


async def test_a_link_that_a_reorg_takes_back_gives_the_lease_back(tmp_path: Path) -> None:
    async with opened(tmp_path / "db", SUBSCRIPTIONS) as db:
        journal = Journal(db)
        blocks = [block(number) for number in range(5)]
        history = said(BOUGHT, MINTED, LINKED, SOLD)
        await journal.commit_batch(MAIN, batch(None, blocks, history, blocks[1]), 1)
        assert (await leases(db))[7].owner == BOB
        assert await journal.credentials(MAIN, [7], blocks[4]) == {7: 3}
        assert await journal.credentials(MAIN, [7], blocks[2]) == {}
        await journal.commit_rewind(MAIN, Rewind(blocks[2], 4), 2)
        assert (await leases(db))[7].owner == ALICE
        assert await journal.credentials(MAIN, [7], blocks[4]) == {}
        other = [block(number, "b") for number in (3, 4)]
        parted = [replace_parent(other[0], blocks[2]), other[1]]
        moved = _in_block(parted[1], SOLD)
        await journal.commit_batch(MAIN, batch(blocks[2], parted, moved), 3)
        assert (await leases(db))[7].owner == ALICE
        assert await verify(db) == []


def replace_parent(child: Block, parent: Block) -> Block:
    return replace(child, parent=parent.hash)


async def test_a_lease_that_is_subscribed_again_after_a_reorg_is_another_machine(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path / "db", SUBSCRIPTIONS) as db:
        journal = Journal(db)
        blocks = [block(number) for number in range(3)]
        await journal.commit_batch(MAIN, batch(None, blocks, said(BOUGHT), blocks[0]), 1)
        first = (await leases(db))[7].nonce
        await journal.commit_rewind(MAIN, Rewind(blocks[0], 2), 2)
        again = replace_parent(block(1, "b"), blocks[0])
        told = Logged(BOUGHT, 1, again.hash, 0, tx_of(again, 9))
        await journal.commit_batch(MAIN, batch(blocks[0], [again], [told]), 3)
        second = (await leases(db))[7].nonce
        assert second != first
        standing = await Standings(db).of(lease_id(7))
        assert standing is not None
        assert standing.former == {first}


@pytest.mark.parametrize("seed", range(12))
async def test_however_it_is_cut_what_is_stored_is_the_fold_of_the_chain(
    tmp_path: Path, seed: int
) -> None:
    random = Random(seed)
    async with opened(tmp_path / "db", SUBSCRIPTIONS) as db:
        journal = Journal(db)
        chain: list[tuple[Block, tuple[Logged, ...]]] = [(block(0), ())]
        await journal.commit_batch(MAIN, batch(None, [block(0)], (), block(0)), 1)
        for step in range(12):
            if len(chain) > 3 and random.random() < 0.3:
                chain = chain[: -random.randint(1, 2)]
                await journal.commit_rewind(MAIN, Rewind(chain[-1][0], 99), 2)
            cursor = chain[-1][0]
            grown = _grown(random, cursor, f"f{step}")
            events = [event for _, part in grown for event in part]
            made = batch(cursor, [each for each, _ in grown], events)
            await journal.commit_batch(MAIN, made, 3)
            chain += grown
            told = [event for _, part in chain for event in part]
            assert await leases(db) == _folded(told)
        assert await verify(db) == []


def _grown(random: Random, cursor: Block, fork: str) -> list[tuple[Block, tuple[Logged, ...]]]:
    grown = []
    for number in range(cursor.number + 1, cursor.number + 1 + random.randint(1, 3)):
        made = replace_parent(block(number, fork), cursor)
        events = [_some_event(random) for _ in range(random.randint(0, 4))]
        grown.append((made, _in_block(made, *events)))
        cursor = made
    return grown


def _some_event(random: Random) -> Event:
    token, credential = random.randint(1, 2), random.randint(1, 3)
    one, other = random.sample((ALICE, BOB), 2)
    return random.choice(
        (
            Subscribed(token, one, 1, random.randint(1, 9)),
            CredentialLinked(token, credential, one),
            CredentialMoved(credential, ZERO_ADDRESS, one),
            CredentialMoved(credential, one, other),
            ExpiryUpdated(token, random.randint(0, 9)),
        )
    )


def _folded(told: list[Logged]) -> dict[int, Lease]:
    found: dict[int, list[Logged]] = {}
    for logged_ in folded(told, Links().about(told)):
        if isinstance(logged_.event, Subscribed | CredentialLinked | Transferred | ExpiryUpdated):
            found.setdefault(logged_.event.token, []).append(logged_)
    states = {token: fold_all(history) for token, history in found.items()}
    return {token: lease for token, lease in states.items() if lease is not None}
