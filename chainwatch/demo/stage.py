"""The stage: a chain, a cluster and a daemon, each a process of its own, and the people around.

Everything lives in one temporary folder and on ports that the kernel chose, so that any number of
stories can be told at once on one host. Whatever was set up is taken down again when the story is
over, however it ends.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from chainwatch.chain.wallet.amounts import Money
from chainwatch.demo import anvil, cluster, terminal
from chainwatch.demo.blocks import Blocks
from chainwatch.demo.buyer import LeaseContract, PlanOffer, issue_token, open_shop
from chainwatch.demo.cluster import Announcement, Cluster
from chainwatch.demo.people import Person, born, password_file
from chainwatch.demo.processes import Daemon
from chainwatch.demo.sayings import Sayings
from chainwatch.demo.terminal import Terminal
from chainwatch.demo.till import Till

VMIDS: Final = range(20_000, 20_016)
STRANGER: Final = 20_001
DAY: Final = 86_400
HOUR: Final = 3_600
#: Slots in an epoch: finality follows twice as many blocks behind the head.
EPOCH: Final = 2
#: Virtual seconds of the hypervisor in a real one, and how many of them a clone takes.
SPEED: Final = 6.0
CLONE_SECONDS: Final = 9.0

#: Paid in an ERC-20 with six decimals, and in the chain's coin.
SMALL: Final = PlanOffer(
    "small", cores=2, memory_mib=2048, disk_gib=10, grace=DAY, price_per_second=100
)
LARGE: Final = PlanOffer(
    "large", cores=4, memory_mib=8192, disk_gib=40, grace=DAY, price_per_second=10**12
)
#: How much of the ERC-20 everybody has to begin with, in its smallest unit.
TOKENS: Final = 10 * 10**6
#: Where the operator lets his takings be sent: an account that nobody spends from.
BANK: Final = "0x" + "99" * 20
#: Who the cast is, in its order.
_NAMES: Final = ("Alice", "Bob", "Carol", "Dave", "Operator", "Hot")


@dataclass(frozen=True, slots=True)
class Cast:
    """The people: three who have machines, one who buys in vain, and those who sell.

    The operator takes out what was earned; `hot` is the daemon's own account.
    """

    alice: Person
    bob: Person
    carol: Person
    dave: Person
    operator: Person
    hot: Person

    @property
    def buyers(self) -> tuple[Person, ...]:
        """Who pays for leases."""
        return self.alice, self.bob, self.carol, self.dave

    def name(self, account: object) -> str:
        """Call an account by its person's name."""
        names = {person.account: person.name for person in self.buyers}
        names |= {self.operator.account: "the operator", self.hot.account: "the daemon"}
        return names.get(str(account), "the bank" if account == BANK else str(account))


@dataclass(frozen=True, slots=True)
class Stage:
    """All that the story plays with; plan 1 costs the ERC-20 of the till, plan 2 the coin."""

    chain: anvil.Anvil
    shop: LeaseContract
    till: Till
    blocks: Blocks
    cast: Cast
    cluster: Cluster
    terminal: Terminal
    daemon: Daemon
    folder: Path

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

    def lease(self, token: int) -> str:
        """Return the public id of a lease: its CAIP-19 asset id."""
        return f"eip155:{anvil.CHAIN_ID}/erc721:{self.shop.address.lower()}/{token}"


@asynccontextmanager
async def set_up(folder: Path) -> AsyncIterator[Stage]:
    """Start the chain, the cluster and a terminal, open the shop, and configure the daemon.

    The daemon is not started yet; it is stopped with the rest when the block is left.
    """
    async with (
        terminal.opened(folder) as typed_at,
        anvil.running(epoch=EPOCH) as chain,
        cluster.running(folder / "proxmox", speed=SPEED, clone_seconds=CLONE_SECONDS) as machines,
    ):
        people = [await born(chain, folder, name) for name in _NAMES]
        cast = Cast(*people)
        till = await _open(chain, cast)
        prices = {1: till.money, 2: Money()}
        height = (await chain.block()).number
        blocks = Blocks(chain, till.shop.deployed, Sayings(cast.name, prices), height)
        await machines.add_stranger(STRANGER, "made-by-hand")
        config = folder / "chainwatch.toml"
        await asyncio.to_thread(_configure, config, chain, till.shop.address, machines.where)
        daemon = Daemon(config, folder / "daemon.log")
        try:
            yield Stage(chain, till.shop, till, blocks, cast, machines, typed_at, daemon, folder)
        finally:
            await daemon.stop()


async def _open(chain: anvil.Anvil, cast: Cast) -> Till:
    """Open the shop, put two plans on sale, and give everybody some of the ERC-20."""
    shop = await open_shop(chain, provisioner=cast.hot.account, treasurer=cast.operator.account)
    issuer, *_ = await chain.accounts()
    token = await issue_token(chain, issuer, 10**12)
    for buyer in cast.buyers:
        await token.send("transfer", buyer.account, TOKENS, sender=issuer)
    await shop.create_plan(replace(SMALL, payment_token=token.address))
    await shop.create_plan(LARGE)
    return Till(chain, shop, token, Money(token.address, "TEST", 6))


def _configure(path: Path, chain: anvil.Anvil, contract: str, proxmox: Announcement) -> None:
    secret = path.with_name("identity-key")
    secret.touch(mode=0o600)
    secret.write_text(secrets.token_urlsafe(32))
    password_file(path.parent)
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

[sender]
keystore_file = "{{folder}}/hot.json"
password_file = "{{folder}}/password"

[[sender.chains]]
chain_id = {anvil.CHAIN_ID}
most_fee_gwei = 50.0

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
