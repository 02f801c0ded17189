"""The kinds of contracts that can be watched, by the name that the configuration gives them.

To add one: a file here and a line in the table; it has to pass the shared profile suite.
"""

from typing import Final

from chainwatch.chain.decode import Profile
from chainwatch.chain.profiles import blockhost, erc5643, lease, unlock
from chainwatch.chain.profiles.signatures import parse_event
from chainwatch.chain.settings import SourceSettings
from chainwatch.errors import Fatal

PROFILES: Final[dict[str, Profile]] = {
    profile.name: profile
    for profile in (blockhost.PROFILE, erc5643.PROFILE, lease.PROFILE, unlock.PROFILE)
}


def get(name: str) -> Profile:
    """The profile of that name; raises `Fatal` naming those that exist."""
    try:
        return PROFILES[name]
    except KeyError:
        known = ", ".join(sorted(PROFILES))
        raise Fatal(f"there is no profile {name!r}: write one of {known}") from None


def of(settings: SourceSettings) -> Profile:
    """How one source is read: its profile, without the events that it is told to ignore."""
    topics = frozenset(map(parse_event, settings.ignore_events))
    return get(settings.source.profile).ignoring(topics).at(settings.source)
