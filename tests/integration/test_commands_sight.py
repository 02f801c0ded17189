"""A command whose token does not see machines believes no list, and says what the token lacks."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

import pytest

from provisioner.errors import ProvisionError
from provisioner.simulator.faults import Struck
from provisioner.simulator.modes.rights import sight_gone
from provisioner.simulator.state import Grant
from provisioner.verbs.create import create
from provisioner.verbs.destroy import destroy
from provisioner.verbs.gc import Phase, collect
from provisioner.verbs.listing import listing
from provisioner.workshop import Workshop
from tests.support.cli import TOKEN, order, yard

SECONDS: Final = 20
NOBODY: Final = Struck("", "", "", 0, 0, "", "")
COMMANDS: Final[dict[str, Callable[[Workshop], Awaitable[object]]]] = {
    "create": lambda shop: create(shop, order()),
    "destroy": lambda shop: destroy(shop, "web"),
    "gc": lambda shop: collect(shop, execute=True, phases=frozenset(Phase)),
    "list": listing,
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("of_templates", [False, True])
async def test_a_machine_that_is_not_shown_is_not_taken_for_gone(
    command: str, *, of_templates: bool
) -> None:
    it = yard()
    await create(it.shop(), order())
    before = dict(it.guest().config)
    given_back = sight_gone(of_templates=of_templates)(it.cluster, NOBODY)
    with pytest.raises(ProvisionError, match="has the token lost its permissions"):
        await COMMANDS[command](it.shop(SECONDS))
    assert it.guest().config == before
    assert it.guest().running
    assert given_back is not None
    given_back()
    await COMMANDS[command](it.shop())


@pytest.mark.parametrize(
    ("grants", "whole"),
    [
        ([("/pool/leases", "VM.Audit")], True),
        ([("/vms", "VM.Audit")], True),
        ([("/", "VM.Audit")], True),
        ([("/pool/leases", "VM.Allocate"), ("/pool/others", "VM.Audit")], False),
        ([("/vms/9000", "VM.Audit")], False),
        ([], False),
    ],
)
async def test_sight_of_the_pool_or_of_all_guests_is_enough(
    grants: list[tuple[str, str]], *, whole: bool
) -> None:
    it = yard()
    it.cluster.add_pool("leases")
    it.settings = replace(it.settings, proxmox=replace(it.settings.proxmox, pool="leases"))
    it.cluster.default_token()
    token = it.cluster.state.tokens[TOKEN]
    token.everything = False
    shown = ("/vms/9000", "VM.Audit"), ("/", "Sys.Audit")  # so that the list itself is believed
    token.grants = tuple(Grant(path, frozenset({name})) for path, name in (*grants, *shown))
    if whole:
        assert await listing(it.shop(SECONDS)) == []
        return
    with pytest.raises(ProvisionError, match=r"no VM\.Audit on /pool/leases; `provisioner grant`"):
        await listing(it.shop(SECONDS))
