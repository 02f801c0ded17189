"""The hot key: what it signs, and how it is read from what an operator keeps.

The key itself is in no readable form of it, and in no error: what a library says of a key that it
refuses may quote it, so no cause is passed on. It signs for one chain at a time (EIP-155), and only
what is handed to it whole.
"""

import json
import re
from typing import Any, Final

from chainwatch.chain.ethereum import Account, encode_typed_data
from chainwatch.domain.sendings import Call, Offer

_BARE: Final = re.compile(rb"(?:0x)?([0-9a-fA-F]{64})")


class HotKey:
    """An account that signs; `address` is in lower case."""

    __slots__ = ("_key", "address")

    def __init__(self, key: bytes) -> None:
        try:
            self.address: str = Account.from_key(key).address.lower()
        except Exception:  # noqa: BLE001 - whatever the library says of it may quote the key
            raise ValueError("is no private key of secp256k1") from None
        self._key = key

    def __repr__(self) -> str:
        return f"HotKey({self.address})"

    def sign(
        self, chain_id: int, nonce: int, call: Call, gas: int, offer: Offer
    ) -> tuple[str, str]:
        """Return the hash and the bytes (0x hex) of a transaction, always the same for the same."""
        price: dict[str, int] = {"gasPrice": offer.cap}
        if offer.tip is not None:
            price = {"maxFeePerGas": offer.cap, "maxPriorityFeePerGas": offer.tip, "type": 2}
        signed = Account.sign_transaction(
            {
                "chainId": chain_id,
                "nonce": nonce,
                "to": bytes.fromhex(call.to[2:]),
                "data": call.data,
                "value": call.value,
                "gas": gas,
                **price,
            },
            self._key,
        )
        return f"0x{bytes(signed.hash).hex()}", f"0x{bytes(signed.raw_transaction).hex()}"

    def sign_typed(self, message: dict[str, Any]) -> tuple[int, bytes, bytes]:
        """Return v, r and s of the signature of typed data (EIP-712)."""
        signed = Account.sign_message(encode_typed_data(full_message=message), self._key)
        return signed.v, signed.r.to_bytes(32), signed.s.to_bytes(32)


def bare_key(text: bytes) -> bytes:
    """Return the key that stands as 64 hexadecimal digits. Raises ValueError, without the text."""
    found = _BARE.fullmatch(text.strip())
    if found is None:
        raise ValueError("is not a private key: 64 hexadecimal digits are expected")
    key = bytes.fromhex(found[1].decode())
    HotKey(key)
    return key


def opened(keystore: bytes, password: bytes) -> bytes:
    """Return the key in a keystore (web3 secret storage, version 3). Raises ValueError."""
    try:
        fields = json.loads(keystore)
    except ValueError:
        fields = None
    if not isinstance(fields, dict) or "crypto" not in {str(name).lower() for name in fields}:
        raise ValueError("is not a keystore: a JSON object with `crypto` is expected")
    if fields.get("version") != 3:
        raise ValueError("is a keystore of another version than 3")
    try:
        key = bytes(Account.decrypt(fields, password.decode()))
    except Exception as error:  # noqa: BLE001 - as above; the kind of the error says enough
        if "MAC mismatch" in str(error):
            raise ValueError("does not open with this password") from None
        raise ValueError(f"cannot be opened ({type(error).__name__}): it is damaged") from None
    stated = str(fields.get("address", "")).lower().removeprefix("0x")
    if stated and HotKey(key).address != f"0x{stated}":
        raise ValueError("holds another key than that of the address it names")
    return key
