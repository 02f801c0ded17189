"""How often Python looks for garbage, set for a program that reads long lists and keeps none.

The collector goes by how many objects were made since it last looked. A long answer of a node is
made of a hundred thousand of them, none garbage before it has been read, so that as by default a
quarter of the time that a history takes is spent on looking in vain, through all imported modules
too. What is there at the start is left alone for good, and the rest is looked through more rarely.
Failure mode: cycles live longer; what they may hold until the next look is a few megabytes.
"""

import gc
from typing import Final

#: New objects before a look at the youngest; then looks before one at the older, and at the oldest.
THRESHOLDS: Final = (20_000, 20, 50)


def settle() -> None:
    """Take what lives now as there to stay, and look for garbage among the rest more rarely."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
