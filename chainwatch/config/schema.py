"""Every key that a person may write, with its default, its meaning and an example.

Here, in `machines.py`, `nodes.py`, `sales.py` and `sender.py`, and nowhere else: the reference
(docs/reference/config.md) is held against them by a test, and a refused value is answered with the
example. Each table checks its own keys and whether they can go together; what is wrong is raised as
a ValueError that completes the sentence "KEY: …" and quotes nothing that may be a secret in the
wrong place.
"""

from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainValidator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from chainwatch.chain.addresses import parse_address
from chainwatch.config.machines import Machines
from chainwatch.config.nodes import NodesSsh
from chainwatch.config.plans import Plans, plan_problems
from chainwatch.config.policy import Policy
from chainwatch.config.sales import SourcePlan, SourceSale
from chainwatch.config.sender import Sender
from chainwatch.config.table import Problems, Table
from chainwatch.config.values import (
    absolute,
    ca_bundle,
    event_signature,
    http_url,
    identity_key,
    known_profile,
    local_address,
    not_empty,
    profile_problems,
    proxmox_url,
    tag_or_depth,
    token_secret,
    unix_path,
    websocket_url,
)
from chainwatch.credentials import Secret

DEFAULT_PROFILE: Final = "lease"

Folder = Annotated[Path, AfterValidator(absolute)]
HttpUrl = Annotated[str, AfterValidator(http_url)]
WebSocketUrl = Annotated[str, AfterValidator(websocket_url)]
EventSignature = Annotated[str, AfterValidator(event_signature)]


class Installation(Table):
    """Who this installation is."""

    id: str = Field(
        pattern=r"^[a-z0-9][a-z0-9-]{0,31}$",
        description="This installation's name, part of every machine's identity; never change it. "
        "Lower case letters, digits and dashes, 32 at most.",
        examples=["berlin-1"],
    )
    state_dir: Folder = Field(
        default=Path("/var/lib/chainwatch"),
        validate_default=True,
        description="Folder of the database.",
        examples=["/var/lib/chainwatch"],
    )
    identity_key_file: Annotated[Secret, PlainValidator(identity_key)] = Field(
        description="File with the secret that signs the machines' identities: at least 32 bytes "
        "of text, from `openssl rand -base64 32`. Not needed where systemd provides the "
        "credential `identity-key`. Losing it makes every machine a stranger's.",
        examples=["/etc/chainwatch/credentials/identity-key"],
    )


