"""A configuration read is a configuration meant: literals of an 8.4.21, and any settings at all."""

import string
from dataclasses import replace
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioner.backends.proxmox.answers import Record
from provisioner.backends.proxmox.api import JsonValue
from provisioner.backends.proxmox.guestconfig import changes, parse
from provisioner.model import GuestSettings
from tests.support.pve import ALICE, WANTED

#: Recorded from an 8.4.21: a linked clone of a template with much to inherit.
INHERITED: dict[str, JsonValue] = {
    "agent": "1",
    "protection": 0,
    "ide2": "local:9444/vm-9444-cloudinit.qcow2,media=cdrom,size=4M",
    "net1": "virtio=BC:24:11:23:8D:EA,bridge=vmbr0",
    "name": "Copy-of-VM-src",
    "memory": "64",
    "smbios1": "base64=1,serial=UzE=,uuid=96f2f740-3b41-4310-aad8-c29ac62c5e8c",
    "startup": "order=3",
    "boot": "order=scsi0",
    "serial0": "socket",
    "digest": "6da464c32a74cbecf484bd953e0ea4ce48de7543",
    "net0": "virtio=BC:24:11:9B:57:02,bridge=vmbr0,firewall=1",
    "scsi1": "local:9440/base-9440-disk-1.raw/9444/vm-9444-disk-1.qcow2,serial=abc,size=1G",
    "onboot": 1,
    "ipconfig0": "ip=192.0.2.77/24",
    "vmgenid": "98391a26-721b-40e4-8180-8486cffd4f86",
    "ciuser": "u",
    "tags": "t1;t2",
    "scsi0": "local:9440/base-9440-disk-0.raw/9444/vm-9444-disk-0.qcow2,size=1G",
    "meta": "creation-qemu=7.2.22,ctime=1795368284",
    "description": "src desc",
    "cipassword": "**********",
}


def apply(raw: Record, params: dict[str, str]) -> dict[str, JsonValue]:
    """Return what Proxmox stores: deletions first, never a key that is set and deleted."""
    gone = set(params.get("delete", "").split(",")) - {""}
    assert not gone & set(params)
    assert gone <= set(raw), "deleting what is not there needs a privilege for nothing"
    stored = {key: value for key, value in raw.items() if key not in gone}
    return stored | {key: value for key, value in params.items() if key != "delete"}


def test_a_recorded_clone_is_read_as_it_stands() -> None:
    config = parse(INHERITED)
    assert config.settings == GuestSettings(
        name="Copy-of-VM-src",
        cores=1,
        memory_mib=64,
        bridge="vmbr0",
        mac="BC:24:11:9B:57:02",
        ipconfig="ip=192.0.2.77/24",
        nameserver="",
        user="u",
        ssh_keys="",
        uuid="96f2f740-3b41-4310-aad8-c29ac62c5e8c",
        tags=frozenset({"t1", "t2"}),
        onboot=True,
        protection=False,
        link_up=True,
        agent=True,
        leftovers=frozenset({"cipassword", "net1", "startup", "smbios1"}),
    )
    assert (config.disk, config.disk_gib) == ("scsi0", 1)
    assert (config.lock, config.template) == (None, False)
    assert config.description == "src desc"
    assert config.digest == "6da464c32a74cbecf484bd953e0ea4ce48de7543"


def test_a_recorded_clone_becomes_what_is_wanted_and_nothing_else_is_touched() -> None:
    params = changes(INHERITED, WANTED, "ours")
    assert params["delete"] == "cipassword,net1,startup"
    assert set(params) == {
        "cores",
        "ciuser",
        "delete",
        "description",
        "ipconfig0",
        "memory",
        "name",
        "nameserver",
        "net0",
        "smbios1",
        "sshkeys",
        "tags",
    }
    after = parse(apply(INHERITED, params))
    assert after.settings == WANTED
    assert changes(apply(INHERITED, params), WANTED, "ours") == {}


