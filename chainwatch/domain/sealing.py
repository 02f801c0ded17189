"""A text that one key can read, in one place alone.

`sealed` is a version byte, an ephemeral X25519 public key, and ChaCha20-Poly1305's text with its
tag. Key and nonce come out of HKDF-SHA-256 over the shared secret, salted with both public keys;
the place (chain, contract, token) is authenticated with it, so that what was sealed for one lease
opens for no other. The ephemeral key is made for one text and forgotten: whoever sealed it can't
read it again. Failure mode: a buyer who loses his private key publishes another one, and is told
again.
"""

from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

VERSION: Final = b"\x01"
KEY_LENGTH: Final = 32
#: Bytes that are added to a text.
OVERHEAD: Final = len(VERSION) + KEY_LENGTH + 16
_NONCE_LENGTH: Final = 12
_INFO: Final = b"chainwatch connection details v1"


class Unsealable(ValueError):
    """A key to which nothing can be sealed, or a text that does not open: a sentence says why."""


@dataclass(frozen=True, slots=True)
class Place:
    """The lease that a text is for; `contract` as 0x and 40 hex digits."""

    chain_id: int
    contract: str
    token: int

    @property
    def words(self) -> bytes:
        """32 bytes of chain id, 20 of contract, 32 of token, big-endian."""
        contract = bytes.fromhex(self.contract.removeprefix("0x"))
        return self.chain_id.to_bytes(32) + contract + self.token.to_bytes(32)


def is_key(public: bytes) -> bool:
    """Say whether something can be sealed to a public key."""
    try:
        sealed(b"", public, Place(0, f"0x{0:040x}", 0), X25519PrivateKey.generate())
    except Unsealable:
        return False
    return True


def sealed(text: bytes, to: bytes, place: Place, ephemeral: X25519PrivateKey) -> bytes:
    """Return `text` so that only the holder of the key to `to` reads it; `ephemeral` is used once.

    Raises `Unsealable` for a key that is none: of another length, or of small order.
    """
    if len(to) != KEY_LENGTH:
        raise Unsealable(f"an X25519 public key has {KEY_LENGTH} bytes, this one has {len(to)}")
    ours = ephemeral.public_key().public_bytes_raw()
    cipher, nonce = _cipher(_shared(ephemeral, to), ours + to)
    return VERSION + ours + cipher.encrypt(nonce, text, place.words)


def opened(blob: bytes, private: X25519PrivateKey, place: Place) -> bytes:
    """Return the text of `sealed`. Raises `Unsealable` for one of another key or another place."""
    if blob[:1] != VERSION:
        raise Unsealable("it is of another version: install a newer program")
    if len(blob) < OVERHEAD:
        raise Unsealable("it is cut off")
    theirs, text = blob[1 : 1 + KEY_LENGTH], blob[1 + KEY_LENGTH :]
    salt = theirs + private.public_key().public_bytes_raw()
    cipher, nonce = _cipher(_shared(private, theirs), salt)
    try:
        return cipher.decrypt(nonce, text, place.words)
    except InvalidTag:
        raise Unsealable(
            "it was sealed to another key, for another lease, or was changed"
        ) from None


def _shared(private: X25519PrivateKey, public: bytes) -> bytes:
    try:
        return private.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        raise Unsealable("the public key is of small order, so that anybody could read") from None


def _cipher(shared: bytes, salt: bytes) -> tuple[ChaCha20Poly1305, bytes]:
    length = KEY_LENGTH + _NONCE_LENGTH
    material = HKDF(SHA256(), length, salt, _INFO).derive(shared)
    return ChaCha20Poly1305(material[:KEY_LENGTH]), material[KEY_LENGTH:]
