"""How events become a lease and a plan, and where a lease stands."""

from typing import Final

import pytest

from chainwatch.domain.events import (
    ZERO_ADDRESS,
    Event,
    ExpiryUpdated,
    KeysChanged,
    LeaseMinted,
    Logged,
    PlanDefined,
    PlanTerms,
    Transferred,
)
from chainwatch.domain.lease import (
    Lease,
    LeaseId,
    Phase,
    Plan,
    fold_all,
    fold_plan,
    nonce_of,
    phase,
)

ALICE: Final = "0x" + "a1" * 20
BOB: Final = "0x" + "b0" * 20
TX: Final = "0x" + "11" * 32
OTHER_TX: Final = "0x" + "22" * 32
MINT: Final = Transferred(7, ZERO_ADDRESS, ALICE)
DEFINED: Final = PlanDefined(1, "small", 0, 2, 2048, 20, 86_400)


def logged(*events: Event) -> list[Logged]:
    return [Logged(event, 2, "0xc", index, TX) for index, event in enumerate(events)]


def told(*events: Event) -> Lease | None:
    return fold_all(logged(*events))


def lease(*events: Event) -> Lease:
    found = told(MINT, *events)
    assert found is not None
    return found


def test_a_mint_makes_a_lease_with_a_nonce_of_its_transaction() -> None:
    assert lease() == Lease(7, ALICE, nonce_of(TX, 7))


def test_a_purchase_tells_plan_and_expiry() -> None:
    bought = lease(LeaseMinted(7, 1, BOB, 60, 60), ExpiryUpdated(7, 99))
    assert (bought.plan, bought.expires_at, bought.owner) == (1, 99, ALICE)


def test_an_expiry_is_what_was_said_last_and_never_a_sum() -> None:
    assert lease(ExpiryUpdated(7, 99), ExpiryUpdated(7, 50)).expires_at == 50


def test_a_transfer_takes_the_keys_away_and_counts() -> None:
    sold = lease(KeysChanged(7, "ssh a", "0x01"), Transferred(7, ALICE, BOB))
    assert (sold.owner, sold.generation, sold.ssh_key, sold.encryption_key) == (BOB, 1, "", "")


def test_a_token_that_comes_back_to_its_owner_is_another_generation() -> None:
    assert lease(Transferred(7, ALICE, BOB), Transferred(7, BOB, ALICE)).generation == 2


def test_a_burnt_token_has_no_owner() -> None:
    burnt = lease(ExpiryUpdated(7, 99), Transferred(7, ALICE, ZERO_ADDRESS))
    assert burnt.burnt
    assert phase(burnt, 5) is Phase.BURNT


def test_a_token_minted_again_is_another_lease() -> None:
    again = lease(ExpiryUpdated(7, 99), Transferred(7, ALICE, ZERO_ADDRESS), MINT)
    assert (again.expires_at, again.burnt, again.plan) == (0, False, None)


@pytest.mark.parametrize(
    "event",
    [
        Transferred(7, ALICE, BOB),
        LeaseMinted(7, 1, ALICE, 1, 1),
        ExpiryUpdated(7, 9),
        KeysChanged(7, "", ""),
    ],
)
def test_what_precedes_the_mint_changes_nothing(event: Event) -> None:
    assert told(event) is None
    assert fold_all([Logged(event, 1, "0xb", 0, OTHER_TX), *logged(MINT)]) == told(MINT)


def test_an_expiry_that_the_mints_transaction_said_before_it_is_kept() -> None:
    assert told(ExpiryUpdated(7, 99), MINT) == told(MINT, ExpiryUpdated(7, 99))
    assert told(ExpiryUpdated(7, 99), MINT, ExpiryUpdated(7, 50)) == lease(ExpiryUpdated(7, 50))


def test_an_expiry_of_a_token_before_its_burn_is_not_that_of_the_next_mint() -> None:
    burnt = Transferred(7, ALICE, ZERO_ADDRESS)
    assert lease(ExpiryUpdated(7, 99), burnt, MINT).expires_at == 0
    assert lease(burnt, ExpiryUpdated(7, 99), MINT).expires_at == 99


def test_an_expiry_of_another_token_or_of_the_former_block_is_none_of_the_mint() -> None:
    assert told(ExpiryUpdated(8, 99), MINT) == told(MINT)
    earlier = Logged(ExpiryUpdated(7, 99), 1, "0xb", 0, OTHER_TX)
    assert fold_all([earlier, *logged(MINT)]) == told(MINT)


def test_plans_are_no_concern_of_a_lease() -> None:
    assert told(DEFINED, MINT) == told(MINT)


def test_a_nonce_tells_transactions_and_tokens_apart_and_not_blocks() -> None:
    other = "0x" + "12" * 32
    assert len({nonce_of(TX, 7), nonce_of(TX, 8), nonce_of(other, 7)}) == 3
    assert len(nonce_of(TX, 2**256 - 1)) == 32


@pytest.mark.parametrize(
    ("at", "stands"), [(98, Phase.ACTIVE), (99, Phase.EXPIRED), (100, Phase.EXPIRED)]
)
def test_a_lease_is_active_up_to_and_without_its_last_second(at: int, stands: Phase) -> None:
    assert phase(lease(ExpiryUpdated(7, 99)), at) is stands


def test_a_lease_without_expiry_is_expired() -> None:
    assert phase(lease(), 1) is Phase.EXPIRED


def test_terms_and_definition_of_a_plan_come_in_any_order() -> None:
    terms = PlanTerms(1, BOB, 5, 9, on_sale=True)
    plan = fold_plan(fold_plan(None, terms), DEFINED)
    assert plan == fold_plan(fold_plan(None, DEFINED), terms)
    assert plan == Plan(1, "small", 0, 2, 2048, 20, 86_400, BOB, 5, 9, on_sale=True, defined=True)


def test_a_plan_of_which_only_terms_are_known_is_not_defined() -> None:
    assert not fold_plan(None, PlanTerms(1, BOB, 5, 9, on_sale=True)).defined


def test_a_lease_id_is_its_caip_19_asset_id() -> None:
    text = "eip155:8453/erc721:0x" + "ab" * 20 + "/42"
    assert str(LeaseId.parse(text)) == text
    assert str(LeaseId(8453, "0x" + "AB" * 20, 42)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "42",
        "eip155:1/erc20:0xab/1",
        "eip155:1/erc721:0xab",
        "eip155:x/erc721:0xab/1",
        "a/b/c/d",
    ],
)
def test_what_is_no_lease_id_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match="write eip155:CHAIN/erc721:0xCONTRACT/TOKEN"):
        LeaseId.parse(text)
