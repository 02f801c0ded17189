"""The kinds of contracts that can be watched, by the name that the configuration gives them.

To add one: a file here and a line in the table; it has to pass the shared profile suite.
"""

from typing import Final

from chainwatch.chain.decode import Profile
from chainwatch.chain.profiles.lease import LeaseProfile
from chainwatch.errors import Fatal

PROFILES: Final[dict[str, Profile]] = {"lease": LeaseProfile()}


def get(name: str) -> Profile:
    """The profile of that name; raises `Fatal` naming those that exist."""
    try:
        return PROFILES[name]
    except KeyError:
        known = ", ".join(sorted(PROFILES))
        raise Fatal(f"there is no profile {name!r}: write one of {known}") from None
