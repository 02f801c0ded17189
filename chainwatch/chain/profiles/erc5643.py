"""Any ERC-721 with subscriptions (ERC-5643): owner and expiry come from the chain, nothing else.

What is sold stands in the configuration, for such a contract knows no plans. It knows no SSH keys
either: machines are made and nobody can enter them from outside until a key is put in by hand. What
such a contract says besides is its own affair: it is reported once for each kind of event, unless
the configuration names it as known.
"""

from typing import Final

from chainwatch.chain.profiles.erc721 import (
    NONEXISTENT,
    NONEXISTENT_ELSEWHERE,
    Erc721Profile,
    decoders,
    ignored,
)

PROFILE: Final = Erc721Profile(
    name="erc5643",
    decoders=decoders({}),
    ignored=ignored(),
    absent=(NONEXISTENT, *NONEXISTENT_ELSEWHERE),
    plans_on_chain=False,
    expiry_needs_token=False,
    contiguous=False,
    tells_all=False,
)
