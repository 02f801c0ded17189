"""The settings that the daemon runs with: read once, checked whole, frozen.

They come from one TOML file; a variable CHAINWATCH_TABLE__KEY replaces a single key, and systemd's
credentials stand in for the files of secrets that were not named. Everything wrong is said at once.
How it fails: before anything else has started, with Fatal and a line for each problem.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
)

from chainwatch.chain.settings import SourceSettings
from chainwatch.config import schema
from chainwatch.config.machines import Machines
from chainwatch.config.nodes import NodesSsh
from chainwatch.config.plans import Plans
from chainwatch.config.policy import Policy
from chainwatch.config.problems import problems, unknown_variables
from chainwatch.config.sender import SenderConfig
from chainwatch.config.systemd import credentials, with_keys_of_chains
from chainwatch.credentials import Secret
from chainwatch.domain.batches import Source
from chainwatch.domain.plans import NO_RULES, PlanRule, PlanRules
from chainwatch.errors import Fatal
from provisioner.allocate import Pool
from provisioner.model import BackupPolicy
from provisioner.terms import LINKED, OPEN, Cloning, Inbound

DAY: Final = 86_400


@dataclass(frozen=True, slots=True)
class InstallationConfig:
    """Who this installation is; `identity_key` signs its machines' identities."""

    id: str
    state_dir: Path
    identity_key: Secret


@dataclass(frozen=True, slots=True)
class ProxmoxConfig:
    """The cluster's API (`url` is https://host:port) and our token there; `timeout` in seconds.

    `ca_file` None means the system's certificates; `pool` None means no resource pool, no `nodes`
    all of them.
    """

    url: str
    token_id: str
    token: Secret
    ca_file: Path | None
    pool: str | None
    timeout: float
    clones_per_storage: int
    threads: int
    nodes: frozenset[str] = frozenset()
    memory_overcommit: float = 1.0
    storage_reserve_gib: int = 10
    storage_overcommit: float = 0.0


@dataclass(frozen=True, slots=True)
class NodesConfig:
    """The nodes over SSH; `known_hosts` are lines `NODE ADDRESS TYPE KEY`, one for each host key.

    `snippets` is the folder on the nodes where `snippet_storage` keeps its snippets.
    """

    user: str
    port: int
    key: Secret
    known_hosts: tuple[str, ...]
    snippets: str = "/var/lib/vz/snippets"
    snippet_storage: str = "local"
    isolate: bool = False


@dataclass(frozen=True, slots=True)
class MachinesConfig:
    """What is the same for all machines; timeouts in seconds.

    `cloud_init` names the template of their user-data, None for Proxmox's own settings.
    """

    pool: Pool
    template_vms: tuple[int, ...]
    os_template: str | None
    container_storage: str | None
    bridge: str
    nameserver: str
    user: str
    tags: frozenset[str]
    shutdown_timeout: int
    answer_timeout: int
    cloud_init: str | None = None
    host_routes: bool = False
    inbound: Inbound = OPEN
    smtp: bool = False
    wallet_login: bool = False
    cloning: Cloning = LINKED


@dataclass(frozen=True, slots=True)
class PolicyConfig:
    """How far the daemon may go; durations in seconds, `default_grace` of chain time.

    `backups` is None where machines are destroyed without one, `repairs` false where what somebody
    changed on a machine is left so; `gives_back` that a lease which was not delivered in time is
    cancelled without being asked.
    """

    default_grace: int
    destroys_per_hour: int
    resync_interval: float
    tick: float
    workers: int
    quarantine: int
    backups: BackupPolicy | None = None
    repairs: bool = True
    gives_back: bool = True


@dataclass(frozen=True, slots=True)
class AdminConfig:
    """Who may look and change; None for a group means nobody besides owner and root.

    `metrics_listen` is a loopback host and a port (0: any), None for no TCP listener; `console` is
    whether whoever may change things may open the screens of machines.
    """

    socket: Path
    read_group: str | None
    admin_group: str | None
    metrics_listen: tuple[str, int] | None
    console: bool = False


@dataclass(frozen=True, slots=True)
class LogConfig:
    """What is logged (`debug`, `info`, `warning`, `error`) and how (`auto`, `json`, `console`)."""

    level: str
    format: str


@dataclass(frozen=True, slots=True)
class Config:
    """All settings of one daemon."""

    installation: InstallationConfig
    sources: tuple[SourceSettings, ...]
    proxmox: ProxmoxConfig
    machines: MachinesConfig
    policy: PolicyConfig
    admin: AdminConfig
    log: LogConfig
    nodes: NodesConfig | None = None
    plans: PlanRules = NO_RULES
    sender: SenderConfig | None = None

    @property
    def plan_templates(self) -> tuple[int, ...]:
        """The templates that only plans name, in order."""
        named = (vmid for rule in self.plans.rules for vmid in rule.terms.templates)
        return tuple(dict.fromkeys(v for v in named if v not in self.machines.template_vms))

    @property
    def bridges(self) -> tuple[str, ...]:
        """Every bridge that a machine may be on, the common one first."""
        named = (rule.terms.bridge for rule in self.plans.rules if rule.terms.bridge)
        return tuple(dict.fromkeys((self.machines.bridge, *named)))


def load(path: Path, environ: Mapping[str, str]) -> Config:
    """Read the settings from the TOML file at `path` and from `environ`.

    Raises Fatal with a line for each problem: the key's path, what is wrong, what to write instead.
    """
    written = _read(path)
    found = list(unknown_variables(environ))
    file: schema.File | None = None
    try:
        file = _settings(written, environ)()
    except ValidationError as error:
        found += problems(error, environ)
    if file is None or found:
        raise Fatal(f"{path} cannot be used:\n" + "\n".join(f"  {problem}" for problem in found))
    return _config(file)


