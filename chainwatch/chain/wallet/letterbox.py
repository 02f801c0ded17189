"""The buyer's keys for his connection details: made, kept beside the keystore, and found again.

A key pair is written before the purchase that names it is sent, so that no lease names a key that
nobody has. Its file is named after the public key, only its owner can read it, and it is never
shown. How it fails: who loses the file publishes another key (`keys`), and is told again.
"""

import json
import os
import stat
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from chainwatch.domain.details import Details, Unreadable, read
from chainwatch.domain.sealing import KEY_LENGTH, Place, Unsealable, opened
from chainwatch.errors import OperatorError

_MOST: Final = 4096


class Letterbox:
    """The key pairs that lie beside a keystore."""

    def __init__(self, keystore: Path) -> None:
        self._keystore = keystore

    def file_of(self, public: bytes) -> Path:
        """Where the pair of a public key is kept."""
        return self._keystore.with_name(f"{self._keystore.name}.x25519-{public.hex()[:16]}")

    def keep(self, private: X25519PrivateKey) -> Path:
        """Write a new pair where only its owner reads it; nothing is ever written over."""
        public = private.public_key().public_bytes_raw()
        path = self.file_of(public)
        words = {"public": public.hex(), "private": private.private_bytes_raw().hex()}
        try:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(file, "w", encoding="utf-8") as out:
                os.fchmod(out.fileno(), 0o600)
                out.write(json.dumps(words) + "\n")
                out.flush()
                os.fsync(out.fileno())
        except OSError as error:
            raise OperatorError(f"{path} can't be written ({error.strerror})") from None
        return path

    def find(self, public: bytes) -> X25519PrivateKey:
        """Return the private key of a pair. Raises `OperatorError` with what is wrong."""
        path = self.file_of(public)
        try:
            with path.open("rb") as file:
                mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
                text = file.read(_MOST)
        except FileNotFoundError:
            raise OperatorError(
                f"the lease names the key {public.hex()[:16]}…, and {path} is not there: take it "
                "from where the machine was bought, or publish a new key with `keys`"
            ) from None
        except OSError as error:
            raise OperatorError(f"{path} can't be read ({error.strerror})") from None
        if mode & 0o077:
            raise OperatorError(f"{path} is open to others on this computer: chmod 600 {path}")
        return _pair(path, text, public)


def _pair(path: Path, text: bytes, public: bytes) -> X25519PrivateKey:
    try:
        words = json.loads(text)
        private = X25519PrivateKey.from_private_bytes(bytes.fromhex(words["private"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise OperatorError(f"{path} is damaged: publish a new key with `keys`") from None
    if private.public_key().public_bytes_raw() != public:
        raise OperatorError(f"{path} holds another key than it is named after: `keys` makes one")
    return private


def unsealed(box: Letterbox, place: Place, public: bytes, connection: bytes) -> Details:
    """Return what was sealed for a lease. Raises `OperatorError` with what to do."""
    if not public:
        raise OperatorError(
            f"lease {place.token} names no encryption key, so nothing can be told: "
            "publish one with `keys`, and wait until the details are told to it"
        )
    if len(public) != KEY_LENGTH:
        raise OperatorError(f"lease {place.token} names a key that is none: use `keys`")
    private = box.find(public)
    if not connection:
        raise OperatorError(
            f"no connection details of lease {place.token} are on the chain yet: the operator "
            "publishes them with the delivery, and again after the key has changed; wait for that"
        )
    try:
        return read(opened(connection, private, place))
    except Unsealable as error:
        raise OperatorError(
            f"the connection details of lease {place.token} don't open: {error}. If the key was "
            "changed just now, wait until they are told again; else publish a new one with `keys`"
        ) from None
    except Unreadable as error:
        raise OperatorError(f"lease {place.token}: {error}") from None
