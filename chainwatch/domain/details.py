"""How a buyer gets into his machine: what is told to him and to nobody else.

The words that are sealed (`domain/sealing.py`) and published with a delivery, as bytes and back.
Law: what a buyer reads is what was told, or an error; what he is told is bounded, so that a
delivery costs about the same for every machine, and padded, so that its length tells nothing of
what stands in it. Host keys come from the guest, which may lie: they help against strangers on the
way, not against the machine itself.
"""

import json
from dataclasses import asdict, dataclass, fields
from typing import Final

#: Bytes of the sealed text, always a multiple of this.
BLOCK: Final = 128
MOST: Final = 768
_VERSION: Final = 1
_END: Final = b"\x80"


@dataclass(frozen=True, slots=True)
class Details:
    """Addresses without prefix length, '' where there is none; `port` is SSH's.

    `host_keys` are the public keys of the machine's SSH server, as `ssh-ed25519 AAAA…`.
    """

    user: str
    ipv4: str
    ipv6: str
    port: int = 22
    host_keys: tuple[str, ...] = ()


class Unreadable(ValueError):
    """What was sealed is not what this version writes."""


def written(details: Details) -> bytes:
    """Return the details as padded JSON; host keys that would make it too long are left out.

    Raises ValueError when even without any it is longer than `MOST` bytes.
    """
    kept = list(details.host_keys)
    while True:
        words = {"v": _VERSION, **asdict(details), "host_keys": kept}
        text = json.dumps(words, separators=(",", ":"), ensure_ascii=False).encode() + _END
        padded = text.ljust(-(-len(text) // BLOCK) * BLOCK, b"\0")
        if len(padded) <= MOST:
            return padded
        if not kept:
            raise ValueError(f"{len(padded)} bytes of details are more than {MOST}")
        kept.pop()


def read(padded: bytes) -> Details:
    """Return the details out of padded JSON. Raises `Unreadable`."""
    text, end, rest = padded.rpartition(_END)
    try:
        words = json.loads(text) if end and not rest.strip(b"\0") else None
    except (ValueError, RecursionError):
        words = None
    if not isinstance(words, dict):
        raise Unreadable("the details are not what they must be: ask for them to be told again")
    if words.pop("v", None) != _VERSION:
        raise Unreadable("the details are of another version: install a newer program")
    return _checked(words)


def _checked(words: dict[str, object]) -> Details:
    match words:
        case {
            "user": str(user),
            "ipv4": str(ipv4),
            "ipv6": str(ipv6),
            "port": int(port),
            "host_keys": list(keys),
        } if len(words) == len(fields(Details)) and all(isinstance(key, str) for key in keys):
            return Details(user, ipv4, ipv6, port, tuple(map(str, keys)))
    raise Unreadable("the details lack something: ask for them to be told again")
