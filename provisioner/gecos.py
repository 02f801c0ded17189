"""What an account may say of whose it is: plain text, which means nothing to passwd or a shell."""

import re
from typing import Final

from provisioner.errors import Permanent

_PLAIN: Final = re.compile(r"[A-Za-z0-9=,._-]{1,256}")


def command(user: str, gecos: str) -> tuple[str, ...]:
    """Return the command that gives `user` this comment. Raises Permanent for any other text."""
    if not _PLAIN.fullmatch(gecos):
        raise Permanent("what is no plain text of 256 characters at most goes into no GECOS")
    return ("usermod", "-c", gecos, "--", user)