class Source(Table):
    """A contract on a chain, and where to read it."""

    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9-]{0,31}$",
        description="Its name in status, logs and metrics.",
        examples=["base"],
    )
    chain_id: int = Field(gt=0, description="The chain's EIP-155 id.", examples=[8453])
    contract: Annotated[str, AfterValidator(parse_address)] = Field(
        description="Address of the lease contract; in mixed case its checksum is verified.",
        examples=["0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"],
    )
    credential: Annotated[str, AfterValidator(parse_address)] | None = Field(
        default=None,
        description="Address of the contract whose tokens say who owns the leases of `contract` "
        "(profile `blockhost`, which needs it).",
        examples=["0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"],
    )
    profile: Annotated[str, AfterValidator(known_profile)] = Field(
        default=DEFAULT_PROFILE,
        description="How the contract's logs are read: `lease` for the contract of this project, "
        "`erc5643` for any other ERC-721 with subscriptions, `unlock` for a lock of Unlock "
        "Protocol; these two need `[source.plan]`. `blockhost` is for hosting subscriptions whose "
        "owners hold a credential; it needs `credential` and `[[source.sells]]`.",
        examples=["lease"],
    )
    start_block: int = Field(
        ge=0,
        description="Block in which the contract was created, or an earlier one.",
        examples=[21000000],
    )
    http: Annotated[tuple[HttpUrl, ...], AfterValidator(not_empty)] = Field(
        description="JSON-RPC endpoints, the preferred one first. With two, what is final and "
        "every destroy is confirmed by both. Keys in them never reach a log.",
        examples=[["https://rpc.example.net/v1/KEY", "https://rpc.example.org"]],
    )
    ws: tuple[WebSocketUrl, ...] = Field(
        default=(),
        description="WebSocket endpoints that announce new blocks sooner than polling finds them.",
        examples=[["wss://rpc.example.net/v1/KEY"]],
    )
    confirmations: int = Field(
        default=2,
        ge=0,
        description="Blocks that must follow one before anything reversible is done about it.",
        examples=[2],
    )
    finality: Annotated[Literal["finalized", "safe"] | int, BeforeValidator(tag_or_depth)] = Field(
        default="finalized",
        description="What allows the irreversible: the chain's tag `finalized` or `safe`, or a "
        "number of blocks on chains without tags.",
        examples=["finalized"],
    )
    poll_interval: float = Field(
        default=2.0, gt=0, description="Seconds between looks at the head.", examples=[2.0]
    )
    stale_after: float = Field(
        default=120.0,
        gt=0,
        description="Seconds without a new block after which an alarm is raised, and nothing is "
        "taken away from the source's leases until its chain goes on.",
        examples=[120.0],
    )
    max_range: int = Field(
        default=2000,
        gt=0,
        description="Most blocks asked for in one `eth_getLogs`; lowered by itself where the "
        "endpoint wants less.",
        examples=[2000],
    )
    timeout: float = Field(
        default=10.0, gt=0, description="Seconds that one request may take.", examples=[10.0]
    )
    verify: Literal["off", "bloom", "receipts"] = Field(
        default="bloom",
        description="How logs are held against their block's header: `bloom` asks for receipts "
        "where the header's bloom admits logs and none came; `receipts` proves every block with "
        "logs by its receipts (slower, and no log can be left out); `off` is for chains whose "
        "blooms are broken (Avalanche, Polygon, Cronos).",
        examples=["receipts"],
    )
    requests_per_second: float | None = Field(
        default=None,
        gt=0,
        description="Most calls a second to each of the `http` endpoints, every call of a batch "
        "counted, as providers count; sources that share an address share its lowest; as many as "
        "it takes where it is left out.",
        examples=[25.0],
    )
    ignore_events: tuple[EventSignature, ...] = Field(
        default=(),
        description="Events of the contract that are known and mean nothing here (profiles "
        "`erc5643`, `unlock` and `blockhost`); any other that the profile does not read raises an "
        "alarm.",
        examples=[["MetadataUpdate(uint256)"]],
    )
    plan: SourcePlan | None = None
    sells: tuple[SourceSale, ...] = ()

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        found = []
        if isinstance(self.finality, int) and self.finality < self.confirmations:
            found.append(("finality", "is less than confirmations; write a greater depth"))
        if self.stale_after <= self.poll_interval:
            found.append(("stale_after", "is not more than poll_interval; write several times it"))
        written = self.plan or self.sells or self.ignore_events or self.credential
        if self.profile != DEFAULT_PROFILE or written:
            found += profile_problems(
                self.profile,
                has_plan=self.plan is not None,
                sold=tuple(each.number for each in self.sells),
                has_credential=self.credential is not None,
                ignored=self.ignore_events,
            )
        if self.credential == self.contract:
            found.append(("credential", "is the contract itself; write that of the credentials"))
        if found:
            raise Problems(found)
        return self


class Proxmox(Table):
    """The cluster, and who we are there."""

    url: Annotated[str, AfterValidator(proxmox_url)] = Field(
        description="The API of the cluster: https, host and port.",
        examples=["https://pve.example.net:8006"],
    )
    token_id: str = Field(
        pattern=r"^[^\s@!=/]+@[^\s@!=/]+![^\s@!=/]+$",
        description="Name of the API token: user, realm and token name.",
        examples=["chainwatch@pve!daemon"],
    )
    token_file: Annotated[Secret, PlainValidator(token_secret)] = Field(
        description="File with the API token's secret (a UUID). Not needed where systemd provides "
        "the credential `proxmox-token`.",
        examples=["/etc/chainwatch/credentials/proxmox-token"],
    )
    ca_file: Annotated[Path, AfterValidator(ca_bundle)] | None = Field(
        default=None,
        description="PEM file with the certificates to verify the API against (on a node: "
        "`/etc/pve/pve-root-ca.pem`); the system's otherwise. It is always verified.",
        examples=["/etc/chainwatch/pve-root-ca.pem"],
    )
    pool: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z][A-Za-z0-9._-]*$",
        description="Resource pool that new machines join.",
        examples=["leases"],
    )
    timeout: float = Field(
        default=35.0,
        gt=0,
        description="Seconds that one API call may take; the API's own limit is 30, so stay above.",
        examples=[35.0],
    )
    clones_per_storage: int = Field(
        default=2, gt=0, description="Clones that may run at once on one storage.", examples=[2]
    )
    nodes: tuple[
        Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$")], ...
    ] = Field(
        default=(),
        description="Nodes that get new machines; every node of the cluster where it is empty.",
        examples=[["pve1", "pve2"]],
    )
    memory_overcommit: float = Field(
        default=1.0,
        gt=0,
        description="How much of a node's memory may be sold: 1.0 all of it, 0.9 leaves a tenth "
        "to the node, 1.5 sells half of it twice. Suspended machines count.",
        examples=[0.9],
    )
    storage_reserve_gib: int = Field(
        default=10,
        ge=0,
        description="GiB that stay free on every storage: a machine is made where its whole disk "
        "would still fit in besides.",
        examples=[50],
    )
    storage_overcommit: float = Field(
        default=0.0,
        ge=0,
        description="How much of a storage may be sold, every disk on it at its full size: 1.0 all "
        "of it, 2.0 all of it twice; 0 sets no limit. At 1.0 no disk that was sold can find it "
        "full.",
        examples=[2.0],
    )
    threads: int = Field(
        default=8, gt=0, le=64, description="API calls that may run at once.", examples=[8]
    )


