"""Who sends the daemon's own transactions, one for each chain named, and what is owed there.

Each chain is sent on with its own key, or with the common one.
"""

from collections.abc import Callable, Mapping, Sequence

from chainwatch.chain import profiles
from chainwatch.chain.rpc import Endpoints
from chainwatch.chain.sender.credential_calls import CREDENTIAL_LOOKS
from chainwatch.chain.sender.gateway import Gateway
from chainwatch.chain.sender.keys import HotKey
from chainwatch.chain.sender.lease_looks import LEASE_LOOKS
from chainwatch.chain.sender.looks import Looks, looks_of
from chainwatch.chain.settings import SourceSettings
from chainwatch.config import Config
from chainwatch.config.sender import SenderChainConfig
from chainwatch.control.promises import Promises
from chainwatch.control.sender import Limits, Sender
from chainwatch.runtime.clock import Clock
from chainwatch.store.stores import Stores
from provisioner.ports import GuestShells
from provisioner.site import Site


def senders(
    config: Config, endpoints: Mapping[str, Endpoints], stores: Stores, clock: Clock
) -> tuple[Sender, ...]:
    """Return the senders; none where the configuration has no key."""
    if config.sender is None:
        return ()
    keys = config.sender

    def sender(chain: SenderChainConfig) -> Sender:
        key = HotKey(keys.key_of(chain).reveal())
        on_it = [each for each in config.sources if each.source.chain_id == chain.chain_id]
        pools = [endpoints[each.source.name] for each in on_it]
        return Sender(
            gateway=Gateway(chain.chain_id, key.address, pools),
            key=key,
            limits=Limits(chain.ceiling, chain.least_balance),
            looks={each.source.name: _looks(each) for each in on_it},
            contracts={
                each.source.name: each.source.contract
                for each in on_it
                if profiles.of(each).delivers
            },
            credentials={
                each.source.name: each.source.credential for each in on_it if each.source.credential
            },
            sendings=stores.sendings,
            journal=stores.journal,
            holds=stores.holds,
            alarms=stores.alarms,
            clock=clock,
        )

    return tuple(map(sender, keys.chains))


def promises(
    config: Config,
    made: Sequence[Sender],
    guests: GuestShells,
    site: Site,
    *,
    stores: Stores,
    clock: Clock,
) -> Promises:
    """Return who works out what is owed on the contracts that we send to."""
    ours = [
        each.source
        for each in config.sources
        if profiles.of(each).delivers or each.source.credential
    ]
    sent = [each for each in ours if news_of(made, each.name)]
    return Promises(
        sources={(each.chain_id, each.contract.lower()): each.name for each in sent},
        guests=guests,
        operations=stores.operations,
        site=site,
        clock=clock,
        gives_back=config.policy.gives_back,
        credentials={each.name: each.credential for each in sent if each.credential},
        news={each.name: news_of(made, each.name) for each in sent},
    )


def _looks(settings: SourceSettings) -> Looks:
    """Return what can be looked up on a source: of our own contract, everything."""
    if settings.source.credential:
        return CREDENTIAL_LOOKS
    profile = profiles.of(settings)
    return {**looks_of(profile), **(LEASE_LOOKS if profile.delivers else {})}


def news_of(made: Sequence[Sender], source: str) -> list[Callable[[], None]]:
    """Return what is to be called when a source was read on."""
    return [each.news.set for each in made if source in each.looks]
