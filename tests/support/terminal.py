"""People at their terminals: keystores, and the real programs typed at on a real chain.

A program takes a second to load, so one process loads them once and forks for every command, as the
demo's does.
"""

import asyncio
import json
import os
import pty
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from eth_account import Account

from tests.support.anvil import Anvil, running

PASSWORD: Final = "correct horse battery"
#: The accounts that anvil makes rich, of its own published phrase.
_PHRASE: Final = "test test test test test test test test test test test junk"
SELLER: Final = "chainwatch"
BUYER: Final = "chainwatch-lease"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def told(self) -> Any:  # noqa: ANN401 - JSON, which a test knows the shape of
        """The one JSON document on standard output."""
        assert self.code == 0, self.err
        return json.loads(self.out)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with a keystore; `address` is in lower case."""

    address: str
    keystore: Path
    key: bytes


class Terminal:
    """Where programs are typed at, one at a time."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def types(self, words: list[str], settings: dict[str, str]) -> Ended:
        """Type a command with an environment, and wait for its end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"words": words, "environ": settings}) + "\n")
        self._process.stdin.flush()
        return Ended(**json.loads(self._process.stdout.readline()))


def typed_at_a_screen(
    words: list[str], settings: dict[str, str], answers: list[tuple[str, str]]
) -> tuple[int, str]:
    """Run the buyer's program at a terminal of its own; returns its exit code and the screen.

    Each answer is what the screen has to say first, and what is typed then.
    """
    code = "from chainwatch.cli.buyer import main; main()"
    child, screen = pty.fork()
    if child == 0:
        os.execve(sys.executable, (sys.executable, "-c", code, *words), settings)
    shown, seen = b"", 0
    left = [*answers]
    try:
        while piece := _read(screen):
            shown += piece
            if left and left[0][0].encode() in shown[seen:]:
                seen = len(shown)
                os.write(screen, f"{left.pop(0)[1]}\n".encode())
    finally:
        os.close(screen)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), shown.decode()


def _read(screen: int) -> bytes:
    """What is shown next; nothing once the program has ended (Linux says EIO then)."""
    try:
        return os.read(screen, 4096)
    except OSError:
        return b""


@contextmanager
def terminal() -> Iterator[Terminal]:
    """A terminal, for as long as the block lasts."""
    command = (sys.executable, "-m", "chainwatch.demo.programs")
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Terminal(process)


@dataclass
class Street:
    """A chain, a folder for keystores, and the contract that everybody means."""

    terminal: Terminal
    anvil: Anvil
    folder: Path
    contract: str = ""

    def person(self, number: int) -> Person:
        """Who has the chain's account of that number."""
        Account.enable_unaudited_hdwallet_features()
        account = Account.from_mnemonic(_PHRASE, account_path=f"m/44'/60'/0'/0/{number}")
        path = self.folder / f"person-{number}.json"
        made = Account.encrypt(account.key, PASSWORD, kdf="pbkdf2", iterations=10)
        path.write_text(json.dumps(made))
        password = self.folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o600)
        return Person(account.address.lower(), path, bytes(account.key))

    async def types(self, program: str, *words: str, by: Person | None = None) -> Ended:
        """Start a program as a person would, and wait for its end."""
        typed, settings = [program, *words], self.settings(by)
        return await asyncio.to_thread(self.terminal.types, typed, settings)

    async def answers(
        self, *words: str, by: Person, keys: list[tuple[str, str]]
    ) -> tuple[int, str]:
        """Type a buyer's command at a screen, without a password file, and answer it."""
        settings = self.settings(by)
        del settings["CHAINWATCH_PASSWORD_FILE"]
        return await asyncio.to_thread(typed_at_a_screen, [*words], settings, keys)

    def settings(self, by: Person | None) -> dict[str, str]:
        """The environment of somebody's shell."""
        settings = {
            **{name: value for name, value in os.environ.items() if "CHAINWATCH" not in name},
            "CHAINWATCH_RPC": self.anvil.url,
            "CHAINWATCH_CONTRACT": self.contract,
            "CHAINWATCH_PASSWORD_FILE": str(self.folder / "password"),
        }
        if by is not None:
            settings["CHAINWATCH_KEYSTORE"] = str(by.keystore)
        return settings

    async def sells(self, *words: str, by: Person) -> Any:  # noqa: ANN401 - as above
        """What `chainwatch contract …` did, told as JSON."""
        return (await self.types(SELLER, "contract", *words, *_asked(words), by=by)).told

    async def buys(self, *words: str, by: Person) -> Any:  # noqa: ANN401 - as above
        """What `chainwatch-lease …` did, told as JSON."""
        return (await self.types(BUYER, *words, *_asked(words), by=by)).told


@asynccontextmanager
async def street(at: Terminal, folder: Path) -> AsyncIterator[Street]:
    """A new chain, with no contract on it."""
    async with running() as anvil:
        yield Street(at, anvil, folder)


def _asked(words: tuple[str, ...]) -> tuple[str, ...]:
    """The options of a script; what only looks has nothing to agree to."""
    alone = {"verify", "show", "plans", "connect", "list"} & set(words[:1])
    looks = alone or words[:2] in (("plan", "list"), ("role", "show"))
    return ("--json",) if looks else ("--yes", "--json")
