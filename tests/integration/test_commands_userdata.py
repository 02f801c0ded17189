"""User-data of one's own: put on the machine's node, kept for its life, and gone with it."""

import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Final

import asyncssh
import pytest
import yaml

from provisioner import faultpoints
from provisioner.errors import Declined, Permanent, ProvisionError
from provisioner.guest.connection import Connections
from provisioner.guest.doors import Login, doors, public_half
from provisioner.guest.node import HelperShell
from provisioner.identity import uuid_of
from provisioner.model import Kind
from provisioner.names import key_of
from provisioner.placement import Limits as Placement
from provisioner.simulator.faults import Fault, FaultName
from provisioner.simulator.guests import Power
from provisioner.simulator.ssh.server import SshFront
from provisioner.verbs.create import create, mock, plan
from provisioner.verbs.destroy import destroy
from provisioner.verbs.gc import Phase, collect
from provisioner.verbs.order import Gecos, Order, hardware
from provisioner.verbs.power import kill, start
from provisioner.verbs.resume import resume
from provisioner.verbs.throttle import Limits, throttle
from tests.support.cli import DAY, WALLET, Yard, crashing, order, reached_yard, yard
from tests.support.realm import Crash
from tests.support.simulated import KEY

BOTH: Final = frozenset(Phase)
NOBODY: Final = Login("root", b"", {})
OWN: Final = f"""#cloud-config
users:
  - name: admin
    ssh_authorized_keys: ["{KEY}"]
packages: [qemu-guest-agent]
"""


def snippets(it: Yard) -> dict[tuple[str, str], bytes]:
    systems = it.cluster.state.systems.items()
    return {(node, name): text for node, each in systems for name, text in each.snippets.items()}


async def sweep(it: Yard) -> None:
    came_to = await collect(it.shop(), execute=True, phases=BOTH)
    assert came_to.failures == []


@pytest.fixture(autouse=True)
async def disarmed() -> AsyncIterator[None]:
    yield
    faultpoints.arm(None)


# ------------------------------------------------------------------------------------ what is put


async def test_a_template_is_filled_in_and_lies_where_the_machine_stands() -> None:
    it = reached_yard(("pve1", "pve2"))
    await create(it.shop(), order("web_1", cloud_init="devbox", ssh_key=KEY, user="alice"))
    guest = it.guest()
    ((node, name),) = snippets(it)
    assert node == guest.node
    assert name.startswith(f"chainwatch-{guest.vmid}-")
    assert guest.config["cicustom"] == f"user=local:snippets/{name}"
    data = yaml.safe_load(snippets(it)[node, name])
    assert data["hostname"] == guest.config["name"]
    assert data["users"][0]["name"] == "alice"
    assert data["users"][0]["gecos"] == ""
    assert "tmux" in data["packages"]
    assert guest.os.account_of(KEY) == "alice"
    assert it.leaks() == []


async def test_what_its_maker_wrote_is_put_as_it_is() -> None:
    it = reached_yard()
    await create(it.shop(), order(user_data=OWN))
    assert list(snippets(it).values()) == [OWN.encode()]
    assert it.guest().os.account_of(KEY) == "admin"


async def test_a_wallet_s_login_names_this_machine_and_no_other() -> None:
    it = reached_yard()
    asked = order(cloud_init="nft-auth", nft=7, gecos=Gecos(WALLET, 7, "admin"))
    made = await create(it.shop(), asked)
    (text,) = snippets(it).values()
    data = yaml.safe_load(text)
    assert data["users"][0]["gecos"] == f"wallet={WALLET},nft=7"
    found = await it.shop().existing("web")
    assert f"{key_of('web')}#{uuid_of(found.identity)}" in str(data["write_files"])
    assert f"https://{made.ip}:8443" in str(data["write_files"])
    assert it.guest().os.comments == {"admin": f"wallet={WALLET},nft=7"}


