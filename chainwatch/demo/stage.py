"""The stage: a chain, a cluster and a daemon, each a process of its own, and the people around.

Everything lives in one temporary folder and on ports that the kernel chose, so that any number of
stories can be told at once on one host. Whatever was set up is taken down again when the story is
over, however it ends.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from chainwatch.demo import anvil, cluster
from chainwatch.demo.buyer import LeaseContract, PlanOffer, issue_token, open_shop
from chainwatch.demo.cluster import Announcement, Cluster
from chainwatch.demo.deployed import Deployed
from chainwatch.demo.processes import Daemon

VMIDS: Final = range(20_000, 20_016)
STRANGER: Final = 20_001
DAY: Final = 86_400
HOUR: Final = 3_600
#: Slots in an epoch: finality follows twice as many blocks behind the head.
EPOCH: Final = 2
#: Virtual seconds of the hypervisor in a real one, and how many of them a clone takes.
SPEED: Final = 6.0
CLONE_SECONDS: Final = 9.0

SMALL: Final = PlanOffer("small", cores=2, memory_mib=2048, disk_gib=10, grace=DAY)
LARGE: Final = PlanOffer("large", cores=4, memory_mib=8192, disk_gib=40, grace=DAY)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with a wallet and an SSH key."""

    name: str
    account: str
    ssh_key: str


@dataclass(frozen=True, slots=True)
class Stage:
    """All that the story plays with; plan 1 costs native coin, plan 2 the ERC-20 `money`."""

    chain: anvil.Anvil
    shop: LeaseContract
    money: Deployed
    cluster: Cluster
    daemon: Daemon
    folder: Path
    alice: Person
    bob: Person
    carol: Person

    @property
    def socket(self) -> Path:
        """The daemon's status socket."""
        return self.folder / "admin.sock"

    @property
    def log(self) -> Path:
        """The daemon's log, over all its lives."""
        return self.folder / "daemon.log"

    @property
    def token(self) -> str:
        """Who the daemon is for the hypervisor."""
        return self.cluster.where.token_id

    def name(self, account: object) -> str:
        """Call an account by its person's name."""
        people = (self.alice, self.bob, self.carol)
        return next((p.name for p in people if p.account == account), str(account))

    def lease(self, token: int) -> str:
        """Return the public id of a lease: its CAIP-19 asset id."""
        return f"eip155:{anvil.CHAIN_ID}/erc721:{self.shop.address.lower()}/{token}"


@asynccontextmanager
async def set_up(folder: Path) -> AsyncIterator[Stage]:
    """Start the chain and the cluster, open the shop, and write the daemon's configuration.

    The daemon is not started yet; it is stopped with the rest when the block is left.
    """
    async with (
        anvil.running(epoch=EPOCH) as chain,
        cluster.running(folder / "proxmox", speed=SPEED, clone_seconds=CLONE_SECONDS) as machines,
    ):
        shop, money, people = await _open(chain)
        await machines.add_stranger(STRANGER, "made-by-hand")
        config = folder / "chainwatch.toml"
        await asyncio.to_thread(_configure, config, chain, shop.address, machines.where)
        daemon = Daemon(config, folder / "daemon.log")
        try:
            yield Stage(chain, shop, money, machines, daemon, folder, *people)
        finally:
            await daemon.stop()


async def _open(chain: anvil.Anvil) -> tuple[LeaseContract, Deployed, tuple[Person, ...]]:
    shop = await open_shop(chain)
    _, alice, bob, carol, *_ = await chain.accounts()
    money = await issue_token(chain, carol, 10**12)
    await shop.create_plan(SMALL)
    await shop.create_plan(_paid_in(LARGE, money.address))
    people = (("Alice", alice), ("Bob", bob), ("Carol", carol))
    return shop, money, tuple(Person(name, account, ssh_key(name)) for name, account in people)


def _paid_in(offer: PlanOffer, token: str) -> PlanOffer:
    return PlanOffer(
        offer.name,
        offer.kind,
        offer.cores,
        offer.memory_mib,
        offer.disk_gib,
        offer.grace,
        payment_token=token,
        price_per_second=100,
    )


def ssh_key(name: str) -> str:
    """Make a key pair, forget the private half, and return the public one."""
    public = Ed25519PrivateKey.generate().public_key()
    line = public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    return f"{line} {name.lower()}@example"


def _configure(path: Path, chain: anvil.Anvil, contract: str, proxmox: Announcement) -> None:
    secret = path.with_name("identity-key")
    secret.touch(mode=0o600)
    secret.write_text(secrets.token_urlsafe(32))
    path.write_text(_CONFIG.format(folder=path.parent, contract=contract, chain=chain, pve=proxmox))


_CONFIG: Final = f"""\
[installation]
id = "demo"
state_dir = "{{folder}}"
identity_key_file = "{{folder}}/identity-key"

[[source]]
name = "anvil"
chain_id = {anvil.CHAIN_ID}
contract = "{{contract}}"
start_block = 0
http = ["{{chain.url}}"]
ws = ["{{chain.ws_url}}"]
confirmations = 1
finality = "finalized"
poll_interval = 0.3
stale_after = 60.0

[proxmox]
url = "{{pve.url}}"
token_id = "{{pve.token_id}}"
token_file = "{{pve.token_file}}"
ca_file = "{{pve.ca_file}}"

[machines]
vmid_first = {VMIDS.start}
vmid_last = {VMIDS.stop - 1}
template_vms = [{{pve.template}}]
nameserver = "203.0.113.1"

[machines.ipv4]
first = "203.0.113.10/24"
gateway = "203.0.113.1"

[machines.ipv6]
first = "2001:db8::1000/64"
gateway = "2001:db8::1"

[policy]
tick = 0.2
resync_interval = 5.0

[admin]
socket = "{{folder}}/admin.sock"

[log]
level = "debug"
format = "json"
"""
