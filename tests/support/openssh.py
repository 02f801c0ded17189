"""A genuine OpenSSH server in front of the genuine helper script, on a port of the kernel's.

Each connection gets an `sshd -i` of its own, so no port is guessed and no server is left behind.
The server allows all that a server can allow (terminals, forwardings, file transfer): that
nothing of it works has to follow from the one line in authorized_keys. `pct`, `ip` and `bridge` are
programs of our own that note what they were called with, and keep their state in files.
"""

import asyncio
import getpass
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncssh

from provisioner.guest.doors import Login, doors, public_half

HELPER: Final = Path(__file__).parents[2] / "templates" / "node" / "chainwatch-node"
SSHD: Final = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin")
NODE: Final = "pve"

_SSHD_CONFIG: Final = """
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
StrictModes no
UsePAM no
PidFile none
PasswordAuthentication no
PermitRootLogin prohibit-password
AllowTcpForwarding yes
AllowStreamLocalForwarding yes
AllowAgentForwarding yes
PermitTTY yes
PermitTunnel yes
X11Forwarding yes
AcceptEnv LANG LC_*
Subsystem sftp internal-sftp
MaxStartups 100
"""
_NOTE: Final = 'printf "%s\\0" "${0##*/}" "$@" END >>"$HOME_OF_TEST/ran"\n'
_PCT: Final = """
case $1 in
    status) cat "$HOME_OF_TEST/status-$2" 2>/dev/null || { echo "no such CT" >&2; exit 2; } ;;
    exec) shift 3; exec "$@" ;;
esac
"""
_IP: Final = """
touch "$HOME_OF_TEST/routes"
case "$3" in
    replace) printf '%s %s\\n' "${4%/128}" "$6" >>"$HOME_OF_TEST/routes" ;;
    show) while read -r a b; do [ "$b" = "$5" ] && echo "$a metric 1024 pref medium"
          done <"$HOME_OF_TEST/routes"; echo "fe80::/64 proto kernel metric 256 pref medium" ;;
esac
exit 0
"""
_BRIDGE: Final = """
case "$*" in
    "-d -o link show") cat "$HOME_OF_TEST/ports" ;;
    "link set dev "*) sed -i "/ $4[@:]/s/isolated off/isolated on/" "$HOME_OF_TEST/ports" ;;
esac
"""


