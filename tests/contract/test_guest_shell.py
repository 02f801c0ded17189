"""What every way into a guest promises, on every transport there is."""

from dataclasses import replace

import pytest

from provisioner.errors import AgentSilent, Permanent, ProvisionError, Transient, UnknownOutcome
from provisioner.simulator.cluster import Cluster
from provisioner.simulator.faults import Fault, FaultName
from provisioner.simulator.guestos import Run
from provisioner.simulator.programs import PROGRAMS
from tests.support.pve import ALICE, BOB, NODE, VMID, WANTED, World

AGENT = f"/nodes/{NODE}/qemu/{VMID}/agent"


def admits(world: World, key: str) -> bool:
    return world.see(lambda cluster: cluster.admits(VMID, key))


async def test_a_guest_answers_once_it_has_booted_and_not_before(world: World) -> None:
    await world.configured()
    assert not await world.shell.answers(NODE, VMID)
    await world.ok(await world.hypervisor.start(NODE, VMID))
    world.hands.silence(VMID, silent=True)
    assert not await world.shell.answers(NODE, VMID)
    world.hands.silence(VMID, silent=False)
    world.hands.let_boot(VMID)
    assert await world.shell.answers(NODE, VMID)
    await world.ok(await world.hypervisor.shutdown(NODE, VMID, 30))
    assert not await world.shell.answers(NODE, VMID)


async def test_a_guest_without_a_configured_agent_is_silent(world: World) -> None:
    await world.booted(replace(WANTED, agent=False))
    assert not await world.shell.answers(NODE, VMID)
    with pytest.raises(AgentSilent):
        await world.shell.set_authorized_keys(NODE, VMID, "debian", BOB)
    with pytest.raises(AgentSilent):
        await world.shell.end_sessions(NODE, VMID, "debian")


async def test_after_a_handover_the_new_key_opens_the_machine_and_no_other_does(
    world: World,
) -> None:
    await world.booted()
    assert admits(world, ALICE)
    world.see(lambda cluster: leave_a_back_door(cluster, "root"))
    await world.shell.set_authorized_keys(NODE, VMID, "debian", BOB)
    assert not admits(world, ALICE)
    assert admits(world, BOB)


async def test_no_key_lets_nobody_in(world: World) -> None:
    await world.booted()
    world.see(lambda cluster: leave_a_back_door(cluster, "root"))
    await world.shell.set_authorized_keys(NODE, VMID, "debian", "")
    assert not admits(world, ALICE)


def leave_a_back_door(cluster: Cluster, user: str) -> None:
    """Put Alice's key where a seller would leave it."""
    home = "/root" if user == "root" else f"/home/{user}"
    cluster.guest(VMID).os.files[f"{home}/.ssh/authorized_keys"] = f"{ALICE}\n"


async def test_a_guest_that_has_not_made_its_user_yet_is_asked_again(world: World) -> None:
    await world.booted()
    with pytest.raises(Transient, match="No such file"):
        await world.shell.set_authorized_keys(NODE, VMID, "nobody-yet", BOB)
    await world.shell.set_authorized_keys(NODE, VMID, "nobody-yet", "")


@pytest.mark.parametrize("user", ["../root", "Debian", "a b", "", "-u", "root;reboot", "x" * 33])
async def test_what_is_no_user_name_reaches_neither_a_path_nor_a_command(
    world: World, user: str
) -> None:
    calls = world.calls()
    with pytest.raises(Permanent, match="user name"):
        await world.shell.set_authorized_keys(NODE, VMID, user, BOB)
    with pytest.raises(Permanent, match="user name"):
        await world.shell.end_sessions(NODE, VMID, user)
    assert world.calls() == calls


async def test_whoever_was_logged_in_is_thrown_out_and_nobody_is_fine_too(world: World) -> None:
    await world.booted()
    assert world.see(lambda cluster: cluster.log_in(VMID, ALICE))
    await world.shell.end_sessions(NODE, VMID, "debian")
    assert world.see(lambda cluster: cluster.inventory().guests[VMID].sessions) == ()
    await world.shell.end_sessions(NODE, VMID, "debian")


async def test_an_account_says_whose_it_is(world: World) -> None:
    await world.booted()
    said = f"wallet=0x{'b0' * 20},nft={2**256 - 1}"
    await world.shell.set_gecos(NODE, VMID, "debian", said)
    assert world.see(lambda cluster: cluster.guest(VMID).os.comments) == {"debian": said}
    with pytest.raises(Transient, match="exit code 6"):
        await world.shell.set_gecos(NODE, VMID, "stranger", said)


@pytest.mark.parametrize(
    "gecos", ["", "a:b", "a b", "a\nroot::0:0", "$(id)", "'", "ü", "x" * 257, "wallet=0x\x00"]
)
async def test_what_is_no_plain_text_gets_into_no_account(world: World, gecos: str) -> None:
    calls = world.calls()
    with pytest.raises(Permanent, match="no plain text"):
        await world.shell.set_gecos(NODE, VMID, "debian", gecos)
    assert world.calls() == calls


async def test_a_command_that_cannot_do_it_has_not_done_it(world: World) -> None:
    await world.booted()
    with pytest.raises(Transient, match="exit code 2"):
        await world.shell.end_sessions(NODE, VMID, "stranger")


async def test_a_command_that_does_not_end_is_no_success(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.booted()
    monkeypatch.setitem(PROGRAMS, "pkill", lambda *_: Run(seconds=600))
    with pytest.raises(Transient, match="did not end within 10 s"):
        await world.shell.end_sessions(NODE, VMID, "debian")


async def test_a_lost_reply_to_a_change_of_keys_may_have_changed_them(world: World) -> None:
    await world.booted()
    world.arm(Fault(FaultName.LOSE_REPLY, "POST", f"{AGENT}/file-write"))
    with pytest.raises(UnknownOutcome):
        await world.shell.set_authorized_keys(NODE, VMID, "debian", BOB)
    assert admits(world, BOB)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("VM 10000 qmp command 'guest-file-open' failed - client closed connection", AgentSilent),
        ("VM 10000 qmp command 'guest-file-open' failed - got timeout", AgentSilent),
        ("Agent error: failed to open file '/x' (mode: 'wb'): Read-only file system", Transient),
        ("Agent error: " + "hostile " * 10_000, Transient),
    ],
    ids=["closed", "timeout", "refused", "verbose"],
)
async def test_what_a_guest_says_is_bounded_and_decides_little(
    world: World, words: str, error: type[ProvisionError]
) -> None:
    await world.booted()
    world.arm(Fault(FaultName.REFUSE, "POST", f"{AGENT}/file-write", text=words[:7000]))
    with pytest.raises(error) as raised:
        await world.shell.set_authorized_keys(NODE, VMID, "debian", BOB)
    assert len(str(raised.value)) < 1000


async def test_a_guests_host_keys_are_read_and_one_that_has_none_tells_none(world: World) -> None:
    await world.booted()
    assert await world.shell.host_keys(NODE, VMID) == ()
    path = "/etc/ssh/ssh_host_ed25519_key.pub"
    world.see(lambda cluster: cluster.guest(VMID).os.files.update({path: f"{ALICE} root@guest\n"}))
    assert await world.shell.host_keys(NODE, VMID) == (" ".join(ALICE.split()[:2]),)
