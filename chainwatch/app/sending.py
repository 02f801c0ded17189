"""Who sends the daemon's own transactions: one for each chain that the configuration names."""

from collections.abc import Callable, Mapping, Sequence

from chainwatch.chain import profiles
from chainwatch.chain.rpc import Endpoints
from chainwatch.chain.sender.gateway import Gateway
from chainwatch.chain.sender.keys import HotKey
from chainwatch.chain.sender.looks import looks_of
from chainwatch.config import Config
from chainwatch.config.sender import SenderChainConfig
from chainwatch.control.sender import Limits, Sender
from chainwatch.runtime.clock import Clock
from chainwatch.store.stores import Stores


def senders(
    config: Config, endpoints: Mapping[str, Endpoints], stores: Stores, clock: Clock
) -> tuple[Sender, ...]:
    """Return the senders; none where the configuration has no key."""
    if config.sender is None:
        return ()
    key = HotKey(config.sender.key.reveal())

    def sender(chain: SenderChainConfig) -> Sender:
        on_it = [each for each in config.sources if each.source.chain_id == chain.chain_id]
        pools = [endpoints[each.source.name] for each in on_it]
        return Sender(
            gateway=Gateway(chain.chain_id, key.address, pools),
            key=key,
            limits=Limits(chain.ceiling, chain.least_balance),
            looks={each.source.name: looks_of(profiles.of(each)) for each in on_it},
            contracts={each.source.name: each.source.contract for each in on_it},
            sendings=stores.sendings,
            journal=stores.journal,
            holds=stores.holds,
            alarms=stores.alarms,
            clock=clock,
        )

    return tuple(map(sender, config.sender.chains))


def news_of(made: Sequence[Sender], source: str) -> list[Callable[[], None]]:
    """Return what is to be called when a source was read on."""
    return [each.news.set for each in made if source in each.looks]
