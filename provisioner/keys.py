"""Every key that the command line's settings may have: its meaning, its default, an example.

Here and nowhere else: the reference is held against this table by a test, and a value that is
refused is answered with the example. Names, meanings and defaults are those of the daemon's file,
where that has the key too.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

Given: TypeAlias = str | bool | int | float | tuple[str, ...] | tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Key:
    """One key: `example` tells its type too, `default` None means that it has to be written.

    `pattern` is what a text (or each text of a list) has to be; `least` what a number is at least.
    """

    name: str
    about: str
    example: Given
    default: Given | None = None
    pattern: str = ""
    least: float = 0

    @property
    def line(self) -> str:
        """The example, as a line of a file."""
        return f"{self.name} = {as_toml(self.example)}"

    @property
    def wrong(self) -> str:
        """What a value that is refused is not."""
        if isinstance(self.example, tuple):
            return "is not a list of such values"
        if isinstance(self.example, str):
            return "is not a text of the form expected here"
        if isinstance(self.example, bool):
            return "is neither true nor false"
        return f"is not a number from {self.least:g} on"

    def read(self, given: object) -> Given | None:
        """Return what was written if it is of this key's kind, else None."""
        if isinstance(self.example, tuple):
            items = given if isinstance(given, list) else [None]
            one = Key(self.name, "", self.example[0], None, self.pattern, self.least)
            values = [one.read(item) for item in items]
            if None in values:
                return None
            if isinstance(self.example[0], int):
                return tuple(value for value in values if isinstance(value, int))
            return tuple(value for value in values if isinstance(value, str))
        if isinstance(self.example, str):
            if not isinstance(given, str):
                return None
            return given if not self.pattern or re.fullmatch(self.pattern, given) else None
        if isinstance(self.example, bool):
            return given if isinstance(given, bool) else None
        kinds = (int, float) if isinstance(self.example, float) else (int,)
        if isinstance(given, bool) or not isinstance(given, kinds):
            return None
        return given if given >= self.least else None


def as_toml(value: Given) -> str:
    """Write a value the way it stands in a file."""
    if isinstance(value, tuple):
        return "[" + ", ".join(as_toml(each) for each in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def _table(name: str, *keys: Key) -> dict[str, Key]:
    return {f"{name}.{key.name}": key for key in keys}


_NODE: Final = r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"

#: A host key as it stands in a node's /etc/ssh/ssh_host_ed25519_key.pub; nobody's.
_SOME_HOST_KEY: Final = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILXVTDnmZnHJcxufRx5YXYJizU9Ulj8Mkwgtjc8zTUx4"
)

