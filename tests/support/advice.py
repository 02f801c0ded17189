"""What a sentence has to say about a mode of failure, so that an operator knows what to do.

A sentence that says to do something is not enough: it has to be what mends this mode. By its
number, a mode has its own advice here, in the words that the program has for it; `says_what_to_do`
looks for those and for no others. A mode that needs nobody in its usual form has no advice of its
own, and there any of them will do.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

_NODE: Final = r"is away .*bring it back|is the node up\?|does the cluster still have this node\?"
_GRANT: Final = r"`chainwatch check` names the command that grants"

ADVICE: Final[Mapping[int, str]] = {
    4: r"widen the range",
    12: r"where no task works on it, unlock it",
    13: r"bring back nodes until it has one|restore the cluster's quorum",
    15: r"is pve-cluster running on the node\?",
    16: _NODE,
    18: _NODE,
    19: _NODE,
    25: r"is the API token still there, enabled",
    27: _GRANT,
    28: r"allow the tag to everybody",
    29: rf"{_GRANT}|has the token lost its permissions",
    30: r"mend what it names, then retry",
    31: r"have its owner set another key",
    33: r"`(qm|pct) unlock \d+`, destroy it|where no task works on it, unlock it",
    35: r"stop the task if nothing moves",
    38: r"bring the storage back|storage \S+ is away: bring it back|name a storage"
    r"|is destroyed, but left .*: remove by hand",
    39: r"beyond its reserve.*: add capacity|make room on the storage"
    r"|read the task's log, it says why",
    40: r"look at the template's disks and storage",
    41: r"write clone = \"full\"|look at the template's disks and storage",
    42: r"remove the clones that hang on it",
    47: r"storage \S+ is away: bring it back|is destroyed, but left .*: remove by hand",
    53: r"start the agent or reboot the guest",
    60: r"there is no room: make some|chainwatch node authorize|is the node up, and its SSH server"
    r"|Compare with `ssh-keygen|mend that on the node|mend that in the container|look whether",
}
#: The advice of modes that the daemon gets over by itself, and a command does not, or not always.
BY_HAND: Final[Mapping[int, str]] = {
    43: r"was it moved or removed\? look|make it again with `create`|was the template removed\?",
    51: r"kill cuts its power",
    59: r"stands still: use start|does not run\b.*: start it first",
}
_ALL: Final = {**ADVICE, **BY_HAND}
_ANY: Final = "|".join(f"(?:{advice})" for advice in _ALL.values())


def says_what_to_do(mode: int, sentences: Iterable[str]) -> bool:
    """Say whether one of the sentences has the advice of this mode."""
    wanted = re.compile(_ALL.get(mode, _ANY), re.DOTALL)
    return any(wanted.search(each) for each in sentences)
