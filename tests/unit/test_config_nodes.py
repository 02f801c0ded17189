"""What the configuration says of nodes over SSH, and what is said to who wrote it wrong."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import asyncssh
import pytest

from chainwatch.app.sites import sold
from chainwatch.config import Config, load
from chainwatch.errors import Fatal
from provisioner.guest.doors import doors

EXAMPLE = Path(__file__).parents[2] / "docs" / "reference" / "chainwatch.toml"
NODES_SSH = """
[nodes_ssh]
key_file = "{folder}/nodes.key"
known_hosts = ["pve1 192.0.2.11 {host_key}", "pve2 [2001:db8::12]:2222 {host_key}"]
"""
HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILXVTDnmZnHJcxufRx5YXYJizU9Ulj8Mkwgtjc8zTUx4"

Reading = Callable[..., Config]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("proxmox-token", "identity-key"):
        (tmp_path / name).touch(0o600)
        (tmp_path / name).write_text("c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3JldA")
    return tmp_path


@pytest.fixture
def reading(folder: Path) -> Reading:
    """The documented example, with texts replaced."""

    def read(*changes: tuple[str, str]) -> Config:
        text = EXAMPLE.read_text()
        for old, new in changes:
            assert old in text, f"the example does not hold {old!r}"
            text = text.replace(old, new)
        path = folder / "chainwatch.toml"
        path.write_text(text)
        return load(path, {"CREDENTIALS_DIRECTORY": str(folder)})

    return read


def secrets(folder: Path) -> list[tuple[str, str]]:
    """Name the files of secrets, for a process that has no credentials."""
    keys = (("identity_key_file", "identity-key"), ("token_file", "proxmox-token"))
    was = "/etc/chainwatch/credentials"
    return [(f'# {key} = "{was}/{name}"', f'{key} = "{folder}/{name}"') for key, name in keys]


@pytest.fixture
def nodes(folder: Path) -> str:
    """A table that reaches two nodes, and the key that it names."""
    key = folder / "nodes.key"
    key.touch(0o600)
    key.write_bytes(asyncssh.generate_private_key("ssh-ed25519").export_private_key())
    return NODES_SSH.format(folder=folder, host_key=HOST_KEY)


def test_nodes_are_reached_over_ssh_only_where_the_file_says_so(
    reading: Reading, nodes: str
) -> None:
    assert reading().nodes is None
    config = reading(("[admin]", f"{nodes}isolate = true\n[admin]")).nodes
    assert config is not None
    assert (config.user, config.port, config.isolate) == ("root", 22, True)
    found = doors(config.known_hosts, config.port)
    assert {name: (door.host, door.port) for name, door in found.items()} == {
        "pve1": ("192.0.2.11", 22),
        "pve2": ("2001:db8::12", 2222),
    }


def test_the_storage_of_snippets_is_looked_at_where_a_machine_reads_one(
    reading: Reading, nodes: str
) -> None:
    table = f'{nodes}snippet_storage = "shelf"\n'
    plan = '[[plans]]\nname = "x"\ncloud_init = "devbox"\n'
    assert sold(reading()).snippets is None
    assert sold(reading(("[admin]", f"{table}[admin]"))).snippets is None
    assert sold(reading(("[admin]", f"{table}{plan}[admin]"))).snippets == "shelf"


def test_systemd_may_provide_the_nodes_key(reading: Reading, nodes: str, folder: Path) -> None:
    (folder / "nodes.key").rename(folder / "node-key")
    table = "\n".join(line for line in nodes.splitlines() if not line.startswith("key_file"))
    assert reading(("[admin]", f"{table}\n[admin]")).nodes is not None


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (HOST_KEY, "ssh-ed25519 AAAA", "node pve1 without a host key"),
        ("192.0.2.11", "192.0.2.11/24", "whose address is none"),
        ("pve2 [", "pve1 [", "two addresses of node pve1"),
        ("pve1 192", "pve_1 192", "does not begin with a node's name"),
        (f" {HOST_KEY}", "", "is not NODE ADDRESS TYPE KEY"),
        ("nodes.key", "proxmox-token", "holds no private SSH key"),
        ("known_hosts", "isolate = 1.5\nknown_hosts", "isolate"),
    ],
)
def test_a_wrong_table_of_nodes_is_said_in_a_sentence(
    reading: Reading, nodes: str, old: str, new: str, said: str
) -> None:
    with pytest.raises(Fatal, match=re.escape(said)) as raised:
        reading(("[admin]", f"{nodes.replace(old, new)}[admin]"))
    assert "nodes_ssh." in str(raised.value)


def test_a_key_with_a_passphrase_is_refused_for_nobody_could_type_it(
    reading: Reading, nodes: str, folder: Path
) -> None:
    key = asyncssh.generate_private_key("ssh-ed25519")
    locked = key.export_private_key("pkcs8-pem", passphrase="secret")
    (folder / "nodes.key").write_bytes(locked)
    with pytest.raises(Fatal, match="no private SSH key without a passphrase"):
        reading(("[admin]", f"{nodes}[admin]"))


def test_what_needs_the_nodes_is_refused_without_them(reading: Reading, nodes: str) -> None:
    wanted = [
        ("template_vms = [9000]", 'template_vms = [9000]\ncloud_init = "devbox"'),
        ('first = "2001:db8::1000/64"', 'first = "2001:db8::1000/64"\nhost_routes = true'),
    ]
    with pytest.raises(Fatal) as raised:
        reading(*wanted)
    for key in ("machines.cloud_init", "machines.ipv6.host_routes"):
        assert f"{key}: needs the nodes over SSH" in str(raised.value)
    machines = reading(*wanted, ("[admin]", f"{nodes}[admin]")).machines
    assert (machines.cloud_init, machines.host_routes) == ("devbox", True)


PLANS: Final = """
[[plans]]
name = "small"
bridge = "vmbr1"
vlan = 42
cloud_init = "webserver"
ipv6 = { first = "2001:db8:7::10/64", gateway = "2001:db8:7::1", host_routes = true }
[[plans]]
name = "plain"
bridge = "vmbr2"
ipv6 = { first = "2001:db8:8::10/64", gateway = "2001:db8:8::1" }
[admin]"""


def test_what_plans_need_of_the_nodes_is_refused_without_them(reading: Reading, nodes: str) -> None:
    with pytest.raises(Fatal) as raised:
        reading(("[admin]", PLANS))
    for key in ("plans[0].cloud_init", "plans[0].ipv6.host_routes"):
        assert f"{key}: needs the nodes over SSH" in str(raised.value)
    config = reading(("[admin]", f"{nodes}{PLANS}"))
    terms = [rule.terms for rule in config.plans.rules]
    assert [(each.cloud_init, each.host_routes) for each in terms] == [
        ("webserver", True),
        (None, False),
    ]


def test_a_node_s_helper_is_told_of_the_bridges_and_routed_ranges_of_plans(
    reading: Reading, nodes: str, folder: Path
) -> None:
    reading(("[admin]", f"{nodes}{PLANS}"), *secrets(folder))
    where = ("--config", folder / "chainwatch.toml")
    lines = printed("authorize", "--only", "config", *where).stdout.splitlines()
    assert "bridges = vmbr0 vmbr1 vmbr2 vmbr1.42" in lines
    assert "ipv6_prefix = 2001:db8::/64 2001:db8:7::/64" in lines


def test_an_unknown_template_is_answered_with_those_that_exist(reading: Reading) -> None:
    wanted = ("template_vms = [9000]", 'template_vms = [9000]\ncloud_init = "../x"')
    with pytest.raises(Fatal, match="is none of base, devbox, nft-auth, webserver"):
        reading(wanted)


def test_only_switches_are_true_or_false(reading: Reading) -> None:
    with pytest.raises(Fatal, match="which this key is not"):
        reading(("template_vms = [9000]", "template_vms = [9000]\nshutdown_timeout = true"))


# ------------------------------------------------------------------------------ what is printed


def printed(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "chainwatch", "node", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_what_goes_onto_a_node_is_printed_whole_or_one_by_one(
    reading: Reading, nodes: str, folder: Path
) -> None:
    reading(("[admin]", f"{nodes}[admin]"), *secrets(folder))
    where = ("--config", folder / "chainwatch.toml")
    line = printed("authorize", "--only", "key", *where).stdout
    public = asyncssh.read_private_key(folder / "nodes.key").export_public_key().decode()
    assert line == (
        'command="/usr/local/sbin/chainwatch-node",restrict '
        f"{' '.join(public.split()[:2])} chainwatch\n"
    )
    config = printed("authorize", "--only", "config", *where).stdout
    assert config.splitlines()[1:] == [
        "vmid_first = 20000",
        "vmid_last = 20199",
        "snippets = /var/lib/vz/snippets",
        "bridges = vmbr0",
        "ipv6_prefix = 2001:db8::/64",
    ]
    both = printed("authorize", *where).stdout
    assert line in both
    assert config in both
    assert printed("authorize", "--only", "all", *where).returncode == 1


def test_the_helper_that_is_printed_is_the_one_that_is_tested() -> None:
    helper = Path(__file__).parents[2] / "templates" / "node" / "chainwatch-node"
    assert printed("helper").stdout == helper.read_text()


def test_without_the_table_there_is_nothing_to_authorize(reading: Reading, folder: Path) -> None:
    reading(*secrets(folder))
    said = printed("authorize", "--config", folder / "chainwatch.toml")
    assert (said.returncode, said.stdout) == (1, "")
    assert "[nodes_ssh]" in said.stderr
