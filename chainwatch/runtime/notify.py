"""Telling systemd how the daemon is: ready, alive, stopping, and a line for `systemctl status`.

The protocol is one datagram of KEY=VALUE lines to the socket in NOTIFY_SOCKET (sd_notify(3)).
Without that variable every call does nothing. How it fails: a lost datagram is not worth a crash;
a lost READY or WATCHDOG makes systemd restart the daemon, which is the right answer to silence.
"""

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from chainwatch.errors import Fatal


@dataclass(frozen=True, slots=True)
class Notifier:
    """A line to the service manager; `address` None means that nobody listens.

    Each method returns whether the message was sent.
    """

    address: str | None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Notifier":
        """Find the socket in `environ`. Raises Fatal for a kind of address that is not known."""
        address = environ.get("NOTIFY_SOCKET") or None
        if address and address[0] not in "/@":
            raise Fatal(f"NOTIFY_SOCKET={address} is neither a path nor abstract; unset it")
        return cls(address)

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Say that we are ready, and at the end of the block, however it ends, stopping."""
        self.ready()
        try:
            yield
        finally:
            self.stopping()

    def ready(self) -> bool:
        return self._send("READY=1")

    def stopping(self) -> bool:
        return self._send("STOPPING=1")

    def alive(self) -> bool:
        return self._send("WATCHDOG=1")

    def status(self, text: str) -> bool:
        """Show `text`, one line, in `systemctl status`."""
        return self._send("STATUS=" + " ".join(text.split()))

    def _send(self, message: str) -> bool:
        if self.address is None:
            return False
        address = "\0" + self.address[1:] if self.address[0] == "@" else self.address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line:
                line.settimeout(1)  # a full queue must not hang the daemon
                line.connect(address)
                line.sendall(message.encode())
        except OSError:
            return False
        return True


def watchdog_interval(environ: Mapping[str, str], pid: int) -> float | None:
    """Return after how many seconds to say `alive` again; None when nobody watches process `pid`.

    It is half of what systemd allows, as sd_watchdog_enabled(3) recommends.
    """
    watched, allowed = environ.get("WATCHDOG_PID", str(pid)), environ.get("WATCHDOG_USEC", "")
    if watched != str(pid) or not allowed.isdecimal() or int(allowed) == 0:
        return None
    return int(allowed) / 1_000_000 / 2