class Admin(Table):
    """Who may look, and who may change things."""

    socket: Annotated[Path, AfterValidator(unix_path)] = Field(
        default=Path("/run/chainwatch/admin.sock"),
        validate_default=True,
        description="The status socket.",
        examples=["/run/chainwatch/admin.sock"],
    )
    read_group: str = Field(
        default="",
        description="Group that may read; empty: the socket's own group.",
        examples=["chainwatch"],
    )
    admin_group: str = Field(
        default="",
        description="Group that may change things, besides root; empty: nobody else.",
        examples=["chainwatch-admin"],
    )
    metrics_listen: Annotated[str, AfterValidator(local_address)] = Field(
        default="",
        description="Loopback address and port for `/metrics`, `/healthz` and `/readyz` over TCP; "
        "empty: on the socket only.",
        examples=["127.0.0.1:9464"],
    )
    console: bool = Field(
        default=False,
        description="Let who may change things open the screens of machines (`chainwatch console`)"
        "; then the token needs VM.Console, which `chainwatch proxmox grant --console` prints.",
        examples=[True],
    )


class Log(Table):
    """What is written to standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least level that is written.", examples=["info"]
    )
    format: Literal["auto", "json", "console"] = Field(
        default="auto",
        description="`json`: an object a line; `console`: for people; `auto`: `console` on a "
        "terminal, else `json`.",
        examples=["auto"],
    )


def _differ(sources: tuple[Source, ...]) -> tuple[Source, ...]:
    if len({source.name for source in sources}) < len(sources):
        raise ValueError("two sources have the same name; give each its own")
    if len({(source.chain_id, source.contract) for source in sources}) < len(sources):
        raise ValueError("two sources read the same contract; write it once")
    return sources


class File(BaseSettings):
    """The whole file."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, env_prefix="CHAINWATCH_", env_nested_delimiter="__"
    )

    installation: Installation
    source: Annotated[tuple[Source, ...], AfterValidator(not_empty), AfterValidator(_differ)]
    proxmox: Proxmox
    machines: Machines
    nodes_ssh: NodesSsh | None = None
    sender: Sender | None = None
    plans: tuple[Plans, ...] = ()
    policy: Policy = Policy()
    admin: Admin = Admin()
    log: Log = Log()

    @model_validator(mode="after")
    def _nodes_are_reached_where_need_be(self) -> Self:
        ipv6 = self.machines.ipv6
        wanted = {
            "machines.cloud_init": self.machines.cloud_init is not None,
            "machines.ipv6.host_routes": ipv6 is not None and ipv6.host_routes,
        }
        for index, plan in enumerate(self.plans):
            own = plan.ipv6 is not None and plan.ipv6.host_routes
            wanted[f"plans.{index}.cloud_init"] = plan.cloud_init is not None
            wanted[f"plans.{index}.ipv6.host_routes"] = own
        text = "needs the nodes over SSH; write a table [nodes_ssh]"
        found = [(key, text) for key, is_wanted in wanted.items() if is_wanted]
        if found and self.nodes_ssh is None:
            raise Problems(found)
        return self

    @model_validator(mode="after")
    def _plans_go_with_the_rest(self) -> Self:
        names = [source.name for source in self.source]
        found = list(plan_problems(self.plans, self.machines, names, self.proxmox.nodes))
        if found:
            raise Problems(found)
        return self

    @model_validator(mode="after")
    def _sends_where_it_reads(self) -> Self:
        chains = {source.chain_id for source in self.source}
        text = "is no source's chain; write one that a source is on, or leave the table out"
        found = [
            (f"sender.chains.{place}.chain_id", text)
            for place, table in enumerate(self.sender.chains if self.sender else ())
            if table.chain_id not in chains
        ]
        if found:
            raise Problems(found)
        return self
