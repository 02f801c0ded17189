"""A TLS server that says exactly what a test wrote down, byte for byte, and remembers requests.

For the answers that no Proxmox gives and that a client must survive all the same: silence, a reset,
HTML, another shape of JSON, a redirect. Each request takes the next line of the script.
"""

import socket
import ssl
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from provisioner.simulator.certificate import write_certificate
from tests.support.pve import NOW

#: Say nothing until the test is over; reset the connection.
SILENCE: Final = b"silence"
RESET: Final = b"reset"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came over the wire."""

    line: str
    headers: dict[str, str]
    body: str


def answered(status: str, body: str = '{"data":null}', *headers: str) -> bytes:
    """Return a whole HTTP answer; `status` is code and reason phrase."""
    payload = body.encode()
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(payload)}", *headers]
    return "\r\n".join([*head, "", ""]).encode() + payload


class Scripted:
    """The server; `then_closes` ends every connection after one answer, without saying so."""

    def __init__(
        self, folder: Path, *script: bytes, host: str = "127.0.0.1", then_closes: bool = False
    ) -> None:
        self.certificate, key = write_certificate(folder, NOW)
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(self.certificate, key)
        self._script = list(script)
        self._then_closes = then_closes
        self._over = threading.Event()
        self._listener = socket.create_server((host, 0))
        self.port = int(self._listener.getsockname()[1])
        self.asked: list[Asked] = []
        self.closed = threading.Semaphore(0)
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    def script(self, *lines: bytes) -> None:
        """Write on."""
        self._script += lines

    def _start(self, target: Callable[..., None], *args: socket.socket) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            self._start(self._serve, plain)

    def _serve(self, plain: socket.socket) -> None:
        with plain:
            plain.settimeout(10)
            try:
                with self._context.wrap_socket(plain, server_side=True) as secure:
                    self._converse(secure)
            except OSError:
                return  # the client went away, which is its right

    def _converse(self, secure: ssl.SSLSocket) -> None:
        stream = secure.makefile("rb")
        while line := stream.readline().decode().strip():
            headers = dict(self._headers(stream.readline))
            body = stream.read(int(headers.get("content-length", 0))).decode()
            self.asked.append(Asked(line, headers, body))
            answer = self._script.pop(0)
            if answer == SILENCE:
                self._over.wait(10)
                return
            if answer == RESET:
                linger = struct.pack("ii", 1, 0)
                secure.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                return
            secure.sendall(answer)
            if self._then_closes:
                break
        secure.shutdown(socket.SHUT_RDWR)
        self.closed.release()

    @staticmethod
    def _headers(readline: Callable[[], bytes]) -> list[tuple[str, str]]:
        found = []
        while line := readline().decode().strip():
            name, _, value = line.partition(":")
            found.append((name.lower(), value.strip()))
        return found