def test_the_window_of_a_clone_reads_as_a_locked_nothing() -> None:
    config = parse({"lock": "clone", "description": " qmclone temporary file", "digest": "d"})
    assert config.lock == "clone"
    assert config.disk is None
    assert config.disk_gib == 0
    assert (config.settings.cores, config.settings.memory_mib) == (1, 512)
    assert (config.settings.mac, config.settings.uuid, config.settings.bridge) == ("", "", "")
    assert not config.settings.leftovers


def test_keys_are_percent_encoded_once_for_the_form_to_encode_again() -> None:
    sent = changes({}, WANTED, "")["sshkeys"]
    assert set(sent) <= set(string.ascii_letters + string.digits + "%-._~")
    assert unquote(sent) == ALICE


@pytest.mark.parametrize(
    ("size", "gib"),
    [
        ("size=1500M", 1),
        ("size=10G", 10),
        ("size=2T", 2048),
        ("size=1049K", 0),
        ("size=10.5G", 10),
        ("size=4294967296", 4),
        ("serial=abc", 0),
    ],
)
def test_a_size_is_never_read_as_more_than_there_is(size: str, gib: int) -> None:
    assert parse({"boot": "order=scsi0", "scsi0": f"local:1/x.raw,{size}"}).disk_gib == gib


@pytest.mark.parametrize(
    ("raw", "disk"),
    [
        ({"boot": "order=ide2;virtio1;scsi0", "virtio1": "l:x", "scsi0": "l:y"}, "virtio1"),
        ({"boot": "order=ide2;scsi0", "ide2": "l:x,media=cdrom", "scsi0": "l:y"}, "scsi0"),
        ({"boot": "cdn", "bootdisk": "sata0", "sata0": "l:x", "ide0": "l:y"}, "sata0"),
        ({"boot": " ", "scsihw": "virtio-scsi-pci", "scsi3": "l:x"}, "scsi3"),
        ({"ide2": "l:x,media=cdrom", "net0": "virtio=BC:24:11:9B:57:02"}, None),
    ],
)
def test_the_disk_is_the_one_that_the_guest_boots_from(
    raw: dict[str, JsonValue], disk: str | None
) -> None:
    assert parse(raw).disk == disk


@pytest.mark.parametrize(
    "value", ["1", "enabled=1", "1,fstrim_cloned_disks=1", "type=isa,enabled=1"]
)
def test_an_agent_that_is_on_keeps_its_own_habits(value: str) -> None:
    raw: dict[str, JsonValue] = {"agent": value}
    assert parse(raw).settings.agent
    assert "agent" not in changes(raw, WANTED, "")


def test_an_agent_that_is_off_is_switched_on_with_its_habits() -> None:
    assert changes({"agent": "0,type=isa"}, WANTED, "")["agent"] == "1,type=isa"
    assert changes({"agent": "enabled=0,type=isa"}, WANTED, "")["agent"] == "1,type=isa"
    assert not parse({"agent": "enabled=0"}).settings.agent
    assert not parse({}).settings.agent


def test_a_snippet_that_is_not_ours_goes_and_ours_is_named() -> None:
    raw = apply({}, changes({}, WANTED, "ours")) | {"cicustom": "user=local:snippets/x.yml"}
    assert changes(raw, WANTED, "ours") == {"delete": "cicustom"}
    ours = replace(WANTED, cicustom="user=local:snippets/chainwatch-20000-0123456789abcdef.yaml")
    assert changes(raw, ours, "ours") == {"cicustom": ours.cicustom}
    assert parse(apply(raw, changes(raw, ours, "ours"))).settings == ours


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("cipassword", "**********"),
        ("args", "-no-hpet"),
        ("hookscript", "local:snippets/x.pl"),
        ("searchdomain", "example.test"),
        ("startup", "order=3"),
        ("sockets", 2),
        ("vcpus", 1),
        ("net1", "virtio=BC:24:11:23:8D:EA,bridge=vmbr0"),
        ("net12", "virtio=BC:24:11:23:8D:EA,bridge=vmbr0"),
        ("ipconfig7", "ip=192.0.2.1/24"),
        ("usb0", "host=1234:5678"),
        ("hostpci0", "0000:01:00.0"),
    ],
)
def test_a_foreign_key_is_a_leftover_and_goes(key: str, value: JsonValue) -> None:
    raw = apply({}, changes({}, WANTED, "ours")) | {key: value}
    assert parse(raw).settings == replace(WANTED, leftovers=frozenset({key}))
    assert changes(raw, WANTED, "ours") == {"delete": key}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("boot", "order=scsi0"),
        ("cpu", "host"),
        ("sockets", 1),
        ("scsi1", "local:1/data.raw,size=1G"),
        ("efidisk0", "local:1/efi.raw"),
        ("vga", "serial0"),
        ("serial0", "socket"),
        ("numa", 1),
        ("citype", "nocloud"),
        ("unused0", "local:1/old.raw"),
    ],
)
def test_what_the_template_gives_for_hardware_stays(key: str, value: JsonValue) -> None:
    raw = apply({}, changes({}, WANTED, "ours")) | {key: value}
    assert parse(raw).settings == WANTED
    assert changes(raw, WANTED, "ours") == {}


