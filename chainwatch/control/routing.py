"""Which IPv6 addresses nodes keep routes to, and where to: those of `[machines]` and of plans.

A machine has the addresses that its plan names, or else those of `[machines]`; each of the two says
for itself whether its addresses are routed. The route leads to the bridge that the machine is on,
and where its plan has a VLAN, to the node's own interface in that VLAN. Plans are looked up only
where some plan has a network of its own. How it fails: a machine whose lease is not known keeps the
route that it has.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Interface

from chainwatch.control.sources import Sources
from chainwatch.domain.lease import LeaseId
from chainwatch.domain.plans import PlanRule, PlanRules
from chainwatch.store.leases import Leases
from chainwatch.store.operations import Operations
from provisioner.allocate import Pool
from provisioner.terms import ANY_TERMS, Terms


@dataclass(frozen=True, slots=True)
class Routing:
    """The routes of all machines; `common` says whether addresses of the pool have any.

    `bridge` is the one of machines whose plan names none.
    """

    pool: Pool
    bridge: str
    common: bool
    rules: PlanRules
    leases: Leases
    operations: Operations
    sources: Sources

    @property
    def wanted(self) -> bool:
        """Whether any address is to be routed at all."""
        return self.common or any(rule.terms.host_routes for rule in self.rules.rules)

    async def routes(self, vmids: Iterable[int]) -> Mapping[int, tuple[str, str]]:
        """Return address and interface of those of our machines that are to have a route."""
        terms = await self._terms() if any(map(_differs, self.rules.rules)) else None
        found = {}
        for vmid in vmids:
            of = ANY_TERMS if terms is None else terms.get(vmid)
            route = None if of is None else self.route(vmid, of)
            if route is not None:
                found[vmid] = route
        return found

    def route(self, vmid: int, terms: Terms) -> tuple[str, str] | None:
        """Return the route of a machine whose plan decides `terms`."""
        cidr = self.pool.addresses(vmid, terms).ipv6
        if cidr is None or not is_routed(terms, common=self.common):
            return None
        return str(IPv6Interface(cidr).ip), port(terms, self.bridge)

    async def _terms(self) -> Mapping[int, Terms]:
        """Return what their plans decide, of the VMIDs that stand for a lease."""
        sold = await self.leases.sold()
        plans = {name: await self.leases.plans(name) for name in self.sources}
        found = {}
        for (key, _), place in (await self.operations.places()).items():
            source, number = sold.get(key, ("", None))
            if source in plans:
                known = None if number is None else plans[source].get(number)
                plan = known or self.sources[source].settings.sold(number)
                found[place.vmid] = self.rules.of(LeaseId.parse(key), plan)
        return found


def is_routed(terms: Terms, *, common: bool) -> bool:
    """Say whether the addresses of a machine are routed whose plan decides `terms`."""
    own = terms.ipv4 is not None or terms.ipv6 is not None
    return terms.host_routes if own else common


def port(terms: Terms, bridge: str) -> str:
    """Return the interface of a node behind which machines are whose plan decides `terms`."""
    named = terms.bridge or bridge
    return f"{named}.{terms.vlan}" if terms.vlan else named


def ports(rules: PlanRules, bridge: str, *, common: bool) -> Iterator[str]:
    """Yield the interfaces that addresses are routed to because of plans."""
    for rule in rules.rules:
        if is_routed(rule.terms, common=common):
            yield port(rule.terms, bridge)


def prefixes(rules: PlanRules, pool: Pool) -> tuple[str, ...]:
    """Return the IPv6 networks in which nodes may have routes, each once."""
    own = (rule.terms.ipv6 for rule in rules.rules if rule.terms.host_routes)
    ranges = (each for each in (pool.ipv6, *own) if each)
    return tuple(dict.fromkeys(str(IPv6Interface(each.first).network) for each in ranges))


def _differs(rule: PlanRule) -> bool:
    terms = rule.terms
    return bool(terms.bridge or terms.vlan or terms.ipv4 or terms.ipv6)
