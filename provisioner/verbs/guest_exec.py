"""Run a command in a guest and hand on what it said and how it ended; a time-out is a failure.

Words go to the guest as they are. One single word with blanks in it is a line for the guest's own
shell, as callers write it who know no other way.
"""

from collections.abc import Sequence
from typing import Final

from provisioner.errors import Declined, UnknownOutcome
from provisioner.ports import Finished
from provisioner.workshop import Workshop

#: What is said of a command whose end was not seen, and of one that could not be begun.
TIMED_OUT: Final = 124
NOT_BEGUN: Final = 125
_LONGEST: Final = 32_768


async def guest_exec(shop: Workshop, name: str, words: Sequence[str], limit: int) -> Finished:
    """Run `words` in the guest for `limit` seconds at most."""
    if not words or not words[0]:
        raise Declined("write the command to run")
    if sum(map(len, words)) > _LONGEST or any("\0" in word for word in words):
        raise Declined(f"a command has at most {_LONGEST} characters, and no zero bytes")
    found = await shop.existing(name)
    line = len(words) == 1 and any(letter.isspace() for letter in words[0])
    command = ("/bin/sh", "-c", words[0]) if line else tuple(words)
    try:
        return await shop.into(found).run(found.node, found.vmid, command, limit)
    except UnknownOutcome as error:
        return Finished(TIMED_OUT, b"", f"{error}\n".encode())
