"""What all commands that send a person's own transactions share: options, asking, sending.

Law: nothing is signed before what it does and what it costs at most was shown and agreed to;
`--yes` agrees beforehand. With `--json` standard output holds one JSON document, and everything
said to a person goes to standard error. The keystore is opened only when something is to be
signed; its password is asked for, or read from a file, and never an argument.
"""

import asyncio
import inspect
import json
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Concatenate, Final, ParamSpec, TypeAlias

import typer

from chainwatch.admin.client import Json
from chainwatch.chain.addresses import parse_address
from chainwatch.chain.rpc import RpcPool
from chainwatch.chain.sender.fees import coins
from chainwatch.chain.sender.keys import HotKey, opened
from chainwatch.chain.wallet.amounts import Money
from chainwatch.chain.wallet.chain import Chain, Mined
from chainwatch.chain.wallet.leases import LeaseBook
from chainwatch.chain.wallet.letterbox import Letterbox
from chainwatch.cli.printing import Cell, clean, pairs, show_json
from chainwatch.credentials import read_secret, remember_url
from chainwatch.domain.sendings import Call
from chainwatch.errors import OperatorError, RpcUnavailable
from chainwatch.runtime.clock import SystemClock

_TIMEOUT_S: Final = 20.0
_LARGEST: Final = 65_536

#: The options of every such command, in the order in which --help shows them.
_OPTIONS: Final[dict[str, tuple[object, object]]] = {
    "rpc": (
        Annotated[
            str, typer.Option("--rpc", envvar="CHAINWATCH_RPC", help="A node's HTTP address.")
        ],
        ...,
    ),
    "contract": (
        Annotated[
            str,
            typer.Option("--contract", envvar="CHAINWATCH_CONTRACT", help="The lease contract."),
        ],
        "",
    ),
    "chain_id": (
        Annotated[
            int | None,
            typer.Option(
                "--chain-id", envvar="CHAINWATCH_CHAIN_ID", help="Refuse any other chain."
            ),
        ],
        None,
    ),
    "keystore": (
        Annotated[
            Path | None,
            typer.Option(
                "--keystore", envvar="CHAINWATCH_KEYSTORE", help="Your account: a V3 keystore."
            ),
        ],
        None,
    ),
    "password_file": (
        Annotated[
            Path | None,
            typer.Option(
                "--password-file",
                envvar="CHAINWATCH_PASSWORD_FILE",
                help="Its password; else it is asked for.",
            ),
        ],
        None,
    ),
    "most_fee": (
        Annotated[
            str, typer.Option("--most-fee", help="Refuse to pay more for gas, in coin, at a time.")
        ],
        "",
    ),
    "yes": (Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")], False),
    "as_json": (Annotated[bool, typer.Option("--json", help="Print JSON.")], False),
}


@dataclass
class Wallet:
    """One command's way to the chain, and to whoever typed it."""

    chain: Chain
    contract: str
    keystore: Path | None
    password_file: Path | None
    most_fee: str
    yes: bool
    as_json: bool
    done: list[Json] = field(default_factory=list)
    _key: HotKey | None = None

    @property
    def book(self) -> LeaseBook:
        if not self.contract:
            raise OperatorError("name the lease contract with --contract or CHAINWATCH_CONTRACT")
        return LeaseBook(self.chain, address(self.contract, "--contract"))

    @property
    def letterbox(self) -> Letterbox:
        return Letterbox(self._keystore())

    def key(self) -> HotKey:
        """Open the keystore, once."""
        if self._key is None:
            self._key = HotKey(_opened(self._keystore(), self.password_file))
        return self._key

    def account(self) -> str:
        """The address that the keystore names, without opening it."""
        return address(named_in(self._keystore()), "the address in the keystore")

    def _keystore(self) -> Path:
        if self.keystore is None:
            raise OperatorError("name your keystore with --keystore or CHAINWATCH_KEYSTORE")
        return self.keystore

    # ------------------------------------------------------------------------------------- telling

    def say(self, text: str) -> None:
        """Tell a person something; whatever in it came from outside can't move the cursor."""
        typer.echo(clean(text), err=self.as_json)

    def table(self, rows: Sequence[tuple[str, str | Cell]]) -> None:
        """Show names and what they are, to a person alone."""
        if not self.as_json:
            pairs(rows)

    def finish(self, **facts: Json) -> None:
        """Print the document for scripts."""
        if self.as_json:
            show_json({**facts, "transactions": self.done} if self.done else facts)

    def agree(self, what: str) -> None:
        """Say what a signature allows, and ask whether it may be made."""
        self.say(what)
        self._ask()

    def _ask(self) -> None:
        if self.yes:
            return
        try:
            with _interruptible():
                typer.confirm("Do it?", abort=True, err=self.as_json)
        except typer.Abort:
            if sys.stdin.isatty():
                raise
            typer.echo("", err=self.as_json)
            raise OperatorError(
                "nobody is there to be asked, so nothing was done: --yes agrees beforehand"
            ) from None

    # ------------------------------------------------------------------------------------- sending

    def _bounded(self, fee: int) -> None:
        if self.most_fee and fee > amount(Money(), self.most_fee, "--most-fee"):
            raise OperatorError(
                f"it may cost {coins(fee)} coin for gas, more than --most-fee: wait until the "
                "chain asks less, or allow more"
            )

    async def carry_out(
        self,
        what: str,
        call: Call,
        before: Callable[[], object] | None = None,
    ) -> Mined:
        """Show what a transaction does and costs, ask, and send it; `before` runs after the yes."""
        key = self.key()
        prepared = await self.chain.prepare(key.address, call)
        self.say(what)
        self.say(f"  by      {key.address} on chain {self.chain.chain_id}")
        if call.value:
            self.say(f"  pays    {coins(call.value)} coin")
        self.say(f"  costs   up to {coins(prepared.fee)} coin for {prepared.gas} units of gas")
        self._bounded(prepared.fee)
        self._ask()
        if before is not None:
            before()
        mined = await self.chain.send(
            key,
            prepared,
            told=lambda digest: self.say(f"  sends   {digest}"),
            pause=SystemClock().sleep,
        )
        self.say(f"  done    in block {mined.block}, for {coins(mined.fee)} coin")
        self.done.append(
            {
                "what": what,
                "hash": mined.hash,
                "block": mined.block,
                "gas_used": mined.gas_used,
                "fee": str(mined.fee),
            }
        )
        return mined


P = ParamSpec("P")
_SIGNING: Final = frozenset(("password_file", "most_fee", "yes"))
Command: TypeAlias = Callable[Concatenate[Wallet, P], Awaitable[None]]


def with_wallet(command: Command[P]) -> Callable[..., None]:
    """Give a command the options of a wallet, and run it with the wallet that they name."""
    return _given(command, frozenset())


def to_look(command: Command[P]) -> Callable[..., None]:
    """The same for a command that signs nothing, and so needs no keystore."""
    return _given(command, _SIGNING | {"keystore"})


def to_read(command: Command[P]) -> Callable[..., None]:
    """The same for a command that signs nothing, and needs what lies beside the keystore."""
    return _given(command, _SIGNING)


def to_make(command: Command[P]) -> Callable[..., None]:
    """The same for a command that makes the contract, so that there is none yet."""
    return _given(command, frozenset(("contract",)))


def _given(command: Command[P], left_out: frozenset[str]) -> Callable[..., None]:
    def run(**given: Any) -> None:  # noqa: ANN401 - whatever typer read by the signature below
        common = {
            name: default if name in left_out else given.pop(name)
            for name, (_, default) in _OPTIONS.items()
        }
        asyncio.run(_run(command, common, given))

    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
    shared = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
        )
        for name, (annotation, default) in _OPTIONS.items()
        if name not in left_out
    ]
    parameters = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in [*own, *shared]]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # typer reads it
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    return run


