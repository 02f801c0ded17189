"""A request that Proxmox would not understand is seen, whatever is wrong and whoever sent it."""

import asyncio
from pathlib import Path

import pytest

from chainwatch.demo import cluster
from tests.support import manners
from tests.support.pve_schema import SchemaViolation

CONFIG = "/nodes/pve/qemu/20001/config"
GOOD = {
    "name": "lease-1",
    "net0": "virtio=02:00:00:00:00:01,bridge=vmbr0,firewall=1,link_down=0",
    "agent": "enabled=1,fstrim_cloned_disks=1",
    "ipconfig0": "ip=198.51.100.7/24,gw=198.51.100.1,ip6=2001:db8::7/64,gw6=2001:db8::1",
    "smbios1": "uuid=6f9619ff-4c1b-5e0a-9b1c-2f1d3a5b7c90",
    "boot": "order=scsi0;net0",
    "sshkeys": "ssh-ed25519%20AAAA%20a%40b%0A",
    "cicustom": "user=local:snippets/chainwatch-20001.yaml",
    "tags": "chainwatch;lease",
    "nameserver": "198.51.100.53 2001:db8::53",
    "scsi0": "thin:vm-20001-disk-0,mbps_rd=100,iops_wr=500",
}
BAD = [
    ("net0", "virtio,nonsense=1"),
    ("net0", "virtio=02:00:00:00:00:01,bridge=;rm"),
    ("net0", "virtio=02:00:00:00:00"),
    ("net0", "virtio=02:00:00:00:00:01,e1000=02:00:00:00:00:02"),
    ("net0", "virtio=02:00:00:00:00:01,firewall=2"),
    ("agent", "maybe=7"),
    ("agent", "enabled=1,enabled=0"),
    ("ipconfig0", "ip=999.999.1.1/99"),
    ("ipconfig0", "ip=198.51.100.7"),
    ("ipconfig0", "ip=dhcp,netmask=24"),
    ("smbios1", "uuid=no"),
    ("boot", "order=scsi0,net0"),
    ("name", "not a name!!"),
    ("name", "-lease"),
    ("sshkeys", "ssh-ed25519 AAAA a@b"),
    ("cicustom", "user=chainwatch.yaml"),
    ("tags", "Lease One!"),
    ("nameserver", "198.51.100.53;$(reboot)"),
    ("scsi0", "thin:vm-20001-disk-0,iops_wr=many"),
    ("unheard_of", "1"),
    ("description", "x" * 8193),
]


@pytest.mark.parametrize(("name", "value"), GOOD.items())
def test_what_proxmox_understands_is_good_manners(name: str, value: str) -> None:
    manners.check_request("PUT", CONFIG, {name: value})


@pytest.mark.parametrize(("name", "value"), BAD)
def test_what_proxmox_does_not_understand_is_not(name: str, value: str) -> None:
    with pytest.raises(SchemaViolation):
        manners.check_request("PUT", CONFIG, {name: value})


def test_a_format_that_nobody_wrote_down_is_no_excuse() -> None:
    with pytest.raises(SchemaViolation, match="nobody wrote down"):
        manners.check_request("PUT", CONFIG, {"hostpci0": "0000:00:02.0"})


@pytest.mark.rude_requests
async def test_a_request_to_a_simulator_beside_us_is_seen_whoever_sends_it(tmp_path: Path) -> None:
    async with cluster.running(tmp_path / "pve", speed=1, clone_seconds=1) as pve:
        token = (await asyncio.to_thread(pve.where.token_file.read_text)).strip()
        headers = {"Authorization": f"PVEAPIToken={pve.where.token_id}={token}"}
        for query in ("", "?type=nonsense"):
            url = f"{pve.where.url}/api2/json/cluster/resources{query}"
            async with pve.session.get(url, headers=headers) as answer:
                await answer.read()
    (found,) = manners.taken()
    assert "nonsense" in found
