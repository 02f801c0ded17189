"""The people of the story: each has an account in a keystore, some money, and an SSH key.

Their files lie in the story's folder as they would lie in a home: `alice.json` (the keystore) and
`alice.pub`. The daemon's hot key is made in the same way.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from eth_account import Account

from chainwatch.demo.anvil import Anvil

#: What everybody has to begin with: 10 of the chain's coin.
COIN: Final = 10 * 10**18
_PASSWORD: Final = "a password of this story alone"  # noqa: S105 - it guards nothing of worth
#: Few, since nothing of worth is guarded: opening a keystore is to cost no time.
_ROUNDS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with an account (checksummed) whose keystore is a file, and an SSH key."""

    name: str
    account: str
    keystore: Path
    ssh_key: str

    @property
    def public_key(self) -> str:
        """The SSH key without its comment."""
        return self.ssh_key.rpartition(" ")[0]

    @property
    def ssh_file(self) -> str:
        """The name of the file with the public SSH key, beside the keystore."""
        return self.keystore.with_suffix(".pub").name


async def born(chain: Anvil, folder: Path, name: str) -> Person:
    """Make somebody with coin, a keystore and an SSH key."""
    account = Account.create()
    keystore = folder / f"{name.lower()}.json"
    words = Account.encrypt(account.key, _PASSWORD, kdf="pbkdf2", iterations=_ROUNDS)
    _write(keystore, json.dumps(words))
    person = Person(name, account.address, keystore, ssh_key(name))
    _write(folder / person.ssh_file, f"{person.ssh_key}\n")
    await chain.rpc("anvil_setBalance", account.address, hex(COIN))
    return person


def password_file(folder: Path) -> Path:
    """The file with everybody's password, written if it is not there."""
    path = folder / "password"
    if not path.exists():
        _write(path, _PASSWORD)
    return path


def ssh_key(name: str) -> str:
    """Make a key pair, forget the private half, and return the public one."""
    public = Ed25519PrivateKey.generate().public_key()
    line = public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    return f"{line} {name.lower()}@example"


def _write(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)