async def test_over_ssh_it_comes_and_goes_through_the_node_s_own_server() -> None:
    it = reached_yard(("pve1", "pve2"))
    key = asyncssh.generate_private_key("ssh-ed25519").export_private_key()
    async with SshFront(it.cluster, [public_half(key)]) as front:
        login = Login("root", key, doors(front.known_hosts(), 22))
        ways = Connections(login)
        try:
            it.settings, it.nodes = replace(it.settings, nodes=login), HelperShell(ways)
            await create(it.shop(), order(cloud_init="webserver", ssh_key=KEY))
            ((node, _),) = snippets(it)
            assert (node, it.guest().power) == (it.guest().node, Power.RUNNING)
            await destroy(it.shop(), "web")
        finally:
            ways.close()
    assert snippets(it) == {}
    assert front.connections >= 1


# --------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("more", [{"cloud_init": "base"}, {"user_data": OWN}], ids=["ours", "own"])
async def test_without_a_way_onto_the_nodes_nothing_is_made(more: dict[str, object]) -> None:
    it = yard()
    for verb in (plan, create):
        with pytest.raises(Declined, match=r"write \[nodes_ssh\]"):
            await verb(it.shop(), order(**more))  # type: ignore[arg-type]  # a test names the fields of Order
    assert not it.cluster.inventory().calls
    assert mock(it.shop(), order(**more)).name == "web"  # type: ignore[arg-type]  # as above


async def test_a_machine_with_user_data_stands_only_where_it_can_be_put() -> None:
    it = reached_yard(("pve1", "pve2", "pve3"), reached=("pve2",))
    with pytest.raises(Declined, match=r"no node of pve1: .*known_hosts"):
        await create(it.shop(), order(cloud_init="base", node="pve1"))
    meant = it.settings
    for limits, nodes in ((Placement(frozenset({"pve3"})), meant.nodes), (meant.limits, NOBODY)):
        it.settings = replace(meant, limits=limits, nodes=nodes)
        with pytest.raises(Declined, match="known_hosts"):
            await create(it.shop(), order(cloud_init="base"))
    assert it.guests() == {}
    it.settings = meant
    await create(it.shop(), order(cloud_init="base"))
    assert it.guest().node == "pve2"
    assert it.leaks() == []


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"cloud_init": "nothing"}, "there is no cloud-init template"),
        ({"cloud_init": "../base"}, "there is no cloud-init template"),
        ({"cloud_init": "nft-auth"}, "--nft-token-id"),
        ({"cloud_init": "base", "user_data": OWN}, "not both"),
        ({"user_data": OWN, "ssh_key": KEY}, "--ssh-key"),
        ({"cloud_init": "base", "spec": hardware(1, 512, 8, Kind.CONTAINER)}, "no cloud-init"),
    ],
)
def test_what_could_not_be_meant_is_refused(more: dict[str, object], said: str) -> None:
    with pytest.raises(Declined, match=said):
        order(**more)  # type: ignore[arg-type]  # a test names the fields of Order


