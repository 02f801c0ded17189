"""Single values of the file: what makes each of them acceptable.

A check returns the value in the form used inside, or raises ValueError with the rest of the
sentence "KEY: …". It never quotes the value: secrets get written in the wrong place.
"""

import re
import ssl
from ipaddress import ip_address
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import SplitResult, urlsplit

from chainwatch.credentials import Secret, read_secret, remember_url
from chainwatch.errors import Fatal
from provisioner.terms import CLOSED, OPEN, Inbound

Value = TypeVar("Value")

SMALLEST_VMID: Final = 100
BIGGEST_VMID: Final = 999_999_999

_KEY_BYTES: Final = 32
_LAST_PORT: Final = 65_535
#: How many numbers a rule of a firewall may list; a range counts twice.
_PORTS: Final = 15
_SOCKET_PATH_BYTES: Final = 107  # sun_path, unix(7)


def not_empty(values: tuple[Value, ...]) -> tuple[Value, ...]:
    if not values:
        raise ValueError("is empty")
    return values


def absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError("is not an absolute path")
    return path


def unix_path(path: Path) -> Path:
    if len(bytes(absolute(path))) > _SOCKET_PATH_BYTES:
        raise ValueError(f"is longer than the {_SOCKET_PATH_BYTES} bytes that a socket may have")
    return path


def ca_bundle(path: Path) -> Path:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=absolute(path))
    except ssl.SSLError:
        raise ValueError(f"{path} holds no certificate in PEM form") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror})") from None
    return path


def identity_key(path: object) -> Secret:
    secret = _secret_at(path)
    if len(secret.reveal()) < _KEY_BYTES:
        raise ValueError(
            f"{path} is shorter than {_KEY_BYTES} bytes; fill it with: openssl rand -base64 32"
        )
    return secret


def token_secret(path: object) -> Secret:
    secret = _secret_at(path)
    value = secret.reveal()
    if b"=" in value or not value.isascii() or len(value.split()) != 1:
        raise ValueError(f"{path} holds more than the token's secret; keep only the UUID after '='")
    return secret


def node_key(path: object) -> Secret:
    from provisioner.guest.doors import public_half  # costs time, which only who uses it need pay

    secret = _secret_at(path)
    try:
        public_half(secret.reveal())
    except ValueError as error:
        raise ValueError(f"{path} {error}") from None
    return secret


def sender_key(path: object) -> Secret:
    from chainwatch.chain.sender.keys import bare_key  # as above

    secret = _secret_at(path)
    try:
        return Secret(bare_key(secret.reveal()))
    except ValueError as error:
        raise ValueError(f"{path} {error}") from None


def secret_file(path: object) -> Secret:
    return _secret_at(path)


def host_lines(lines: tuple[str, ...]) -> tuple[str, ...]:
    from provisioner.guest.doors import doors  # as above

    doors(not_empty(lines), 22)
    return lines


def cloud_init_template(name: str) -> str:
    from provisioner.render import names  # as above

    if name not in names():
        raise ValueError(f"is none of {', '.join(names())}")
    return name


def _secret_at(path: object) -> Secret:
    if not isinstance(path, str | Path):
        raise ValueError("is not a path")  # noqa: TRY004 (a TypeError would escape the validation)
    return read_secret(Path(path))


def http_url(url: str) -> str:
    return _endpoint(url, ("http", "https"))


def websocket_url(url: str) -> str:
    return _endpoint(url, ("ws", "wss"))


def _endpoint(url: str, schemes: tuple[str, ...]) -> str:
    _split(url, schemes)
    remember_url(url)
    return url


def proxmox_url(url: str) -> str:
    parts = _split(url, ("https",))
    if parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError("is more than https, host and port; leave out the rest")
    return f"https://{parts.netloc}" if parts.port else f"https://{parts.netloc}:8006"


def _split(url: str, schemes: tuple[str, ...]) -> SplitResult:
    wanted = " or ".join(f"{scheme}://" for scheme in schemes)
    try:
        parts = urlsplit(url)
        port_is_possible = parts.port != 0
    except ValueError:
        raise ValueError("is not a URL") from None
    if parts.scheme not in schemes:
        raise ValueError(f"does not begin with {wanted}")
    if not parts.hostname or not port_is_possible or url.split() != [url]:
        raise ValueError("is not a URL with a host")
    return parts


def known_profile(name: str) -> str:
    from chainwatch.chain import profiles  # costs a second, which the default need not pay

    try:
        profiles.get(name)
    except Fatal as error:
        raise ValueError(str(error)) from None
    return name


def event_signature(text: str) -> str:
    from chainwatch.chain.profiles.signatures import parse_event  # as above

    parse_event(text)
    return text


def _credential_problems(name: str, written: bool, wanted: bool) -> list[tuple[str, str]]:
    if written is wanted:
        return []
    if written:
        return [("credential", f"does not go with profile {name}; leave it out")]
    text = f"is missing, and profile {name} reads from it who owns a lease; write its address"
    return [("credential", text)]


