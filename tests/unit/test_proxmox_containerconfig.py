"""A container's configuration: what is written reads back equal, whatever it was before."""

from dataclasses import replace
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioner.backends.proxmox.answers import Record
from provisioner.backends.proxmox.containerconfig import changes, parse
from provisioner.model import GuestSettings, Kind

WANTED: Final = GuestSettings(
    name="lease-42",
    cores=2,
    memory_mib=2048,
    bridge="vmbr0",
    mac="02:C4:A1:00:00:05",
    ipconfig="ip=203.0.113.15/24,gw=203.0.113.1,ip6=2001:db8::15/64,gw6=2001:db8::1",
    nameserver="192.0.2.53 192.0.2.54",
    user="",
    ssh_keys="",
    uuid="",
    tags=frozenset({"chainwatch", "lease"}),
    onboot=True,
    protection=False,
    link_up=True,
    agent=False,
)
MADE: Final[Record] = {
    "arch": "amd64",
    "hostname": "lease-42",
    "description": "ours\n",
    "cores": 2,
    "memory": 2048,
    "swap": 512,
    "ostype": "debian",
    "rootfs": "local:20000/vm-20000-disk-0.raw,size=20G",
    "net0": "name=eth0,bridge=vmbr0,firewall=1,gw=203.0.113.1,gw6=2001:db8::1,"
    "hwaddr=02:C4:A1:00:00:05,ip=203.0.113.15/24,ip6=2001:db8::15/64,type=veth",
    "nameserver": "192.0.2.53 192.0.2.54",
    "tags": "chainwatch;lease",
    "onboot": 1,
    "unprivileged": 1,
    "features": "nesting=1",
    "digest": "d",
}


def written(raw: Record, settings: GuestSettings, description: str = "ours") -> Record:
    """Return what Proxmox shows after the changes were sent."""
    send = changes(raw, settings, description)
    gone = set(send.pop("delete", "").split(","))
    return {key: value for key, value in raw.items() if key not in gone} | send


def test_a_container_that_is_as_wanted_is_left_alone() -> None:
    assert changes(MADE, WANTED, "ours") == {}
    config = parse(MADE)
    assert config.settings == WANTED
    assert (config.kind, config.disk, config.disk_gib) == (Kind.CONTAINER, "rootfs", 20)
    assert (config.storage, config.description) == ("local", "ours")


@pytest.mark.parametrize(
    "added",
    [
        {"net1": "name=eth1,bridge=vmbr9,hwaddr=02:AA:00:00:00:01,type=veth"},
        {"mp0": "local:20000/vm-20000-disk-1.raw,mp=/srv,size=4G"},
        {"hookscript": "local:snippets/evil.sh"},
        {"searchdomain": "example.org"},
        {"cpulimit": "0.1"},
        {"net0": str(MADE["net0"]).replace("firewall=1,", "")},
        {"net0": str(MADE["net0"]).replace("name=eth0", "name=wan0")},
        {"net0": f"{MADE['net0']},host-managed=1"},
    ],
    ids=" ".join,
)
def test_what_somebody_added_is_seen_and_taken_away(added: dict[str, str]) -> None:
    raw = {**MADE, **added}
    assert parse(raw).settings != WANTED
    assert parse(written(raw, WANTED)).settings == WANTED


def test_a_card_has_the_vlan_and_limits_that_are_wanted_and_no_others() -> None:
    raw = {**MADE, "net0": f"{MADE['net0']},rate=12,tag=7,trunks=8;9,mtu=1400", "cpulimit": "2"}
    limited = replace(WANTED, rate=12, vlan=7, trunks="8;9", cpu_limit=2)
    assert parse(raw).settings == limited
    other = written(raw, replace(WANTED, vlan=42, rate=12.5, cpu_limit=1.5))
    net = set(str(other["net0"]).split(","))
    assert {"tag=42", "rate=12.5", "mtu=1400"} <= net
    assert not {"tag=7", "rate=12", "trunks=8;9"} & net
    assert other["cpulimit"] == "1.5"


labels = st.from_regex(r"[a-z][a-z0-9-]{0,20}[a-z0-9]", fullmatch=True)
settings = st.builds(
    replace,
    st.just(WANTED),
    name=labels,
    cores=st.integers(1, 64),
    memory_mib=st.integers(16, 1 << 20),
    vlan=st.integers(0, 4094),
    trunks=st.sampled_from(["", "7;9-11"]),
    rate=st.integers(0, 10_000_000).map(lambda thousandths: thousandths / 1000),
    cpu_limit=st.integers(0, 12_800).map(lambda hundredths: hundredths / 100),
    tags=st.frozensets(labels, max_size=3),
    onboot=st.booleans(),
    protection=st.booleans(),
    link_up=st.booleans(),
    ipconfig=st.sampled_from((WANTED.ipconfig, "ip=203.0.113.15/24,gw=203.0.113.1")),
    nameserver=st.sampled_from(("", "192.0.2.53")),
)


@given(settings, settings, st.text(max_size=200))
def test_whatever_is_written_reads_back_equal(
    before: GuestSettings, after: GuestSettings, description: str
) -> None:
    raw = written({**MADE}, before, description)
    assert parse(raw).settings == before
    assert parse(raw).description == description.rstrip()
    assert parse(written(raw, after, description)).settings == after
    assert changes(written(raw, after, description), after, description) == {}
