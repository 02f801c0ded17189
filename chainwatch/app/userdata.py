"""What of a lease goes into its machine's cloud-init, where the configuration wants that.

A wallet's login is bound to the lease and to the machine's uuid, both of which are named in the
message that is signed: a signature for one machine opens no other, here or at another operator's.
While it is not final whose a lease is, its machine says that it is nobody's.
"""

from functools import lru_cache

from chainwatch.config import Config
from chainwatch.domain.events import ZERO_ADDRESS
from chainwatch.domain.lease import LeaseId
from provisioner.allocate import Pool
from provisioner.errors import Permanent
from provisioner.model import DesiredMachine
from provisioner.render import GuestFacts, Wallet, user_data
from provisioner.snippets import Snippets

#: How many machines' user-data is kept: a pass asks for the same one again and again.
KEPT = 256


def snippets(config: Config) -> Snippets | None:
    """Return how machines get user-data of ours, None where Proxmox's own settings suffice.

    A plan's template goes before the one for all machines.
    """
    usual, nodes = config.machines.cloud_init, config.nodes
    named = [rule.terms.cloud_init for rule in config.plans.rules if rule.terms.cloud_init]
    if nodes is None or not (usual or named):
        return None
    rendered = lru_cache(KEPT)(user_data)

    def render(want: DesiredMachine, vmid: int, uuid: str) -> str | None:
        template = want.terms.cloud_init or usual
        if template is None:
            return None
        wallet = _wallet(want, config.machines.pool, vmid, uuid)
        facts = GuestFacts(want.name, config.machines.user, want.access.ssh_key, wallet)
        return rendered(template, facts)

    return Snippets(nodes.snippet_storage, render)


def _wallet(want: DesiredMachine, pool: Pool, vmid: int, uuid: str) -> Wallet:
    try:
        token = LeaseId.parse(want.key).token
    except ValueError as error:
        raise Permanent(f"a wallet's login is for leases only: {error}") from None
    addresses = pool.addresses(vmid, want.terms)
    owner = want.access.owner if want.access.settled else ZERO_ADDRESS
    return Wallet.at(addresses, owner, token, want.key, uuid)