def _plan_problems(
    name: str, has_plan: bool, sold: tuple[int, ...], numbered: bool
) -> list[tuple[str, str]]:
    wanted, other = ("sells", "plan") if numbered else ("plan", "sells")
    written = {"plan": has_plan, "sells": bool(sold)}
    found = []
    if not written[wanted]:
        table = "tables [[source.sells]]" if numbered else "a table [source.plan]"
        reads = "no hardware" if numbered else "no plans"
        found.append((wanted, f"is missing, and profile {name} reads {reads}; write {table}"))
    if written[other]:
        found.append((other, f"does not go with profile {name}; write {wanted} instead"))
    if len(set(sold)) < len(sold):
        found.append(("sells", "names a plan twice; write each once"))
    return found


def profile_problems(
    name: str,
    *,
    has_plan: bool,
    sold: tuple[int, ...],
    has_credential: bool,
    ignored: tuple[str, ...],
) -> list[tuple[str, str]]:
    """What of a source does not go with its profile: pairs of a key and a sentence."""
    from chainwatch.chain import profiles  # as above
    from chainwatch.chain.profiles.signatures import topic

    profile = profiles.get(name)
    found = _credential_problems(name, has_credential, profile.credentials)
    if profile.plans_on_chain:
        written = [
            ("plan", has_plan),
            ("sells", bool(sold)),
            ("ignore_events", bool(ignored)),
        ]
        text = f"does not go with profile {name}, whose contract says it all; leave it out"
        return found + [(key, text) for key, is_written in written if is_written]
    found += _plan_problems(name, has_plan, sold, profile.plan_numbers)
    for event in ignored:
        if topic(event) in profile.topics:
            text = f"names {event}, which leases follow from; leave it out"
            found.append(("ignore_events", text))
    return found


def tag_or_depth(value: object) -> object:
    """Accept a tag, or a positive number of blocks (as text too: it may come from a variable)."""
    if value in ("finalized", "safe"):
        return value
    depth = int(value) if isinstance(value, str) and value.isdecimal() else value
    if isinstance(depth, int) and depth > 0:
        return depth
    raise ValueError('is neither "finalized" nor "safe" nor a number of blocks above 0')


def three_bytes(prefix: str) -> str:
    parts = prefix.split(":")
    if len(parts) != 3 or any(len(part) != 2 or not _is_hex(part) for part in parts):
        raise ValueError("is not three bytes in hexadecimal with colons between")
    if int(parts[0], 16) & 0b11 != 0b10:
        raise ValueError("is not locally administered and unicast: its second digit is 2, 6, A, E")
    return prefix.upper()


def _is_hex(text: str) -> bool:
    return all(digit in "0123456789abcdefABCDEF" for digit in text)


def name_servers(text: str) -> str:
    servers = text.split()
    try:
        return " ".join(str(ip_address(server)) for server in servers)
    except ValueError:
        raise ValueError("is not a list of IP addresses separated by blanks") from None


def inbound_ports(value: object) -> object:
    """Accept `open`, `closed`, or a list of ports (of tcp, or `udp/…`; a range is `8000:8010`)."""
    if value is None or isinstance(value, Inbound):
        return value
    if value == "open":
        return OPEN
    if value == "closed":
        return CLOSED
    if not isinstance(value, list | tuple):
        raise ValueError('is neither "open" nor "closed" nor a list of ports')  # noqa: TRY004 (a TypeError would escape the validation)
    ports: dict[str, set[tuple[int, int]]] = {"tcp": set(), "udp": set()}
    for each in value:
        proto, _, port = str(each).rpartition("/")
        first, _, last = port.partition(":")
        ends = [int(end) for end in (first, last or first) if end.isdecimal()]
        if proto not in {"", *ports} or len(ends) < 2 or not 0 < ends[0] <= ends[1] <= _LAST_PORT:
            raise ValueError("has an entry that is no port; write 22, 8000:8010 or udp/51820")
        ports[proto or "tcp"].add((ends[0], ends[1]))
    for proto, several in ports.items():
        if sum(1 + (first < last) for first, last in several) > _PORTS:
            raise ValueError(f"has more than {_PORTS} numbers for {proto}, which no rule can hold")
    return Inbound(everything=False, tcp=_in_order(ports["tcp"]), udp=_in_order(ports["udp"]))


def _in_order(ports: set[tuple[int, int]]) -> tuple[str, ...]:
    return tuple(
        str(first) if first == last else f"{first}:{last}" for first, last in sorted(ports)
    )


def local_address(text: str) -> str:
    """Accept nothing, or a loopback address and a port: numbers of machines are not for all."""
    if not text:
        return text
    host, _, port = text.rpartition(":")
    try:
        loopback = ip_address(host.strip("[]")).is_loopback
    except ValueError:
        loopback = False
    if not loopback or not port.isdecimal() or int(port) > 65_535:
        raise ValueError("is not a loopback address with a port")
    return text


def archive(text: str) -> str:
    """Return the id of a volume that holds an OS template."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9._-]*:vztmpl/[A-Za-z0-9][A-Za-z0-9._+-]*", text):
        raise ValueError("is not the id of a container template's volume")
    return text