KEYS: Final[Mapping[str, Key]] = {
    **_table(
        "installation",
        Key(
            "id",
            "This installation's name, part of every machine's identity; never change it.",
            "berlin-1",
            pattern=r"[a-z0-9][a-z0-9-]{0,31}",
        ),
        Key(
            "identity_key_file",
            "File with the secret that signs the machines' identities, at least 32 characters.",
            "/etc/chainwatch/credentials/identity-key",
        ),
    ),
    **_table(
        "proxmox",
        Key(
            "url",
            "The API of the cluster: https, host and port.",
            "https://pve.example.net:8006",
            pattern=r"https://[^/?#@]+/?",
        ),
        Key(
            "token_id",
            "Name of the API token: user, realm and token name.",
            "chainwatch@pve!provisioner",
            pattern=r"[^\s@!=/]+@[^\s@!=/]+![^\s@!=/]+",
        ),
        Key(
            "token_file",
            "File with the API token's secret.",
            "/etc/chainwatch/credentials/proxmox-token",
        ),
        Key(
            "ca_file",
            "PEM file to verify the API against; the system's authorities otherwise.",
            "/etc/chainwatch/pve-root-ca.pem",
            "",
        ),
        Key("pool", "Resource pool that new machines join.", "leases", ""),
        Key("timeout", "Seconds that one API call may take.", 35.0, 35.0, least=1),
        Key("clones_per_storage", "Clones that may run at once on one storage.", 2, 2, least=1),
        Key(
            "nodes",
            "Nodes that get new machines; every node where it is empty.",
            ("pve1", "pve2"),
            (),
            pattern=_NODE,
        ),
        Key("memory_overcommit", "How much of a node's memory may be sold.", 0.9, 1.0, least=0.01),
        Key("storage_reserve_gib", "GiB that stay free on every storage.", 50, 10),
        Key(
            "storage_overcommit",
            "How much of a storage may be sold, every disk at its full size; 0 sets no limit.",
            2.0,
            0.0,
            least=0.0,
        ),
    ),
    **_table(
        "machines",
        Key("vmid_first", "First of this installation's VMIDs.", 20000, least=100),
        Key("vmid_last", "Last of them.", 20199, least=100),
        Key("template_vms", "VMIDs of the templates that machines are cloned from.", (9001,)),
        Key(
            "clone",
            "How: `linked` to the template's disks, or `full`, as whole copies.",
            "full",
            "linked",
            pattern="linked|full",
        ),
        Key(
            "clone_storage",
            "Storage that full clones are copied to; their template's own where it is left out.",
            "san",
            "",
            pattern=r"[A-Za-z][A-Za-z0-9._-]*",
        ),
        Key(
            "os_template",
            "Archive that containers are unpacked from; without it, no container is made.",
            "local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst",
            "",
            pattern=r"[A-Za-z][A-Za-z0-9._-]*:vztmpl/[A-Za-z0-9][A-Za-z0-9._+-]*",
        ),
        Key(
            "container_storage",
            "Storage that the roots of containers lie on; goes with `os_template`.",
            "local-lvm",
            "",
            pattern=r"[A-Za-z][A-Za-z0-9._-]*",
        ),
        Key(
            "bridge",
            "Bridge (or SDN VNet) of their network card.",
            "vmbr0",
            "vmbr0",
            pattern=r"[A-Za-z][A-Za-z0-9_.]{0,14}",
        ),
        Key(
            "mac_prefix",
            "First three bytes of their MAC addresses.",
            "02:00:00",
            "02:00:00",
            pattern=r"[0-9A-Fa-f][26AEae](:[0-9A-Fa-f]{2}){2}",
        ),
        Key(
            "nameserver",
            "Addresses of name servers, separated by blanks.",
            "203.0.113.1",
            pattern=r"[0-9A-Fa-f.:]+( [0-9A-Fa-f.:]+)*",
        ),
        Key(
            "user",
            "Account that is made for the owner; `create` may name another.",
            "admin",
            "admin",
            pattern=r"[a-z_][a-z0-9_-]{0,31}",
        ),
        Key(
            "tags",
            "Tags that every machine carries.",
            ("chainwatch",),
            ("chainwatch",),
            pattern=r"[a-z0-9_][a-z0-9_.+-]*",
        ),
        Key(
            "shutdown_timeout",
            "Seconds that a guest gets to shut down before it is stopped.",
            60,
            60,
            least=1,
        ),
        Key(
            "answer_timeout",
            "Seconds after its start in which a guest should answer.",
            300,
            300,
            least=1,
        ),
    ),
    **_table(
        "machines.ipv4",
        Key("first", "IPv4 address of the first VMID, in CIDR form.", "203.0.113.10/24"),
        Key("gateway", "Their gateway.", "203.0.113.1"),
    ),
    **_table(
        "machines.ipv6",
        Key("first", "IPv6 address of the first VMID, in CIDR form.", "2001:db8::1000/64"),
        Key("gateway", "Their gateway.", "2001:db8::1"),
        Key(
            "host_routes",
            "Keep a route to each machine's address on its node; needs `[nodes_ssh]`.",
            example=True,
            default=False,
        ),
    ),
    **_table(
        "nodes_ssh",
        Key(
            "user",
            "Account on the nodes whose authorized_keys forces our key to the helper.",
            "root",
            "root",
            pattern=r"[a-z_][a-z0-9_-]{0,31}",
        ),
        Key("port", "Port of their SSH servers.", 22, 22, least=1),
        Key(
            "key_file",
            "File with our private SSH key, without a passphrase.",
            "/etc/chainwatch/credentials/node-key",
        ),
        Key(
            "known_hosts",
            "A line for each node and host key: NODE ADDRESS TYPE KEY.",
            (f"pve1 192.0.2.11 {_SOME_HOST_KEY}",),
        ),
        Key(
            "snippet_storage",
            "Storage with content type `snippets` that user-data is read from.",
            "local",
            "local",
            pattern=r"[A-Za-z][A-Za-z0-9._-]*[A-Za-z0-9]",
        ),
        Key(
            "isolate",
            "Isolate the machines' ports on their bridge from each other, after every start.",
            example=True,
            default=False,
        ),
    ),
    **_table(
        "policy",
        Key("quarantine", "Seconds that a freed VMID rests before reuse.", 86400, 86400),
    ),
    **_table(
        "template",
        Key("image", "Cloud image: a file, or an https address.", "/root/debian-12.qcow2", ""),
        Key("sha256", "Its SHA-256.", "0" * 64, "", pattern=r"[0-9A-Fa-f]{64}"),
        Key("packages", "Folder of .deb files to install, with SHA256SUMS.", "/root/packages", ""),
        Key("vmid", "The template's VMID.", 9001, 9001, least=100),
        Key("name", "The template's name.", "debian-12-leases", "debian-12-leases"),
        Key("storage", "Storage of the template's disk.", "local-lvm", "local-lvm"),
        Key("bridge", "Bridge of the template's network card.", "vmbr0", "vmbr0"),
    ),
    **_table(
        "commands",
        Key(
            "grace_days",
            "Days from its suspension after which `gc` destroys a machine.",
            7,
            7,
        ),
        Key(
            "unfinished_after",
            "Seconds after which `gc` takes a machine that was never finished for abandoned.",
            3600,
            3600,
            least=60,
        ),
        Key(
            "result_prefix",
            "What stands before the result of `create`, for callers that look for it.",
            "BLOCKHOST_RESULT: ",
            "",
        ),
    ),
}