def bomb() -> str:
    """Return a few hundred characters that stand for a billion."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    return "#cloud-config\n" + "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    "text",
    [
        bomb(),
        "#cloud-config\n" + "[" * 50_000,
        "#cloud-config\na: " + "{b: " * 40 + "1" + "}" * 40 + "\n",
        "#cloud-config\nruncmd: !!python/object/apply:os.system [id]\n",
        "#cloud-config\n- a\n",
        "#cloud-config\n",
        "#cloud-config\na: 1\n---\nb: 2\n",
        "#cloud-config\na: [1\n",
        "#cloud-config\na: \x1b[2J\n",
        "#cloud-config\na: \x00\n",
        "#cloud-config\na: 2026-99-99\n",
        "#cloud-config\na: \ud800\n",
        f"#cloud-config\na: {'1' * 5000}\n",
        "#cloud-config\na: " + "x" * 70_000,
        "#!/bin/sh\nid\n",
        "## template: jinja\n#cloud-config\na: 1\n",
        "\ufeff#cloud-config\na: 1\n",
        "a: 1\n",
    ],
    ids=range(18),
)
def test_what_is_no_plain_cloud_config_goes_nowhere(text: str) -> None:
    with pytest.raises(Declined) as refused:
        order(user_data=text)
    assert len(str(refused.value)) < 400
    assert str(refused.value).isprintable()


async def test_a_key_that_no_user_data_takes_is_refused_before_anything_is_made() -> None:
    it = reached_yard()
    parts = (b"ssh-rsa", b"\1\0\1", b"\1" * 1000)
    data = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    key = f"ssh-rsa {base64.b64encode(data).decode()}"
    with pytest.raises(Permanent, match="is no SSH key"):
        await create(it.shop(), order(cloud_init="base", ssh_key=key))
    assert it.guests() == {}


# ----------------------------------------------------------------------------- for a machine's life


async def test_it_stays_through_everything_that_is_done_to_the_machine() -> None:
    it = reached_yard()
    await create(it.shop(), order(cloud_init="base", ssh_key=KEY))
    guest, there = it.guest(), snippets(it)
    named = guest.config["cicustom"]
    await create(it.shop(), order(ssh_key=KEY))  # who says it again need not say that
    await throttle(it.shop(), "web", Limits(cpu_quota=50))
    await kill(it.shop(), "web")
    await start(it.shop(), "web")
    it.cluster.advance(31 * DAY)
    await sweep(it)
    assert it.guest().power is Power.STOPPED
    await resume(it.shop(), "web", extend_days=10)
    assert it.guest().power is Power.RUNNING
    assert (guest.config["cicustom"], snippets(it)) == (named, there)
    assert it.leaks() == []


async def test_it_goes_with_its_machine() -> None:
    it = reached_yard()
    for name in ("web", "db"):
        await create(it.shop(), order(name, user_data=OWN))
    await destroy(it.shop(), "web")
    assert len(snippets(it)) == 1
    await destroy(it.shop(), "db")
    assert snippets(it) == {}


async def test_a_collected_machine_leaves_none_and_a_dry_run_says_what_would_go() -> None:
    it = reached_yard(("pve1", "pve2"))
    await create(it.shop(), order(cloud_init="base"))
    left = f"chainwatch-{it.settings.site.pool.last}-0123456789abcdef.yaml"
    it.cluster.state.systems["pve2"].snippets[left] = b"left behind"
    told = await collect(it.shop(), execute=False, phases=BOTH)
    assert [str(each) for each in told.leftovers] == [f"drop snippet {left} on pve2"]
    assert len(snippets(it)) == 2
    await sweep(it)
    assert len(snippets(it)) == 1
    for days in (31, 8):
        it.cluster.advance(days * DAY)
        await sweep(it)
    assert it.guests() == {}
    assert it.leaks() == []


async def test_who_has_the_vmid_of_a_machine_that_is_gone_does_not_keep_its_user_data() -> None:
    it = reached_yard(("pve1", "pve2"))
    await create(it.shop(), order(cloud_init="base"))
    (vmid,) = it.guests()
    kept, node = snippets(it), it.guest().node
    it.cluster.remove_guest(vmid)
    it.cluster.add_guest(vmid, node=node)
    await destroy(it.shop(), "web")  # it does not read what others have
    assert snippets(it) == kept
    await sweep(it)
    assert snippets(it) == {}
    assert it.cluster.inventory().foreign_touched == {}


async def test_a_machine_that_was_moved_keeps_the_last_of_its_user_data_until_it_has_it_anew() -> (
    None
):
    it = reached_yard(("pve1", "pve2"))
    await create(it.shop(), order(cloud_init="base"))
    ((here, name),) = snippets(it)
    there = next(node for node in ("pve1", "pve2") if node != here)
    it.guest().node = there
    await sweep(it)
    assert snippets(it).keys() == {(here, name)}
    systems = it.cluster.state.systems
    systems[there].snippets[name] = systems[here].snippets[name]  # somebody takes it along
    await sweep(it)
    assert snippets(it).keys() == {(there, name)}


async def test_an_unfinished_machine_is_finished_with_what_is_asked_now() -> None:
    it = reached_yard()
    faultpoints.arm(crashing("hypervisor.start.before"))
    with pytest.raises(Crash):
        await create(it.shop(), order(cloud_init="devbox"))
    faultpoints.arm(None)
    await create(it.shop(), order(user_data=OWN))
    assert list(snippets(it).values()) == [OWN.encode()]
    assert it.guest().os.account_of(KEY) == "admin"


async def test_a_node_that_is_away_is_told_and_its_snippets_are_dropped_later() -> None:
    it = reached_yard()
    await create(it.shop(), order(cloud_init="base"))
    fault = Fault(FaultName.REFUSE, "SSH", "/pve/snippets", status=73, text="no", lasting=True)
    it.cluster.arm(fault)
    with pytest.raises(ProvisionError, match="run the same command again"):
        await destroy(it.shop(60), "web")
    assert it.guests() == {}
    assert len(snippets(it)) == 1
    told = await collect(it.shop(), execute=True, phases=BOTH)
    assert len(told.failures) == 1
    it.cluster.state.faults.clear()
    await destroy(it.shop(), "web")
    assert snippets(it) == {}


async def test_without_its_way_a_machine_is_destroyed_and_what_stays_is_told() -> None:
    it = reached_yard()
    await create(it.shop(), order(cloud_init="base"))
    it.nodes = None
    await destroy(it.shop(), "web")
    assert any("stays on its node" in said for said in it.said)


# ------------------------------------------------------------------------------------ died anywhere


async def _life(it: Yard, asked: Order) -> None:
    await create(it.shop(), asked)
    await destroy(it.shop(), "web")


async def _passes(it: Yard, asked: Order) -> dict[str, int]:
    counted = dict[str, int]()

    def count(point: str) -> None:
        counted[point] = counted.get(point, 0) + 1

    faultpoints.arm(count)
    await _life(it, asked)
    faultpoints.arm(None)
    return counted


async def test_who_died_anywhere_is_followed_by_one_machine_with_its_snippet_or_by_neither() -> (
    None
):
    asked = order(cloud_init="nft-auth", nft=7, gecos=Gecos(WALLET, 7, "admin"))
    counted = await _passes(reached_yard(), asked)
    assert {"node.put_snippet.after", "node.drop_snippet.before"} <= counted.keys()
    died, meant = 0, sum(min(times, 4) for times in counted.values())
    for point, times in counted.items():
        for nth in range(1, min(times, 4) + 1):
            it = reached_yard()
            faultpoints.arm(crashing(point, nth))
            made = False
            try:
                await create(it.shop(), asked)
                made = True
                await destroy(it.shop(), "web")
            except Crash:
                died += 1
            faultpoints.arm(None)
            where = f"died at {point}, time {nth}: {it.said[-8:]}"
            if not made:
                await create(it.shop(), asked)
                assert it.guest().power is Power.RUNNING, where
                assert len(snippets(it)) == 1, where
            await destroy(it.shop(), "web")
            assert it.leaks() == [], where
            assert snippets(it) == {}, where
    assert died == meant


async def test_what_died_and_was_never_taken_up_again_is_collected_whole() -> None:
    asked = order(cloud_init="base", ssh_key=KEY)
    for point in await _passes(reached_yard(), asked):
        it = reached_yard()
        faultpoints.arm(crashing(point))
        with pytest.raises(Crash):
            await _life(it, asked)
        faultpoints.arm(None)
        for days in (1, 31, 8):
            it.cluster.advance(days * DAY)
            await sweep(it)
        assert it.guests() == {}, point
        assert it.leaks() == [], point
        assert snippets(it) == {}, point
