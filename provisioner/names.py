"""What a machine of the command line is called: by people, by Proxmox, and in its identity.

A name has to begin with a letter or a digit and may hold those, dots, dashes and underscores.
Proxmox wants a DNS name, so one that is none is shown as the nearest that is, with six digits of
its hash behind it; the identity holds the name itself, and that alone decides whose a machine is.
"""

import hashlib
import re
from typing import Final

from provisioner.errors import Declined

#: What begins the key of a machine that the command line made; the daemon leaves those alone.
PREFIX: Final = "cli:"
NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]*")
LONGEST: Final = 128
_LABEL: Final = r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_DNS: Final = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_SHOWN: Final = 63


def checked(name: str) -> str:
    """Return `name` if it is one. Raises Declined."""
    if len(name) > LONGEST or not NAME.fullmatch(name):
        raise Declined(
            f"{name[:LONGEST]!r} is no name for a machine: a letter or a digit, then letters, "
            f"digits, dots, dashes and underscores, {LONGEST} at most"
        )
    return name


def key_of(name: str) -> str:
    """Return the key of the machine that is called `name`."""
    return PREFIX + checked(name)


def name_of(key: str) -> str | None:
    """Return the name in a key of the command line, None for any other key."""
    name = key.removeprefix(PREFIX)
    return name if key.startswith(PREFIX) and NAME.fullmatch(name) else None


def shown(name: str) -> str:
    """Return what Proxmox shows for `name`, which is a DNS name."""
    if len(name) <= _SHOWN and _DNS.fullmatch(name):
        return name
    mark = hashlib.sha256(name.encode()).hexdigest()[:6]
    plain = re.sub(r"[^a-zA-Z0-9]+", "-", name)[: _SHOWN - 7].strip("-")
    return f"{plain}-{mark}"


def place_of(name: str, size: int) -> int:
    """Return where in a range of `size` VMIDs the machine called `name` is looked for first."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % size