async def _run(
    command: Callable[..., Awaitable[None]], common: dict[str, Any], given: dict[str, Any]
) -> None:
    url = common.pop("rpc")
    if not url.startswith(("http://", "https://")):
        raise OperatorError("--rpc is not the HTTP address of a node: http(s)://… is expected")
    remember_url(url)
    pool = RpcPool([url], timeout=_TIMEOUT_S)
    try:
        chain = await Chain.reached(pool.ranked()[0], common.pop("chain_id"))
        await command(Wallet(chain, **common), **given)
    except RpcUnavailable as lost:
        raise OperatorError(
            f"the node gives no answer ({lost}): look whether --rpc is right and the node is up, "
            "or name another one"
        ) from None
    finally:
        await pool.close()


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C end a question at once.

    Asyncio's own handler only cancels the task, which waits for the answer and does not see it.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def address(text: str, name: str) -> str:
    """Return an address as typed, in lower case. Raises `OperatorError`."""
    try:
        return parse_address(text)
    except ValueError as wrong:
        raise OperatorError(f"{name} {text[:60]!r} {wrong}") from None


def amount(money: Money, text: str, name: str) -> int:
    """Return an amount as typed, in the smallest unit. Raises `OperatorError`."""
    try:
        return money.units(text)
    except ValueError as wrong:
        raise OperatorError(f"{name} {text[:60]!r} {wrong}") from None


def named_in(keystore: Path) -> str:
    """Return the address that a keystore names. Raises `OperatorError` where it names none."""
    try:
        fields = json.loads(_read(keystore))
    except ValueError:
        fields = None
    named = fields.get("address") if isinstance(fields, dict) else None
    if not isinstance(named, str):
        raise OperatorError(f"the keystore {keystore} does not name its address: use --owner")
    return f"0x{named.removeprefix('0x')}"


def _read(keystore: Path) -> bytes:
    try:
        with keystore.open("rb") as file:
            return file.read(_LARGEST)
    except OSError as error:
        raise OperatorError(f"the keystore {keystore} can't be read ({error.strerror})") from None


def _opened(keystore: Path, password_file: Path | None) -> bytes:
    text = _read(keystore)
    try:
        return opened(text, _password(password_file))
    except ValueError as wrong:
        raise OperatorError(f"the keystore {keystore} {wrong}") from None


def _password(file: Path | None) -> bytes:
    if file is not None:
        try:
            return read_secret(file.absolute()).reveal()
        except ValueError as wrong:
            raise OperatorError(f"--password-file: {wrong}") from None
    if not sys.stdin.isatty():
        raise OperatorError("nobody is there to be asked for the password: use --password-file")
    with _interruptible():
        asked = typer.prompt("Password of the keystore", hide_input=True, err=True)
    return str(asked).encode()