def _read(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Fatal(
            f"{path} cannot be read ({error.strerror}); start from docs/reference/chainwatch.toml"
        ) from None
    except UnicodeDecodeError:
        raise Fatal(f"{path} is not UTF-8 text; save it as such") from None
    except tomllib.TOMLDecodeError as error:
        raise Fatal(f"{path} is not TOML: {error}; mend that line") from None


# --------------------------------------------------------------------------- where values come from


def _settings(written: dict[str, object], environ: Mapping[str, str]) -> type[schema.File]:
    class Layered(schema.File):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            del init_settings, env_settings, dotenv_settings, file_secret_settings
            return (
                _Variables(settings_cls, environ),
                InitSettingsSource(settings_cls, with_keys_of_chains(written, environ)),
                InitSettingsSource(settings_cls, credentials(environ)),
            )

    return Layered


class _Variables(EnvSettingsSource):
    """CHAINWATCH_TABLE__KEY in the environment that was handed in; lists are written as JSON."""

    def __init__(self, settings_cls: type[BaseSettings], environ: Mapping[str, str]) -> None:
        self._environ = {name.lower(): value for name, value in environ.items()}
        super().__init__(settings_cls)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return self._environ

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: object) -> object:
        """Decode JSON; what is not JSON is left for the key's own check to refuse."""
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError:
            return value


# ----------------------------------------------------------------------------- what becomes of them


def _config(file: schema.File) -> Config:
    return Config(
        installation=InstallationConfig(
            id=file.installation.id,
            state_dir=file.installation.state_dir,
            identity_key=file.installation.identity_key_file,
        ),
        sources=tuple(map(_source, file.source)),
        proxmox=_proxmox(file.proxmox),
        machines=_machines(file.machines),
        policy=_policy(file.policy),
        admin=_admin(file.admin),
        log=LogConfig(level=file.log.level, format=file.log.format),
        nodes=_nodes(file.nodes_ssh) if file.nodes_ssh else None,
        plans=PlanRules(tuple(_plan_rule(table, file.source) for table in file.plans)),
        sender=file.sender.settled() if file.sender else None,
    )


def _source(table: schema.Source) -> SourceSettings:
    return SourceSettings(
        source=Source(
            name=table.name,
            chain_id=table.chain_id,
            contract=table.contract,
            start_block=table.start_block,
            profile=table.profile,
            credential=table.credential or "",
        ),
        http=table.http,
        ws=table.ws,
        confirmations=table.confirmations,
        finality=table.finality,
        poll_interval=table.poll_interval,
        stale_after=table.stale_after,
        max_range=table.max_range,
        timeout=table.timeout,
        requests_per_second=table.requests_per_second,
        verify=table.verify,
        plan=table.plan.of(table.name) if table.plan else None,
        sells={each.number: each.of(table.name) for each in table.sells},
        ignore_events=table.ignore_events,
    )


def _plan_rule(table: Plans, sources: Sequence[schema.Source]) -> PlanRule:
    of = next((each for each in sources if each.name == table.source), None)
    contract = (of.chain_id, of.contract.lower()) if of else None
    return PlanRule(table.terms(), table.plan, table.name, contract)


def _proxmox(table: schema.Proxmox) -> ProxmoxConfig:
    return ProxmoxConfig(
        url=table.url,
        token_id=table.token_id,
        token=table.token_file,
        ca_file=table.ca_file,
        pool=table.pool,
        timeout=table.timeout,
        clones_per_storage=table.clones_per_storage,
        threads=table.threads,
        nodes=frozenset(table.nodes),
        memory_overcommit=table.memory_overcommit,
        storage_reserve_gib=table.storage_reserve_gib,
        storage_overcommit=table.storage_overcommit,
    )


def _machines(table: Machines) -> MachinesConfig:
    return MachinesConfig(
        pool=table.pool(),
        template_vms=table.template_vms,
        os_template=table.os_template,
        container_storage=table.container_storage,
        bridge=table.bridge,
        nameserver=table.nameserver,
        user=table.user,
        tags=frozenset(table.tags),
        shutdown_timeout=table.shutdown_timeout,
        answer_timeout=table.answer_timeout,
        inbound=table.firewall,
        smtp=table.smtp == "allowed",
        wallet_login=table.wallet_login,
        cloning=table.cloning(),
        cloud_init=table.cloud_init,
        host_routes=table.ipv6 is not None and table.ipv6.host_routes,
    )


def _nodes(table: NodesSsh) -> NodesConfig:
    return NodesConfig(
        *(table.user, table.port, table.key_file, table.known_hosts),
        snippets=table.snippets,
        snippet_storage=table.snippet_storage,
        isolate=table.isolate,
    )


def _policy(table: Policy) -> PolicyConfig:
    backups = BackupPolicy(table.backup_storage, table.backup_mode, table.backup_keep_days * DAY)
    return PolicyConfig(
        default_grace=table.default_grace,
        destroys_per_hour=table.destroys_per_hour,
        resync_interval=table.resync_interval,
        tick=table.tick,
        workers=table.workers,
        quarantine=table.quarantine,
        backups=backups if table.on_destroy == "backup" else None,
        repairs=table.drift == "repair",
        gives_back=table.cancel_undelivered == "overdue",
    )


def _admin(table: schema.Admin) -> AdminConfig:
    host, _, port = table.metrics_listen.rpartition(":")
    return AdminConfig(
        socket=table.socket,
        read_group=table.read_group or None,
        admin_group=table.admin_group or None,
        metrics_listen=(host.strip("[]"), int(port)) if host else None,
        console=table.console,
    )
