"""The few programs that exist inside a simulated guest: those a controller runs.

Each gets the operating system, its arguments and its standard input, and says how it ended. A
program that is not here does not exist in the guest either.
"""

from provisioner.simulator.guestos import GuestOs, Program, Run


def _true(_: GuestOs, __: tuple[str, ...], ___: str) -> Run:
    return Run()


def _echo(_: GuestOs, words: tuple[str, ...], __: str) -> Run:
    return Run(output=" ".join(words) + "\n")


def _cat(_: GuestOs, __: tuple[str, ...], text: str) -> Run:
    return Run(output=text)


def _head(system: GuestOs, words: tuple[str, ...], _: str) -> Run:
    """`head -q -c BYTES FILE…`: 1 where one of them is missing."""
    limit, paths = int(words[2]), words[3:]
    found = [system.files[path][:limit] for path in paths if path in system.files]
    return Run(int(len(found) < len(paths)), output="".join(found))


def _hostname(system: GuestOs, _: tuple[str, ...], __: str) -> Run:
    return Run(output=f"{system.hostname}\n")


def _sleep(_: GuestOs, words: tuple[str, ...], __: str) -> Run:
    return Run(seconds=float(words[0]))


def _pkill(system: GuestOs, words: tuple[str, ...], _: str) -> Run:
    """`pkill -KILL -u USER`: 1 when nothing matched, 2 for an unknown user."""
    user = "root" if "-f" in words else words[-1]  # what sshd opened for root
    if user not in system.users:
        return Run(2, error=f"pkill: invalid user name: {user}\n")
    return Run(0 if _end_sessions(system, user) else 1)


def _usermod(system: GuestOs, words: tuple[str, ...], _: str) -> Run:
    """`usermod -c TEXT -- USER`: 6 for an unknown user."""
    text, user = words[1], words[-1]
    if user not in system.users:
        return Run(6, error=f"usermod: user '{user}' does not exist\n")
    system.comments[user] = text
    return Run()


def _false(_: GuestOs, __: tuple[str, ...], ___: str) -> Run:
    return Run(1, error="no\n")


def _loginctl(system: GuestOs, words: tuple[str, ...], _: str) -> Run:
    """`loginctl terminate-user USER`."""
    user = words[-1]
    if words[:1] != ("terminate-user",) or user not in system.users:
        return Run(1, error=f"Failed to look up user {user}: No such process\n")
    _end_sessions(system, user)
    return Run()


def _end_sessions(system: GuestOs, user: str) -> bool:
    before = len(system.sessions)
    system.sessions[:] = [session for session in system.sessions if session.user != user]
    return len(system.sessions) < before


def _mkdir(system: GuestOs, words: tuple[str, ...], _: str) -> Run:
    for path in (word for word in words if word.startswith("/")):
        parts = path.rstrip("/").split("/")
        system.folders.update("/".join(parts[:n]) for n in range(2, len(parts) + 1))
    return Run()


def _id(system: GuestOs, words: tuple[str, ...], _: str) -> Run:
    """`id -u USER`: 1 for an unknown user."""
    user = words[-1]
    if user not in system.users:
        return Run(1, error=f"id: '{user}': no such user\n")
    return Run(output="0\n" if user == "root" else "1000\n")


def _useradd(system: GuestOs, words: tuple[str, ...], _: str) -> Run:
    """`useradd -m -s SHELL USER`: 9 where the account exists."""
    user = words[-1]
    if user in system.users:
        return Run(9, error=f"useradd: user '{user}' already exists\n")
    system.users.add(user)
    system.folders.add(f"/home/{user}")
    return Run()


def _install(system: GuestOs, words: tuple[str, ...], text: str) -> Run:
    """`install -D -m MODE -o USER -g GROUP /dev/stdin FILE`: a file and the folders above it."""
    user, path = words[words.index("-o") + 1], words[-1]
    if user not in system.users:
        return Run(1, error=f"install: invalid user '{user}'\n")
    _mkdir(system, (path.rpartition("/")[0],), "")
    system.files[path] = text
    return Run()


PROGRAMS: dict[str, Program] = {
    "true": _true,
    "echo": _echo,
    "cat": _cat,
    "head": _head,
    "hostname": _hostname,
    "sleep": _sleep,
    "false": _false,
    "pkill": _pkill,
    "usermod": _usermod,
    "loginctl": _loginctl,
    "mkdir": _mkdir,
    "id": _id,
    "useradd": _useradd,
    "install": _install,
    "chmod": _true,
    "chown": _true,
}
