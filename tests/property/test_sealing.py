"""Connection details: read by their buyer, in their place, and by nobody else."""

from typing import Final

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from chainwatch.domain.details import BLOCK, MOST, Details, Unreadable, read, written
from chainwatch.domain.sealing import (
    OVERHEAD,
    VERSION,
    Place,
    Unsealable,
    is_key,
    opened,
    sealed,
)

HERE: Final = Place(8453, "0x" + "ab" * 20, 42)
BUYER: Final = X25519PrivateKey.from_private_bytes(bytes(range(32)))
BUYERS: Final = BUYER.public_key().public_bytes_raw()
ONCE: Final = X25519PrivateKey.from_private_bytes(bytes(range(32, 64)))
DETAILS: Final = Details("root", "203.0.113.10", "2001:db8::1000", 22, ("ssh-ed25519 AAAA",))
#: Points of small order (RFC 7748, section 6.1, and their like): everybody knows the secret.
SMALL: Final = (
    bytes(32),
    bytes([1]) + bytes(31),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    bytes.fromhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
)

places = st.builds(
    Place,
    st.integers(0, 2**64),
    st.binary(min_size=20, max_size=20).map(lambda raw: f"0x{raw.hex()}"),
    st.integers(0, 2**256 - 1),
)
words = st.text(st.characters(codec="utf-8"), max_size=40)
details = st.builds(
    Details, words, words, words, st.integers(0, 65535), st.lists(words, max_size=4).map(tuple)
)


@given(st.binary(max_size=1024), places, st.binary(min_size=32, max_size=32))
def test_what_was_sealed_opens_to_its_buyer_in_its_place(
    text: bytes, place: Place, secret: bytes
) -> None:
    ephemeral = X25519PrivateKey.from_private_bytes(secret)
    blob = sealed(text, BUYERS, place, ephemeral)
    assert len(blob) == len(text) + OVERHEAD
    assert opened(blob, BUYER, place) == text


@given(places, places)
def test_it_opens_in_no_other_place(here: Place, there: Place) -> None:
    blob = sealed(b"text", BUYERS, here, ONCE)
    if here == there:
        assert opened(blob, BUYER, there) == b"text"
        return
    with pytest.raises(Unsealable, match="for another lease"):
        opened(blob, BUYER, there)


def test_it_opens_to_nobody_else_not_even_to_whoever_sealed_it() -> None:
    blob = sealed(b"text", BUYERS, HERE, ONCE)
    for other in (X25519PrivateKey.generate(), ONCE):
        with pytest.raises(Unsealable, match="sealed to another key"):
            opened(blob, other, HERE)


@given(st.integers(0, OVERHEAD + 3), st.integers(1, 255))
def test_it_does_not_open_when_one_byte_was_changed(place: int, by: int) -> None:
    blob = bytearray(sealed(b"text", BUYERS, HERE, ONCE))
    blob[place] ^= by
    with pytest.raises(Unsealable):
        opened(bytes(blob), BUYER, HERE)


@pytest.mark.parametrize("length", range(OVERHEAD))
def test_half_of_it_says_what_is_wrong(length: int) -> None:
    with pytest.raises(Unsealable, match="cut off" if length else "another version"):
        opened(sealed(b"", BUYERS, HERE, ONCE)[:length], BUYER, HERE)


@pytest.mark.parametrize("key", [*SMALL, b"", bytes(31), bytes(33)])
def test_a_key_to_which_anybody_could_read_is_refused(key: bytes) -> None:
    assert not is_key(key)
    with pytest.raises(Unsealable, match=r"small order|32 bytes"):
        sealed(b"text", key, HERE, ONCE)


def test_a_key_as_buyers_make_them_is_one() -> None:
    assert is_key(BUYERS)


def test_the_format_stays_what_it_is() -> None:
    blob = sealed(written(DETAILS), BUYERS, HERE, ONCE)
    assert blob[:1] == VERSION
    assert blob[1:33] == ONCE.public_key().public_bytes_raw()
    assert blob.hex() == KNOWN


@given(details)
def test_details_are_read_as_they_were_told(told: Details) -> None:
    text = written(told)
    assert len(text) % BLOCK == 0
    assert len(text) <= MOST
    seen = read(text)
    assert (seen.user, seen.ipv4, seen.ipv6, seen.port) == (
        *(told.user, told.ipv4, told.ipv6, told.port),
    )
    assert seen.host_keys == told.host_keys[: len(seen.host_keys)]


def test_host_keys_that_are_too_long_are_left_out_and_the_rest_is_told() -> None:
    told = Details(
        "root", "203.0.113.10", "", host_keys=("ssh-ed25519 AAAA", "ssh-rsa " + "A" * MOST)
    )
    assert read(written(told)).host_keys == ("ssh-ed25519 AAAA",)


def test_details_that_can_t_be_told_are_refused() -> None:
    with pytest.raises(ValueError, match="more than 768"):
        written(Details("u" * MOST, "", ""))


@pytest.mark.parametrize(
    "text",
    [
        *(b"", b"\x80", b"[]\x80", b"{}\x80", b"{\x80", b"[" * 100_000 + b"\x80"),
        *(written(DETAILS)[:-1] + b"x", written(DETAILS).replace(b'"v":1', b'"v":2')),
        *(written(DETAILS).replace(b"22", b'"22"'), written(DETAILS).replace(b'"user"', b'"us"')),
    ],
)
def test_what_nobody_told_is_not_read(text: bytes) -> None:
    with pytest.raises(Unreadable):
        read(text)


KNOWN: Final = (
    "01358072d6365880d1aeea329adf9121383851ed21a28e3b75e965d0d2cd16625459e0c2afb502b83c380f30dd"
    "91417d480a7c14fbf88e4fa47e3bf968cd0c0a80b1553865acda4a144f50f1816c331fbbf524480a8c92428c66"
    "84430de760fb929e167a8816c4d4de4ff661afb419d59df2fc15227f7344df5448c067037612fbeaaff235a771"
    "05cd8602022b23726214b157f7910d1e477d67993049e039ca7c5313293bf1662eec7178e7cda280a849"
)
