"""What every profile has to hold, whatever kind of contract it reads.

First on logs alone, then on a chain of its own with a real contract, where the receipts as web3
reads them are the judge.
"""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from web3 import Web3

from chainwatch.artifacts import Artifact, load
from chainwatch.chain import profiles
from chainwatch.chain.decode import LAST_SECOND, Profile
from chainwatch.chain.wire import RawLog
from chainwatch.domain.events import (
    CredentialMoved,
    Event,
    ExpiryUpdated,
    Transferred,
)
from chainwatch.errors import Fatal
from tests.support.anvil import Anvil, running
from tests.support.chain_model import RawEvent
from tests.support.compiled import fixture
from tests.support.hosting import both
from tests.support.oracle import truth
from tests.support.shops import SHOPS, Shop, reading
from tests.support.subscription import open_subscriptions
from tests.support.telling import ADDRESSES, TOKENS, cut_short, log_of, only, raw_log
from tests.support.unlock import published

CONTRACTS: dict[str, Callable[[], Artifact]] = {
    "lease": lambda: load("Lease"),
    "erc5643": lambda: fixture("Subscription"),
    "unlock": lambda: published("PublicLock/PublicLockV15"),
    "blockhost": both,
}
"""A compiled contract of the kind that each profile reads."""

NAMES = sorted(profiles.PROFILES)
SUBSCRIPTIONS = ("erc5643", "lease")
"""Those that read the events of ERC-5643."""

EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.builds(Transferred, TOKENS, ADDRESSES, ADDRESSES),
    st.builds(ExpiryUpdated, TOKENS, st.integers(0, LAST_SECOND)),
)


@pytest.fixture(params=NAMES)
def profile(request: pytest.FixtureRequest) -> Profile:
    return profiles.get(str(request.param))


def _abi(profile: Profile, kind: str) -> Sequence[dict[str, object]]:
    return [entry for entry in CONTRACTS[profile.name]().abi if entry["type"] == kind]


def _topic(entry: dict[str, object]) -> bytes:
    inputs = entry["inputs"]
    assert isinstance(inputs, list)
    types = ",".join(str(argument["type"]) for argument in inputs)
    return _hash(f"{entry['name']}({types})")


def _read(name: str, event: Event) -> Event:
    """What the profile makes of a log that says it: a transfer may be of a credential."""
    if name == "blockhost" and isinstance(event, Transferred):
        return CredentialMoved(event.token, event.sender, event.recipient)
    return event


def _log(name: str, event: Event) -> RawLog:
    """The log by which a contract of the profile's kind says it."""
    if name == "blockhost" and isinstance(event, ExpiryUpdated):
        signature = "SubscriptionExtended(uint256,uint256,address,uint256,uint256,address)"
        indexed = (event.token, 1, 2)
        topics = ("0x" + _hash(signature).hex(), *(f"0x{each:064x}" for each in indexed))
        return log_of(RawEvent(topics, f"0x{event.expires_at:064x}{7:064x}{0:064x}"))
    if name == "unlock" and isinstance(event, ExpiryUpdated):
        topic = "0x" + _hash("KeyExtended(uint256,uint256)").hex()
        data = f"0x{event.expires_at:064x}"
        return log_of(RawEvent((topic, f"0x{event.token:064x}"), data))
    return log_of(event)


def _hash(signature: str) -> bytes:
    return bytes(Web3.keccak(text=signature))


# ------------------------------------------------------------------------------------- logs alone


def test_every_event_that_the_profile_knows_is_one_of_the_contract(profile: Profile) -> None:
    in_abi = {_topic(entry) for entry in _abi(profile, "event")}
    assert set(profile.decoders) | profile.ignored <= in_abi
    assert not set(profile.decoders) & profile.ignored


def test_every_event_of_our_own_contract_is_decoded_or_named_as_meaningless() -> None:
    profile = profiles.get("lease")
    in_abi = {_topic(entry) for entry in _abi(profile, "event")}
    assert in_abi == set(profile.decoders) | profile.ignored


