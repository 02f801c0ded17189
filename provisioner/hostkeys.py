"""The public keys of a guest's SSH server, as far as what the guest says are any. Pure.

A guest may say anything. What is not a short line of a known type, with a blob of that same type,
is left out; so is every comment, and what is beyond a few. What is left can be told to the guest's
own owner, and is used for nothing else. How it fails: who gets none checks the key himself.
"""

import base64
import binascii
from collections.abc import Iterable
from typing import Final

#: Where an SSH server keeps them; those that are short, the usual one first.
FILES: Final = (
    "/etc/ssh/ssh_host_ed25519_key.pub",
    "/etc/ssh/ssh_host_ecdsa_key.pub",
)
#: The most characters of one file that are looked at.
LONGEST: Final = 1024
_TYPES: Final = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
)
_MOST_BLOB: Final = 300


def host_keys(files: Iterable[str]) -> tuple[str, ...]:
    """Return the keys, `ssh-ed25519 AAAA…`, that stand in what the guest gave for `FILES`."""
    found = dict.fromkeys(_key(text[:LONGEST]) for text in files)
    return tuple(key for key in found if key is not None)


def _key(text: str) -> str | None:
    words = text.split("\n", 1)[0].split(" ")
    if len(words) < 2 or words[0] not in _TYPES or len(words[1]) > _MOST_BLOB:
        return None
    kind, blob = words[:2]
    try:
        raw = base64.b64decode(blob, validate=True)
    except (binascii.Error, ValueError):
        return None
    return f"{kind} {blob}" if raw.startswith(len(kind).to_bytes(4) + kind.encode()) else None
