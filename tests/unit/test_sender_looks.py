"""What is seen of an effect: there, wanted, or not told."""

import pytest

from chainwatch.chain import profiles
from chainwatch.chain.profiles.erc721 import NONEXISTENT
from chainwatch.chain.sender.looks import Answer, Refusal, Word, looks_of, plain
from chainwatch.domain.sendings import Call, Intent, Kind, Sending, State

LEASE = "eip155:1/erc721:0x" + "ab" * 20 + "/7"
BURN = Sending(
    1, Intent("main", Kind.BURN, LEASE, "over", Call("0x" + "ab" * 20, "0x")), 1, State.WANTED, 1
)


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (Refusal(NONEXISTENT.format(token=7)), Word.DONE),
        (Refusal(NONEXISTENT.format(token=8)), Word.WANTED),
        (Refusal("0x"), Word.WANTED),
        ((0xA1).to_bytes(32), Word.WANTED),
        (b"", Word.WANTED),
    ],
)
def test_a_lease_is_burnt_where_its_contract_says_that_there_is_none(
    answer: Answer, word: Word
) -> None:
    look = looks_of(profiles.get("lease"))[Kind.BURN](BURN)
    ((to, data),) = look.calls
    assert to == BURN.intent.call.to
    assert data == profiles.get("lease").owner_call(7)
    assert look.judge([answer]).word is word


def test_what_a_contract_says_is_one_short_line() -> None:
    assert plain("no\x00t\nyours\u2028\x1b[2K") == "no·t·yours··[2K"
    assert len(plain("x" * 10_000)) == 200
