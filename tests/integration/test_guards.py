"""The last gate before an effect: each guard stops a destroy, and says what it would need."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from msgspec import structs

from chainwatch.chain.rpc import RpcError
from chainwatch.domain.desired import Facts, Hold, desired
from chainwatch.errors import (
    ChainDisagrees,
    Held,
    OverBudget,
    Paused,
    Refused,
    RpcUnavailable,
    SourceBehind,
)
from provisioner.model import DesiredMachine
from provisioner.steps.destroy import DESTROY
from provisioner.steps.shutdown import SHUTDOWN
from provisioner.steps.start import START
from provisioner.steps.step import Step
from tests.support.chain_model import ModelEndpoint
from tests.support.realm import GRACE, HOUR, Realm, realm


@dataclass(slots=True)
class Gate:
    """A machine that is about to be destroyed, and everything that may still stop it."""

    world: Realm
    facts: Facts
    want: DesiredMachine

    async def allow(self, step: Step = DESTROY) -> None:
        await self.world.daemon.reconciler.guards.allow(step, self.want, self.facts)

    async def refuses(self, error: type[Refused], text: str) -> None:
        with pytest.raises(error, match=text):
            await self.allow()

    @property
    def endpoint(self) -> ModelEndpoint:
        (found,) = self.world.chain.rpc.endpoints
        assert isinstance(found, ModelEndpoint)
        return found


@pytest.fixture
async def gate(tmp_path: Path) -> AsyncIterator[Gate]:
    """Open the gate before a machine whose grace has just become over."""
    async with realm(tmp_path, destroys_per_hour=1) as world:
        lease = world.buy(lasts=HOUR)
        await world.settle()
        world.pass_time(2 * HOUR)
        world.finalize()
        await world.settle()
        world.pass_time(GRACE + 1)
        world.finalize()
        await world.read()
        facts = await world.daemon.reconciler.facts.of(str(lease))
        assert facts is not None
        assert facts.lease is not None
        policy = world.daemon.reconciler.policy
        yield Gate(world, facts, desired(facts, facts.lease.nonce, policy))


async def test_a_machine_whose_grace_is_over_may_go(gate: Gate) -> None:
    await gate.allow()


async def test_a_pause_of_destroys_stops_destroys_alone(gate: Gate) -> None:
    await gate.world.daemon.stores.holds.pause("destroys", "audit", 0, now=1)
    await gate.refuses(Paused, "destroys are paused .audit.; `chainwatch resume-all` goes on")
    await gate.allow(SHUTDOWN)


async def test_a_pause_of_effects_stops_every_step(gate: Gate) -> None:
    await gate.world.daemon.stores.holds.pause("effects", "audit", 0, now=1)
    for step in (START, SHUTDOWN, DESTROY):
        with pytest.raises(Paused, match="effects are paused"):
            await gate.allow(step)


async def test_a_held_machine_stays(gate: Gate) -> None:
    gate.want = replace(gate.want, held=True)
    await gate.refuses(Held, "held")


async def test_a_hold_that_comes_at_the_last_moment_counts(gate: Gate) -> None:
    lease = gate.want.key
    await gate.world.daemon.stores.holds.hold(lease, Hold.HOLD, "wait", 0, now=1)
    await gate.refuses(Held, "meanwhile")


async def test_without_the_finalized_views_permission_it_stays(gate: Gate) -> None:
    gate.want = replace(gate.want, retirement=None)
    await gate.refuses(Held, "not finally ended")


async def test_a_stale_source_destroys_nothing(gate: Gate) -> None:
    gate.facts = replace(gate.facts, source=replace(gate.facts.source, live=False))
    await gate.refuses(SourceBehind, "stale")


async def test_the_budget_counts_other_machines_and_not_a_second_try(gate: Gate) -> None:
    log = gate.world.daemon.stores.operations
    tried = await log.begin(gate.want.key, "destroy", 20000, "pve", gate.want.nonce)
    await log.finish(tried, "failed", "no")
    await gate.allow()
    other = await log.begin("another", "destroy", 20001, "pve", "cd" * 16)
    await log.finish(other, "ok")
    await gate.refuses(OverBudget, "1 machines were destroyed within the hour")
    gate.world.cluster.advance(HOUR + 1)
    await gate.allow()


async def test_a_renewal_that_only_latest_knows_stops_it(gate: Gate) -> None:
    gate.world.renew()
    await gate.refuses(ChainDisagrees, "shows it paid until")


async def test_what_was_read_while_the_chain_was_asked_stops_it(gate: Gate) -> None:
    assert gate.facts.lease is not None
    before = structs.replace(gate.facts.lease, ssh_key="ssh-ed25519 AAAA before")
    gate.facts = replace(gate.facts, lease=before)
    await gate.refuses(ChainDisagrees, "something new about the lease meanwhile")


async def test_a_token_that_is_gone_only_at_latest_stops_it(gate: Gate) -> None:
    gate.world.burn()
    await gate.refuses(ChainDisagrees, "gone at latest, but not in the finalized view")


async def test_a_token_that_exists_only_at_latest_stops_it(gate: Gate) -> None:
    gate.facts = replace(gate.facts, final=None)
    await gate.refuses(ChainDisagrees, "exists at latest, but not in the finalized view")


@pytest.mark.parametrize(
    "error",
    [
        RpcUnavailable("no route"),
        RpcError(-32000, "header not found"),
        RpcError(3, "execution reverted", "0x08c379a0"),
    ],
    ids=["unreachable", "error", "another revert"],
)
async def test_any_error_of_the_node_stops_it(gate: Gate, error: Exception) -> None:
    def answered(_method: str, _params: object, _result: object) -> object:
        raise error

    gate.endpoint.tamper = answered
    await gate.refuses(ChainDisagrees, "could not be asked once more")


@pytest.mark.parametrize("answer", [None, "0x", "0x12", [], {}, 7])
@pytest.mark.parametrize("method", ["eth_call", "eth_getBlockByNumber"])
async def test_any_answer_that_is_none_stops_it(gate: Gate, method: str, answer: object) -> None:
    gate.endpoint.tamper = lambda asked, _params, result: answer if asked == method else result
    await gate.refuses(ChainDisagrees, "could not be asked once more")


async def test_an_endpoint_behind_our_cursor_is_not_asked(gate: Gate) -> None:
    gate.world.chain.drop(3)
    await gate.refuses(ChainDisagrees, "could not be asked once more")


async def test_a_lease_that_is_no_longer_stored_stops_it(gate: Gate) -> None:
    gate.want = replace(gate.want, key="eip155:31337/erc721:0x" + "c0" * 20 + "/99")
    await gate.refuses(ChainDisagrees, "no longer stored")


async def test_nothing_is_done_for_a_source_that_is_catching_up_but_an_operators_order(
    gate: Gate,
) -> None:
    guards = gate.world.daemon.reconciler.guards
    behind = replace(gate.facts, source=replace(gate.facts.source, caught_up=False))
    with pytest.raises(SourceBehind, match="confirmed head"):
        await guards.admit(behind)
    await guards.admit(replace(behind, hold=Hold.SUSPEND))
    await guards.admit(gate.facts)