@pytest.mark.parametrize(
    ("net", "same"),
    [
        ("virtio=02:c4:a1:00:00:05,bridge=vmbr0,firewall=1", False),
        ("virtio=02:C4:A1:00:00:05,firewall=1,bridge=vmbr0,link_down=0", True),
        ("model=virtio,macaddr=02:C4:A1:00:00:05,bridge=vmbr0,firewall=1", False),
        ("virtio=02:C4:A1:00:00:05,bridge=vmbr0", False),
        ("virtio=02:C4:A1:00:00:05,bridge=vmbr0,firewall=1,tag=7", False),
        ("virtio=02:C4:A1:00:00:05,bridge=vmbr0,firewall=1,queues=4", True),
        ("e1000=02:C4:A1:00:00:05,bridge=vmbr0,firewall=1", False),
    ],
)
def test_a_net_is_written_when_it_differs_in_more_than_order(net: str, *, same: bool) -> None:
    raw = apply({}, changes({}, WANTED, "ours")) | {"net0": net}
    assert parse(raw).settings.mac == WANTED.mac
    params = changes(raw, WANTED, "ours")
    assert ("net0" not in params) is same
    assert parse(apply(raw, params)).settings == WANTED


words = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=8)
numbers = st.integers(0, 255)
macs = st.tuples(numbers, numbers, numbers).map(
    lambda tail: f"02:C4:A1:{tail[0]:02X}:{tail[1]:02X}:{tail[2]:02X}"
)
settings = st.builds(
    GuestSettings,
    name=words,
    cores=st.integers(1, 128),
    memory_mib=st.integers(16, 2**20),
    bridge=words,
    mac=macs,
    ipconfig=st.sampled_from(["", "ip=dhcp", "ip=192.0.2.9/24,gw=192.0.2.1,ip6=auto"]),
    nameserver=st.sampled_from(["", "192.0.2.53", "192.0.2.53 2001:db8::53"]),
    user=words,
    ssh_keys=st.text(st.characters(exclude_categories=["Cs"]), max_size=60),
    uuid=st.uuids().map(str),
    tags=st.frozensets(words, max_size=4),
    onboot=st.booleans(),
    protection=st.booleans(),
    link_up=st.booleans(),
    agent=st.booleans(),
    vlan=st.integers(0, 4094),
    trunks=st.sampled_from(["", "7", "7;9-11"]),
    rate=st.integers(0, 10_000_000).map(lambda thousandths: thousandths / 1000),
    cpu_limit=st.integers(0, 12_800).map(lambda hundredths: hundredths / 100),
)
descriptions = st.text(string.printable, max_size=60)


@given(before=settings, after=settings, first=descriptions, second=descriptions)
def test_any_settings_survive_the_way_there_and_back(
    before: GuestSettings, after: GuestSettings, first: str, second: str
) -> None:
    raw = apply(INHERITED, changes(INHERITED, before, first))
    assert parse(raw).settings == before
    assert parse(raw).description == first.rstrip()
    raw = apply(raw, changes(raw, after, second))
    assert parse(raw).settings == after
    assert parse(raw).description == second.rstrip()
    assert changes(raw, after, second) == {}
