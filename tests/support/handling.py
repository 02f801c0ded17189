"""Worlds in which operators work on machines by hand: of both kinds, on three nodes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from chainwatch.config import Config, NodesConfig
from chainwatch.control.hands import Hands
from chainwatch.credentials import Secret
from chainwatch.domain.plans import PlanRule, PlanRules
from provisioner.model import Kind
from provisioner.terms import ANY_TERMS, Terms
from provisioner.verbs.throttle import Limits
from tests.support.chain_model import plan_events
from tests.support.office import desk_of
from tests.support.realm import GRACE, ClusterClock, Realm, realm
from tests.support.verbs import NODES, cluster

#: More turns than what one looks at in a guest takes.
TURNS: Final = 20
UID: Final = 1000
WHY: Final = "a look"
#: What is done by hand, by its name.
VERBS: Final = ("metrics", "throttle", "exec", "console")


async def done(world: Realm, verb: str, given: Hands | None = None) -> object:
    """Do one thing of each sort to the machine of lease 1."""
    hands = given or await hands_of(world)
    match verb:
        case "metrics":
            return await hands.metrics()
        case "throttle":
            return await hands.throttle(Limits(cpu_shares=50), WHY, UID)
        case "exec":
            return await hands.run(("echo", "hello"), 5, WHY, UID)
        case _:
            return await hands.console(WHY, UID)


class Unhurried(ClusterClock):
    """The cluster's clock, on which everybody has a turn before time goes on."""

    async def sleep(self, seconds: float) -> None:
        for _ in range(TURNS):
            await asyncio.sleep(0)
        await super().sleep(seconds)


async def hands_of(world: Realm, lease: str = "1") -> Hands:
    hands = await desk_of(world).hands(lease)
    clock = Unhurried(world.cluster)
    return replace(hands, reconciler=replace(hands.reconciler, clock=clock))


@asynccontextmanager
async def handling(
    folder: Path,
    kind: Kind,
    *,
    console: bool = True,
    reached: bool = True,
    repairs: bool = True,
    terms: Terms = ANY_TERMS,
) -> AsyncIterator[Realm]:
    """Open a realm whose plan 1 is of a kind and has `terms`, and sell one that lasts long."""

    def adjust(config: Config) -> Config:
        known = tuple(f"{node} 192.0.2.11 t k" for node in NODES)
        return replace(
            config,
            admin=replace(config.admin, console=console),
            policy=replace(config.policy, repairs=repairs),
            plans=PlanRules((PlanRule(terms, 1),)),
            machines=replace(config.machines, container_storage="shared"),
            nodes=NodesConfig("root", 22, Secret(b"not used here"), known) if reached else None,
        )

    machines = cluster()
    machines.add_storage("local")  # for what containers are made from
    number = 0 if kind is Kind.VM else 1
    async with realm(
        folder, plan=plan_events(kind=number), cluster=machines, adjust=adjust
    ) as world:
        world.buy(lasts=100 * GRACE)
        await world.settle()
        yield world
