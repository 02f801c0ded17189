"""What is offered for gas gets into a block, replaces what it has to, and keeps to the ceiling."""

from hypothesis import given
from hypothesis import strategies as st

from chainwatch.chain.sender.fees import Market, TooDear, coins, gas_limit, gwei, offer, raised
from chainwatch.domain.sendings import Offer

WEI = st.integers(0, 10**15)
MARKETS = st.builds(Market, st.none() | WEI, WEI)
OFFERS = st.tuples(WEI, st.none() | WEI).map(
    lambda pair: Offer(pair[0], None if pair[1] is None else min(pair))  # type: ignore[type-var] # none is None there
)


@given(MARKETS, WEI)
def test_an_offer_covers_what_is_asked_and_never_passes_the_ceiling(
    market: Market, ceiling: int
) -> None:
    found = offer(market, ceiling)
    if isinstance(found, TooDear):
        assert market.asks > ceiling // 2
        return
    assert market.asks <= found.cap <= ceiling // 2
    assert (found.tip is None) is (market.base is None)
    assert found.tip is None or found.tip <= found.cap


@given(OFFERS, MARKETS, WEI)
def test_a_replacement_offers_a_tenth_more_in_both_parts_or_is_none(
    old: Offer, market: Market, ceiling: int
) -> None:
    found = raised(old, market, ceiling)
    if isinstance(found, TooDear):
        return
    assert max(market.asks, old.cap + 1) <= found.cap <= ceiling
    assert 10 * found.cap >= 11 * old.cap
    assert (found.tip is None) is (old.tip is None)
    if old.tip is not None and found.tip is not None:
        assert old.tip < found.tip <= found.cap
        assert 10 * found.tip >= 11 * old.tip


def test_a_base_fee_may_double_before_an_offer_is_too_low() -> None:
    assert offer(Market(10, 2), 100) == Offer(22, 2)
    assert offer(Market(10, 2), 30) == Offer(15, 2)


def test_a_tip_that_a_node_makes_up_stops_nothing() -> None:
    assert offer(Market(10, 10**9), 100) == Offer(50, 40)


@given(MARKETS, WEI)
def test_what_was_begun_can_be_replaced_as_long_as_the_chain_asks_no_more(
    market: Market, ceiling: int
) -> None:
    found = offer(market, ceiling)
    if isinstance(found, Offer) and ceiling >= 16:
        assert isinstance(raised(found, market, ceiling), Offer)


def test_prices_and_amounts_are_written_for_people() -> None:
    assert [gwei(wei) for wei in (0, 1, 10**9, 2_500_000_000)] == ["0", "0.000000001", "1", "2.5"]
    assert [coins(wei) for wei in (-1, 0, 10**18, 15 * 10**16)] == ["0", "0", "1", "0.15"]


@given(st.integers(21_000, 30_000_000))
def test_a_call_has_room_for_words_that_were_empty_when_it_was_simulated(simulated: int) -> None:
    fresh_word = 2_100 + 20_000  # EIP-2929, EIP-2200
    assert gas_limit(simulated) >= simulated * 5 // 4 + 3 * fresh_word
    assert gas_limit(simulated, 65) - gas_limit(simulated) == 3 * fresh_word
