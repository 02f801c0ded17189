"""The operating system inside a simulated guest: accounts, files, sessions, and cloud-init.

Only as much as decides who can enter. cloud-init runs when its instance-id is one it has not seen,
and Proxmox's instance-id is a hash of the generated data: so a changed key *adds* a key at the next
boot, and none is ever taken away by it. A test that asks `admits` gets the truth of the files, not
of the configuration; a controller that only changes `sshkeys` leaves the former owner inside.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeAlias

KEY_TYPES = ("ssh-", "ecdsa-", "sk-")
ROOT_ONLY_SAYS_NO = (
    "no-port-forwarding,command=\"echo 'Please login as the user rather than the user root.'\" "
)


@dataclass(frozen=True, slots=True)
class CloudInit:
    """What the cloud-init drive says; `instance_id` is Proxmox's hash of it."""

    hostname: str
    user: str | None
    password: str | None
    keys: tuple[str, ...]
    network: str
    gecos: str = ""

    @property
    def instance_id(self) -> str:
        """Return the hash that makes cloud-init run again when anything here changed."""
        said = (self.hostname, self.user, self.password, self.keys, self.network, self.gecos)
        text = repr(said)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody logged in as `user`."""

    user: str


@dataclass(frozen=True, slots=True)
class Run:
    """How a program ended; `seconds` is how long it took, `signal` what killed it."""

    code: int = 0
    output: str = ""
    error: str = ""
    seconds: float = 0.1
    signal: int | None = None


#: The system that it runs on, its arguments and its standard input: how it ends.
Program: TypeAlias = "Callable[[GuestOs, tuple[str, ...], str], Run]"


@dataclass(slots=True)
class GuestOs:
    """What is on the boot disk, and who is logged in.

    `installed` are programs besides those that every guest has.
    """

    default_user: str = "debian"
    files: dict[str, str] = field(default_factory=dict)
    folders: set[str] = field(default_factory=lambda: {"/", "/tmp", "/etc", "/root", "/home"})  # noqa: S108 - a folder of the simulated guest
    users: set[str] = field(default_factory=lambda: {"root"})
    passwords: dict[str, str] = field(default_factory=dict)
    comments: dict[str, str] = field(default_factory=dict)
    sessions: list[Session] = field(default_factory=list)
    instance: str | None = None
    hostname: str = "localhost"
    installed: dict[str, "Program"] = field(default_factory=dict)

    def copy(self) -> "GuestOs":
        """Return what a clone of the disk holds: everything but the sessions."""
        return replace(
            self,
            files=dict(self.files),
            folders=set(self.folders),
            users=set(self.users),
            passwords=dict(self.passwords),
            comments=dict(self.comments),
            sessions=[],
        )

    def boot(self, data: CloudInit | None) -> None:
        """Come up: nobody is logged in, and cloud-init runs if its instance is new."""
        self.sessions.clear()
        if data is None or data.instance_id == self.instance:
            return
        self.instance = data.instance_id
        self.hostname = data.hostname
        user = data.user or self.default_user
        if data.gecos and user not in self.users:  # an account that is there is left as it is
            self.comments[user] = data.gecos
        self.users.add(user)
        if data.password is not None:
            self.passwords[user] = data.password
        self._add_keys(user, data.keys, "" if user != "root" else None)
        if user != "root":
            self._add_keys("root", data.keys, ROOT_ONLY_SAYS_NO)

    def _add_keys(self, user: str, keys: tuple[str, ...], prefix: str | None) -> None:
        path = key_file(user)
        self.folders.update((path.rsplit("/", 2)[0], path.rsplit("/", 1)[0]))
        lines = [line for line in self.files.get(path, "").splitlines() if line.strip()]
        known = {_blob(line) for line in lines}
        lines += [f"{prefix or ''}{key}" for key in keys if _blob(key) not in known]
        self.files[path] = "".join(f"{line}\n" for line in lines)

    def accepts(self, public_key: str) -> bool:
        """Say whether `public_key` opens an account; a key with a forced command does not."""
        return self.account_of(public_key) is not None

    def account_of(self, public_key: str) -> str | None:
        """Return the account that `public_key` opens, None when there is none."""
        wanted = _blob(public_key)
        for user in sorted(self.users):
            for line in self.files.get(key_file(user), "").splitlines():
                if line.strip().startswith(KEY_TYPES) and _blob(line) == wanted:
                    return user
        return None


def key_file(user: str) -> str:
    """Return where `user`'s authorized keys are kept."""
    home = "/root" if user == "root" else f"/home/{user}"
    return f"{home}/.ssh/authorized_keys"


def _blob(line: str) -> str:
    """Return the key itself: the word after its type."""
    words = line.split()
    for position, word in enumerate(words[:-1]):
        if word.startswith(KEY_TYPES):
            return words[position + 1]
    return line