@dataclass(frozen=True, slots=True)
class OpenSsh:
    """A node behind OpenSSH; everything of it lies in `folder`."""

    folder: Path
    port: int
    key: asyncssh.SSHKey

    @property
    def snippets(self) -> Path:
        return self.folder / "snippets"

    def login(self, key: asyncssh.SSHKey | None = None) -> Login:
        """Return how the project's own shell gets in."""
        host_key = (self.folder / "host_key.pub").read_text()
        line = f"{NODE} [127.0.0.1]:{self.port} {host_key}"
        private = (key or self.key).export_private_key()
        return Login(getpass.getuser(), private, doors([line], 22))

    def connect(self) -> "asyncssh.misc._ACMWrapper[asyncssh.SSHClientConnection]":
        """Connect as anybody who has the key could: with all that a client can ask for."""
        return asyncssh.connect(
            "127.0.0.1",
            self.port,
            config=None,
            username=getpass.getuser(),
            client_keys=[self.key],
            agent_path=None,
            known_hosts=([(asyncssh.read_public_key(self.folder / "host_key.pub"))], [], []),
        )

    async def say(self, command: str, content: bytes = b"") -> "Said":
        """Say a command line and return what came of it."""
        async with self.connect() as connection:
            process = await connection.create_process(command, encoding=None)
            process.stdin.write(content)
            process.stdin.write_eof()
            done = await process.wait()
            output, error = done.stdout or b"", done.stderr or b""
            assert isinstance(output, bytes)
            assert isinstance(error, bytes)
            return Said(done.exit_status, output, error)

    def ran(self) -> list[list[str]]:
        """Return what our `pct`, `ip` and `bridge` were called with, and forget it."""
        path = self.folder / "ran"
        words = path.read_bytes().decode(errors="surrogateescape").split("\0")[:-1]
        path.write_bytes(b"")
        found: list[list[str]] = [[]]
        for word in words:
            if word == "END":
                found.append([])
            else:
                found[-1].append(word)
        return found[:-1]

    def start_container(self, vmid: int) -> None:
        """Have a container run, and give it a port."""
        (self.folder / f"status-{vmid}").write_text("status: running\n")
        self.add_port(f"fwpr{vmid}p0@fwln{vmid}i0")

    def add_port(self, name: str, bridge: str = "vmbr0") -> None:
        """Plug something into a bridge, as `bridge -d -o link show` tells it."""
        ports = self.folder / "ports"
        line = (
            f"{7 + len(ports.read_text().splitlines())}: {name}: <BROADCAST,MULTICAST,UP,LOWER_UP> "
            f"mtu 1500 master {bridge} state forwarding priority 32 cost 2 \\    hairpin off guard "
            "off root_block off fastleave off learning on flood on mcast_flood on bcast_flood on "
            "neigh_suppress off vlan_tunnel off isolated off locked off \n"
        )
        with ports.open("a") as file:
            file.write(line)

    def configure(self, **changes: str | None) -> None:
        """Write the helper's configuration."""
        settings: dict[str, str | None] = {
            "vmid_first": "20000",
            "vmid_last": "20199",
            "snippets": str(self.snippets),
            "ipv6_prefix": "2001:db8::/64",
            "bridges": "vmbr0 vmbr1",
            "path": f"{self.folder}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        }
        kept = {name: value for name, value in (settings | changes).items() if value is not None}
        text = "".join(f"{name} = {value}\n" for name, value in kept.items())
        (self.folder / "node.conf").write_text(f"# a test's\n\n{text}")


@dataclass(frozen=True, slots=True)
class Said:
    """How a command line ended."""

    code: int | None
    output: bytes
    error: bytes


@asynccontextmanager
async def openssh(folder: Path) -> AsyncIterator[OpenSsh]:
    """Serve a node in `folder`; whatever was started has ended afterwards."""
    assert SSHD is not None, "sshd is missing: apt-get install openssh-server"
    _make_room_for_root()
    key = asyncssh.generate_private_key("ssh-ed25519")
    host_key = asyncssh.generate_private_key("ssh-ed25519")
    host_key.write_private_key(folder / "host_key")
    (folder / "host_key").chmod(0o600)
    host_key.write_public_key(folder / "host_key.pub")
    command = f"{HELPER} {folder}/node.conf"
    line = f'command="{command}",restrict {public_half(key.export_private_key())}\n'
    (folder / "authorized_keys").write_text(line)
    (folder / "sshd_config").write_text(_SSHD_CONFIG.format(folder=folder))
    _programs(folder)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        node = OpenSsh(folder, listener.getsockname()[1], key)
        node.configure()
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(_serve(listener, folder, tasks))
            yield node
            serving.cancel()


def _make_room_for_root() -> None:
    """Make the folder that sshd locks itself in, where it starts as root."""
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)


async def _serve(listener: socket.socket, folder: Path, tasks: asyncio.TaskGroup) -> None:
    loop = asyncio.get_running_loop()
    while True:
        peer, _ = await loop.sock_accept(listener)
        with peer:
            peer.setblocking(True)
            process = await asyncio.create_subprocess_exec(
                str(SSHD), "-i", "-f", folder / "sshd_config", "-E", folder / "log",
                stdin=peer.fileno(), stdout=peer.fileno(), stderr=subprocess.DEVNULL,
            )  # fmt: skip
        tasks.create_task(_reap(process))


async def _reap(process: asyncio.subprocess.Process) -> None:
    await process.wait()


def _programs(folder: Path) -> None:
    (folder / "bin").mkdir()
    for name in ("ran", "ports"):
        (folder / name).write_bytes(b"")
    for name, text in (("pct", _PCT), ("ip", _IP), ("bridge", _BRIDGE)):
        program = folder / "bin" / name
        program.write_text(f"#!/bin/bash\nHOME_OF_TEST={folder}\n{_NOTE}{text}")
        program.chmod(0o755)
