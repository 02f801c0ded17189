"""What a configuration makes of machines: the site that all share, their firewalls and routes.

Nothing here opens anything: who prints or checks what machines will be like asks here as well.
"""

from collections.abc import Iterator, Sequence

from chainwatch.app.userdata import snippets
from chainwatch.config import Config
from chainwatch.control.routing import Routing
from chainwatch.control.sources import Sources
from chainwatch.store.stores import Stores
from provisioner.backends.proxmox.inspection import Sold
from provisioner.identity import Signer
from provisioner.isolation import Isolation
from provisioner.placement import Limits
from provisioner.site import Site
from provisioner.terms import ANY_TERMS, Cloning


def site(config: Config) -> Site:
    """Return what is the same for every machine of this installation."""
    machines = config.machines
    return Site(
        signer=Signer(config.installation.id, config.installation.identity_key.reveal()),
        pool=machines.pool,
        bridge=machines.bridge,
        nameserver=machines.nameserver,
        user=machines.user,
        tags=machines.tags,
        shutdown_timeout=machines.shutdown_timeout,
        answer_timeout=machines.answer_timeout,
        snippets=snippets(config),
        inbound=machines.inbound,
        smtp=machines.smtp,
        wallet_login=machines.wallet_login,
        cloning=machines.cloning,
        token=config.proxmox.token_id,
        backups=config.policy.backups,
        repairs=config.policy.repairs,
        plan_ranges=tuple(
            each
            for rule in config.plans.rules
            for each in (rule.terms.ipv4, rule.terms.ipv6)
            if each
        ),
    )


def limits(config: Config) -> Limits:
    """Return how far nodes and storages may be filled."""
    proxmox = config.proxmox
    return Limits(
        proxmox.nodes,
        proxmox.memory_overcommit,
        proxmox.storage_reserve_gib,
        proxmox.clones_per_storage,
        proxmox.storage_overcommit,
    )


def copied(config: Config) -> bool:
    """Say whether any virtual machine is cloned whole."""
    return any(each.full for _, each in _clonings(config))


def sold(config: Config) -> Sold:
    """Return what the configuration asks of the cluster besides what every machine needs."""
    terms = [rule.terms for rule in config.plans.rules]
    clonings = list(_clonings(config))
    named = (*(each.storage for _, each in clonings), *(each.container_storage for each in terms))
    return Sold(
        config.bridges,
        frozenset().union(*(each.nodes for each in terms)),
        firewalls(config),
        storages=tuple(dict.fromkeys(name for name in named if name)),
        linked=frozenset(vmid for vmids, each in clonings if not each.full for vmid in vmids),
        snippets=None if (read := snippets(config)) is None else read.storage,
        allowed=config.proxmox.nodes,
    )


def _clonings(config: Config) -> Iterator[tuple[Sequence[int], Cloning]]:
    """Yield every way in which templates are cloned."""
    usual = config.machines.template_vms
    yield usual, config.machines.cloning
    for terms in (rule.terms for rule in config.plans.rules):
        yield terms.templates or usual, terms.cloning or config.machines.cloning


def routing(config: Config, stores: Stores, sources: Sources) -> Routing:
    """Return which addresses are routed by the nodes that machines stand on, and where to."""
    machines = config.machines
    return Routing(
        pool=machines.pool,
        bridge=machines.bridge,
        common=machines.host_routes,
        rules=config.plans,
        leases=stores.leases,
        operations=stores.operations,
        sources=sources,
    )


def firewalls(config: Config) -> dict[int, tuple[Isolation, ...]]:
    """Return of each template the firewalls that its clones may get, the commonest first."""
    here, usual = site(config), config.machines.template_vms
    found = {vmid: [here.frame(ANY_TERMS)] for vmid in usual}
    for rule in config.plans.rules:
        for vmid in rule.terms.templates or usual:
            found.setdefault(vmid, []).append(here.frame(rule.terms))
    return {vmid: tuple(dict.fromkeys(frames)) for vmid, frames in found.items()}
