"""The settings of the command line: one TOML file, checked whole, frozen.

The tables are those of the daemon's file, so that both may read the same one: there, what the
daemon alone needs is passed over. In a file of the command line's own a key that is not known is an
error. A secret is never written into the file: a path is, or the environment or systemd's
credentials bring it. How it fails: with Misconfigured and a line for each problem, before anything
was asked of anybody.
"""

import os
import stat
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from provisioner.allocate import AddressRange, Pool
from provisioner.backends.proxmox.settings import ProxmoxEndpoint, ProxmoxSettings
from provisioner.errors import ProvisionError
from provisioner.guest.doors import Login, doors, public_half
from provisioner.identity import Signer
from provisioner.keys import KEYS
from provisioner.placement import Limits
from provisioner.site import Site
from provisioner.terms import Cloning

#: Where the settings are looked for, the first one that exists.
PLACES: Final = (
    Path("/etc/chainwatch/provisioner.toml"),
    Path("/etc/chainwatch/chainwatch.toml"),
)
#: What tells a file of the daemon: a table that it alone has.
DAEMONS: Final = "source"
NODE_KEY: Final = "nodes_ssh.key_file"
#: A secret's key: the name of systemd's credential, and of the variable that holds the value.
SECRETS: Final = {
    "proxmox.token_file": ("proxmox-token", "PROVISIONER_PROXMOX_TOKEN"),
    "installation.identity_key_file": ("identity-key", "PROVISIONER_IDENTITY_KEY"),
    NODE_KEY: ("node-key", "PROVISIONER_NODE_KEY"),
}
#: Tables that may be left out though a key of theirs has no default.
OPTIONAL: Final = ("machines.ipv4", "machines.ipv6", "nodes_ssh")
_LARGEST: Final = 65_536
_SHORTEST_KEY: Final = 32

Value: TypeAlias = str | int | float | bool | tuple[str, ...] | tuple[int, ...]
Values: TypeAlias = dict[str, Value]


class Misconfigured(ProvisionError):
    """The settings cannot be used.

    What to do: mend the lines that are named.
    """


@dataclass(frozen=True, slots=True)
class Configuration:
    """All settings of one command; durations in seconds.

    `nodes` is None where nodes are not reached over SSH; `snippet_storage` keeps the user-data that
    is put on them, `host_routes` and `isolate` say what they are told of each machine.
    """

    endpoint: ProxmoxEndpoint
    proxmox: ProxmoxSettings
    limits: Limits
    site: Site
    quarantine: int
    grace_days: int
    unfinished_after: int
    result_prefix: str
    nodes: Login | None = None
    snippet_storage: str = "local"
    host_routes: bool = False
    isolate: bool = False

    @property
    def tends(self) -> bool:
        """Whether nodes are told anything of the machines that stand there."""
        return self.host_routes or self.isolate


def load(path: Path | None, environ: Mapping[str, str]) -> Configuration:
    """Read the settings at `path`, or where they usually are. Raises Misconfigured."""
    found = path or next((each for each in PLACES if each.exists()), PLACES[0])
    tables = _read(found)
    reader = _Reader(tables, environ, strict=DAEMONS not in tables)
    words = _Typed(reader.values())
    problems = reader.problems or list(_problems(words))
    if not problems:
        return _configuration(words)
    lines = "\n".join(f"  {problem}" for problem in problems)
    raise Misconfigured(f"{found} cannot be used:\n{lines}")


def template_settings(path: Path | None) -> dict[str, Value]:
    """Return the keys of [template] alone, without asking for any secret. Raises Misconfigured."""
    found = path or next((each for each in PLACES if each.exists()), None)
    table = _read(found).get("template") if found is not None else None
    written = table if isinstance(table, dict) else {}
    values: dict[str, Value] = {}
    for name, key in KEYS.items():
        folder, _, short = name.rpartition(".")
        if folder != "template":
            continue
        value = key.read(written[short]) if short in written else key.default
        if value is None:
            raise Misconfigured(f"{found}: {name}: {key.wrong}; write for example {key.line}")
        values[short] = value
    return values


