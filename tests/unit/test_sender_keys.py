"""The hot key is read from what an operator keeps, signs the same for the same, and never shows."""

import json
import traceback

import pytest
from eth_account import Account

from chainwatch.chain.sender.keys import HotKey, bare_key, opened
from chainwatch.credentials import Secret, redact
from chainwatch.domain.sendings import Call, Offer

KEY = bytes.fromhex("5e" * 31 + "5f")
PASSWORD = b"correct horse battery"
CALL = Call("0x" + "ab" * 20, "0x1234", 5)


def keystore(key: bytes = KEY, **changes: object) -> bytes:
    made = Account.encrypt(key, PASSWORD.decode(), kdf="pbkdf2", iterations=10)
    return json.dumps({**made, **changes}).encode()


def test_a_keystore_opens_with_its_password_alone() -> None:
    assert opened(keystore(), PASSWORD) == KEY
    with pytest.raises(ValueError, match="does not open with this password"):
        opened(keystore(), b"another one")


def test_an_scrypt_keystore_opens_too() -> None:
    made = Account.encrypt(KEY, PASSWORD.decode(), kdf="scrypt", iterations=4)
    assert opened(json.dumps(made).encode(), PASSWORD) == KEY


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"not json", "is not a keystore"),
        (b"[]", "is not a keystore"),
        (b"{}", "is not a keystore"),
        (keystore(version=4), "of another version than 3"),
        (keystore(crypto={}), "it is damaged"),
        (keystore(address="00" * 20), "another key than that of the address it names"),
    ],
)
def test_what_is_no_keystore_is_refused_with_what_is_wrong(text: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        opened(text, PASSWORD)


@pytest.mark.parametrize("text", [KEY.hex(), f"0x{KEY.hex().upper()}", f"  {KEY.hex()}\n"])
def test_a_bare_key_is_64_digits(text: str) -> None:
    assert bare_key(text.encode()) == KEY


@pytest.mark.parametrize("text", ["", KEY.hex()[:-1], "zz" * 32, f"{KEY.hex()} x", "00" * 32])
def test_what_is_no_key_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(ValueError) as refused:
        bare_key(text.encode())
    assert refused.value.__cause__ is None
    assert not text or text not in "".join(traceback.format_exception(refused.value))


def test_a_key_has_no_readable_form() -> None:
    key = HotKey(KEY)
    assert repr(key) == str(key) == f"HotKey({key.address})"
    assert KEY.hex() not in f"{key!r}{[key]}{ {'key': key} }"
    assert not hasattr(key, "__dict__")


@pytest.mark.parametrize("form", [KEY.hex(), f"0x{KEY.hex()}", KEY.hex().upper(), repr(KEY)])
def test_a_key_that_was_read_is_kept_out_of_every_log_line(form: str) -> None:
    Secret(KEY)
    assert "5e5e" not in redact(f"signing with {form} failed").lower()
    assert "^^^" not in redact(f"signing with {form} failed")


def test_a_transaction_is_signed_for_one_chain_and_always_the_same() -> None:
    key = HotKey(KEY)
    first = key.sign(1, 3, CALL, 21_000, Offer(10, 1))
    assert first == key.sign(1, 3, CALL, 21_000, Offer(10, 1))
    assert first != key.sign(2, 3, CALL, 21_000, Offer(10, 1))
    assert first[1].startswith("0x02")
    assert Account.recover_transaction(first[1]).lower() == key.address


def test_a_chain_with_one_price_gets_a_legacy_transaction_bound_to_it() -> None:
    key = HotKey(KEY)
    tx_hash, raw = key.sign(1, 3, CALL, 21_000, Offer(10, None))
    assert raw[:4] not in ("0x01", "0x02")
    assert Account.recover_transaction(raw).lower() == key.address
    assert tx_hash != key.sign(2, 3, CALL, 21_000, Offer(10, None))[0]