def test_the_questions_at_latest_are_functions_of_the_contract(profile: Profile) -> None:
    selectors = {_topic(entry)[:4].hex() for entry in _abi(profile, "function")}
    assert profile.owner_call(5)[2:10] in selectors
    assert profile.expiry_call(5)[2:10] in selectors
    assert profile.owner_call(2**256 - 1).endswith("f" * 64)


def test_only_the_contracts_own_words_about_this_token_say_that_there_is_none(
    profile: Profile,
) -> None:
    error = _hash("ERC721NonexistentToken(uint256)")[:4].hex()
    in_words = profile.says_no_such_token(f"0x{error}{5:064x}", 5)
    assert in_words is (profile.credentials or not profile.zero_is_nobody)
    for data in ("", "0x", f"0x{error}", f"0x{error}{6:064x}", f"0x08c379a0{5:064x}"):
        assert not profile.says_no_such_token(data, 5)


def _require(text: str) -> str:
    words = (32).to_bytes(32) + len(text).to_bytes(32)
    return "0x08c379a0" + (words + text.encode().ljust((len(text) + 31) // 32 * 32, b"\0")).hex()


@pytest.mark.parametrize(
    "data",
    [
        _require("ERC721: invalid token ID"),
        _require("ERC721: owner query for nonexistent token"),
        _require("NOT_MINTED"),
        "0xdf2d9b42",
        "0xceea21b6",
    ],
)
def test_older_libraries_say_in_words_that_there_is_no_such_token(data: str) -> None:
    assert profiles.get("erc5643").says_no_such_token(data, 5)
    assert not profiles.get("erc5643").says_no_such_token(data + "00", 5)
    assert not profiles.get("lease").says_no_such_token(data, 5)


@pytest.mark.parametrize("name", NAMES)
@given(event=EVENTS)
def test_what_the_contract_encodes_is_read_back(name: str, event: Event) -> None:
    assert only(profiles.get(name), _log(name, event)) == (_read(name, event), None)


@pytest.mark.parametrize("name", NAMES)
@given(
    topics=st.lists(st.binary(max_size=40), max_size=3),
    data=st.binary(max_size=300),
    which=st.integers(0),
)
def test_any_bytes_under_a_known_topic_are_an_event_or_reported(
    name: str, topics: list[bytes], data: bytes, which: int
) -> None:
    profile = profiles.get(name)
    known = sorted(profile.decoders)
    event, reason = only(profile, raw_log((known[which % len(known)], *topics), data))
    assert event is not None or reason is not None


@pytest.mark.parametrize("name", NAMES)
@given(event=EVENTS, cut=st.integers(1, 31))
def test_data_that_is_cut_short_is_never_an_event(name: str, event: Event, cut: int) -> None:
    found, reason = only(profiles.get(name), cut_short(_log(name, event), cut))
    assert found is None
    assert reason is not None


@pytest.mark.parametrize("name", NAMES)
@given(until=st.integers(LAST_SECOND, 2**64 - 1))
def test_times_beyond_all_clocks_are_kept_where_sums_still_fit(name: str, until: int) -> None:
    found = only(profiles.get(name), _log(name, ExpiryUpdated(1, until)))
    assert found == (ExpiryUpdated(1, LAST_SECOND), None)


@pytest.mark.parametrize("name", SUBSCRIPTIONS)
def test_an_expiry_that_its_type_cannot_hold_is_reported(name: str) -> None:
    profile = profiles.get(name)
    topic = "0x" + _hash("SubscriptionUpdate(uint256,uint64)").hex()
    event, reason = only(profile, log_of(RawEvent((topic, f"0x{1:064x}"), f"0x{2**64:064x}")))
    assert event is None
    assert reason is not None
    assert "holds" in reason


def test_an_event_of_the_same_name_with_another_type_is_reported(profile: Profile) -> None:
    topic = _hash("SubscriptionUpdate(uint256,uint256)")
    event, reason = only(profile, raw_log((topic, bytes(32)), bytes(32)))
    assert (event, reason) == (None, f"its topic is none of profile {profile.name}")


def test_an_event_that_is_named_as_known_is_not_reported(profile: Profile) -> None:
    log = raw_log((_hash("Weather(uint256)"),), bytes(32))
    assert only(profile.ignoring(frozenset({log.topics[0]})), log) == (None, None)
    assert only(profile, log)[1] is not None


def test_a_profile_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(Fatal, match=r"no profile 'leese': write one of blockhost, erc5643, lease"):
        profiles.get("leese")


# ------------------------------------------------------------------------------- on a chain


async def _in_order(anvil: Anvil, shop: Shop) -> tuple[int, int, int]:
    """A life of three tokens: one renewed, one handed over, one burnt."""
    _, alice, bob, *_ = await anvil.accounts()
    renewed, sold, burnt = [await shop.sell(alice) for _ in range(3)]
    await shop.renew(renewed)
    await shop.transfer(sold, alice, bob)
    await anvil.mine(9)
    await shop.burn(burnt, alice)
    return renewed, sold, burnt


@pytest.mark.parametrize("name", NAMES)
async def test_a_life_is_read_as_the_receipts_tell_it(name: str) -> None:
    async with running() as anvil:
        shop = await SHOPS[name](anvil)
        await _in_order(anvil, shop)
        head = (await anvil.block()).number
        async with shop.read(anvil, name) as reader:
            await reader.scanner.check()
            await reader.ledger.follow(reader.scanner)
            told = await (shop.truth(head) if shop.truth else truth(shop.watched, head))
            assert len(told) > 8
            assert reader.ledger.canonical() == told
            assert reader.scanner.take_unread() == ()


@pytest.mark.parametrize("name", NAMES)
async def test_the_fold_of_what_was_read_is_what_the_contract_answers(name: str) -> None:
    async with running() as anvil:
        shop = await SHOPS[name](anvil)
        renewed, sold, burnt = await _in_order(anvil, shop)
        async with shop.read(anvil, name) as reader:
            await reader.ledger.follow(reader.scanner)
            leases, cursor = reader.leases(), reader.ledger.state.cursor
            assert cursor is not None
            for token in (renewed, sold):
                owner, until = await shop.asked(token)
                assert (leases[token].owner, leases[token].expires_at) == (owner.lower(), until)
                latest = await reader.latest.lease_at_latest(token, cursor)
                assert (latest.owner, latest.expires_at) == (owner.lower(), until)
            assert leases[burnt].burnt
            for token in (burnt, 999):
                assert (await reader.latest.lease_at_latest(token, cursor)).owner is None


@pytest.mark.parametrize("name", SUBSCRIPTIONS)
async def test_what_no_profile_can_read_is_reported_and_nothing_follows_from_it(name: str) -> None:
    async with running() as anvil:
        shop = await open_subscriptions(anvil)
        await shop.mint(shop.sender, 1, 2_000_000_000)
        said = [
            await shop.chatter(1),
            await shop.misspell(1, 2**64 + 5),
            await shop.mumble(1, 2_100_000_000),
        ]
        await anvil.mine(2)
        async with reading(anvil, shop.address, name) as reader:
            await reader.ledger.follow(reader.scanner)
            unread = reader.scanner.take_unread()
            assert reader.leases()[1].expires_at == 2_000_000_000
        none = f"its topic is none of profile {name}"
        told = [(each.last.tx_hash, each.last.reason) for each in unread]
        assert told[:2] == [(said[0], none), (said[1], none)]
        assert told[2][0] == said[2]
        assert told[2][1].startswith("expected 2 topics and 32 bytes of data, got 1 and 64")


async def test_an_event_that_the_operator_names_as_known_is_silent_and_no_other_is() -> None:
    async with running() as anvil:
        shop = await open_subscriptions(anvil)
        await shop.chatter(1)
        misspelt = await shop.misspell(1, 5)
        await anvil.mine(2)
        known = "Chatter(uint256)"
        async with reading(anvil, shop.address, "erc5643", known) as reader:
            await reader.ledger.follow(reader.scanner)
            assert [each.last.tx_hash for each in reader.scanner.take_unread()] == [misspelt]