def _read(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Misconfigured(
            f"{path} cannot be read ({error.strerror}); docs/reference/provisioner.md shows a file"
        ) from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Misconfigured(f"{path} is not TOML: {error}") from None


class _Reader:
    """Takes the known keys out of the tables, and notes a line for whatever is wrong."""

    def __init__(
        self, tables: Mapping[str, object], environ: Mapping[str, str], *, strict: bool
    ) -> None:
        self.problems: list[str] = []
        self._tables, self._environ, self._strict = tables, environ, strict
        if strict:
            self._refuse_unknown(tables, "")

    def values(self) -> Values:
        values: Values = {}
        for name, key in KEYS.items():
            given = self._given(name)
            if name in SECRETS:
                values[name] = self._secret(name, given) if self._wanted(name) else ""
            elif given is None and key.default is None and self._wanted(name):
                self.problems.append(f"{name}: is missing; write for example {key.line}")
            elif given is None:
                values[name] = () if key.default is None else key.default
            elif (value := key.read(given)) is None:
                self.problems.append(f"{name}: {key.wrong}; write for example {key.line}")
            else:
                values[name] = value
        return values

    def _given(self, name: str) -> object:
        here: object = self._tables
        for part in name.split("."):
            here = here.get(part) if isinstance(here, dict) else None
        return here

    def _wanted(self, name: str) -> bool:
        """Whether a key without a default has to be there: some tables may be left out."""
        table = name.rpartition(".")[0]
        return table not in OPTIONAL or self._given(table) is not None

    def _secret(self, name: str, given: object) -> str:
        credential, variable = SECRETS[name]
        folder = self._environ.get("CREDENTIALS_DIRECTORY")
        try:
            if given is not None:
                return _secret_at(Path(str(given)))
            if folder and Path(folder, credential).exists():
                return _secret_at(Path(folder, credential))
        except ValueError as error:
            self.problems.append(f"{name}: {error}")
            return ""
        if value := self._environ.get(variable, "").strip():
            return value
        if not self._strict and name == NODE_KEY:
            return ""  # the daemon's own credential: commands go without the nodes
        self.problems.append(
            f"{name}: is missing; write for example {KEYS[name].line}, or set {variable}"
        )
        return ""

    def _refuse_unknown(self, table: Mapping[str, object], above: str) -> None:
        tables = {name.rpartition(".")[0] for name in KEYS}
        tables |= {each.partition(".")[0] for each in tables}
        for name, value in table.items():
            path = f"{above}{name}"
            if path in tables and isinstance(value, dict):
                self._refuse_unknown(value, f"{path}.")
            elif path not in KEYS:
                near = get_close_matches(path, KEYS, n=1)
                hint = f"did you mean {near[0]}?" if near else "take it out"
                self.problems.append(f"{path}: there is no such key; {hint}")


def _secret_at(path: Path) -> str:
    """Read a secret from a file that is not open to everybody. Raises ValueError, without it."""
    if not path.is_absolute():
        raise ValueError("is not an absolute path; a secret is never written here")
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            value = file.read(_LARGEST).strip().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot be read ({type(error).__name__})") from None
    if stat.S_IMODE(mode) & stat.S_IRWXO:
        raise ValueError(f"{path} is open to everybody on this host; run: chmod o= {path}")
    if not value:
        raise ValueError(f"{path} is empty")
    return value


# ----------------------------------------------------------------------------- what becomes of them


def _problems(words: "_Typed") -> Iterator[str]:
    """Yield a line for each thing that only several keys together get wrong."""
    for version in (4, 6):
        first = words.text(f"machines.ipv{version}.first")
        if first and (":" in first) != (version == 6):
            yield f"machines.ipv{version}.first: is not an IPv{version} address"
    pool = _pool(words)
    yield from (f"machines: {problem}" for problem in pool.problems())
    if not words.numbers("machines.template_vms"):
        yield "machines.template_vms: names no template"
    if any(template in pool for template in words.numbers("machines.template_vms")):
        yield "machines.template_vms: names a VMID of vmid_first to vmid_last; move it"
    if bool(words.text("machines.os_template")) != bool(words.text("machines.container_storage")):
        yield "machines.os_template: goes with machines.container_storage; write both or neither"
    if words.text("machines.clone_storage") and words.text("machines.clone") != "full":
        yield 'machines.clone_storage: goes with machines.clone = "full"; write both or neither'
    yield from _node_problems(words)
    if len(words.text("installation.identity_key_file")) < _SHORTEST_KEY:
        yield f"installation.identity_key_file: holds fewer than {_SHORTEST_KEY} characters"


def _configuration(words: "_Typed") -> Configuration:
    secret = words.text("installation.identity_key_file")
    return Configuration(
        endpoint=_endpoint(words),
        proxmox=ProxmoxSettings(
            words.numbers("machines.template_vms"),
            pool=words.text("proxmox.pool") or None,
            os_template=words.text("machines.os_template") or None,
            container_storage=words.text("machines.container_storage") or None,
        ),
        limits=Limits(
            frozenset(words.texts("proxmox.nodes")),
            words.real("proxmox.memory_overcommit"),
            words.number("proxmox.storage_reserve_gib"),
            words.number("proxmox.clones_per_storage"),
            words.real("proxmox.storage_overcommit"),
        ),
        site=Site(
            signer=Signer(words.text("installation.id"), secret.encode()),
            pool=_pool(words),
            bridge=words.text("machines.bridge"),
            nameserver=words.text("machines.nameserver"),
            user=words.text("machines.user"),
            tags=frozenset(words.texts("machines.tags")),
            shutdown_timeout=words.number("machines.shutdown_timeout"),
            answer_timeout=words.number("machines.answer_timeout"),
            cloning=Cloning(
                full=words.text("machines.clone") == "full",
                storage=words.text("machines.clone_storage") or None,
            ),
            token=words.text("proxmox.token_id"),
        ),
        quarantine=words.number("policy.quarantine"),
        grace_days=words.number("commands.grace_days"),
        unfinished_after=words.number("commands.unfinished_after"),
        result_prefix=words.text("commands.result_prefix"),
        nodes=_login(words),
        snippet_storage=words.text("nodes_ssh.snippet_storage"),
        host_routes=words.flag("machines.ipv6.host_routes"),
        isolate=words.flag("nodes_ssh.isolate"),
    )


def _login(words: "_Typed") -> Login | None:
    key = words.text(NODE_KEY)
    if not key:
        return None
    lines = words.texts("nodes_ssh.known_hosts")
    found = doors(lines, words.number("nodes_ssh.port"))
    return Login(words.text("nodes_ssh.user"), f"{key}\n".encode(), found)


def _node_problems(words: "_Typed") -> Iterator[str]:
    """Yield what is wrong with the way to the nodes, where there is to be one."""
    key = words.text(NODE_KEY)
    if words.flag("machines.ipv6.host_routes") and not words.texts("nodes_ssh.known_hosts"):
        yield "machines.ipv6.host_routes: a node is told of it over SSH; write [nodes_ssh] too"
    if not key:
        return
    try:
        doors(words.texts("nodes_ssh.known_hosts"), words.number("nodes_ssh.port"))
    except ValueError as error:
        yield f"nodes_ssh.known_hosts: {error}"
    try:
        public_half(f"{key}\n".encode())
    except ValueError as error:
        yield f"{NODE_KEY}: {error}"


def _endpoint(words: "_Typed") -> ProxmoxEndpoint:
    parts = urlsplit(words.text("proxmox.url"))
    ca_file = words.text("proxmox.ca_file")
    return ProxmoxEndpoint(
        parts.hostname or "",
        parts.port or 8006,
        words.text("proxmox.token_id"),
        words.text("proxmox.token_file"),
        Path(ca_file) if ca_file else None,
        words.real("proxmox.timeout"),
        threads=4,
        slow_threads=4,
    )


def _pool(words: "_Typed") -> Pool:
    return Pool(
        first=words.number("machines.vmid_first"),
        last=words.number("machines.vmid_last"),
        mac_prefix=words.text("machines.mac_prefix"),
        ipv4=_range(words, 4),
        ipv6=_range(words, 6),
    )


def _range(words: "_Typed", version: int) -> AddressRange | None:
    first = words.text(f"machines.ipv{version}.first")
    if not first:
        return None
    return AddressRange(first, words.text(f"machines.ipv{version}.gateway"))


@dataclass(frozen=True, slots=True)
class _Typed:
    """Values by their kind, which the table of keys has already seen to."""

    values: Values

    def text(self, name: str) -> str:
        value = self.values[name]
        return value if isinstance(value, str) else ""

    def flag(self, name: str) -> bool:
        return self.values[name] is True

    def number(self, name: str) -> int:
        return int(self.real(name))

    def real(self, name: str) -> float:
        value = self.values[name]
        return value if isinstance(value, int | float) else 0.0

    def texts(self, name: str) -> tuple[str, ...]:
        value = self.values[name]
        return tuple(map(str, value)) if isinstance(value, tuple) else ()

    def numbers(self, name: str) -> tuple[int, ...]:
        value = self.values[name]
        return tuple(map(int, value)) if isinstance(value, tuple) else ()
