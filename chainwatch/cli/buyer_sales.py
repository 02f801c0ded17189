"""`chainwatch-lease buy`, `renew` and `upgrade`: what costs money, each for exactly its price."""

import base64
import hashlib
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Final, TypeAlias

import typer
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from chainwatch.chain.profiles.lease import is_public_key
from chainwatch.chain.rpc import RpcError
from chainwatch.chain.wallet.amounts import Money, duration
from chainwatch.chain.wallet.leases import LEASE_MADE
from chainwatch.chain.wallet.paying import Purchase, Purse, Way
from chainwatch.cli.buyer_looks import Token
from chainwatch.cli.printing import clean, moment, span
from chainwatch.cli.wallet import Wallet, address, with_wallet
from chainwatch.cli.wallet import amount as units
from chainwatch.errors import OperatorError, RpcUnavailable

Pay: TypeAlias = Annotated[
    Way, typer.Option("--pay", help="How a token is paid; auto: by signature where it can be.")
]
Time: TypeAlias = Annotated[
    str, typer.Argument(metavar="TIME", help="How long, as 90min, 12h, 30d or 2w.")
]
SshKey: TypeAlias = Annotated[
    Path | None, typer.Option("--ssh-key", help="Your public SSH key, a file.")
]
Most: TypeAlias = Annotated[
    str, typer.Option("--most", help="Refuse a higher price, in what the plan is paid in.")
]
Keep: TypeAlias = Callable[[], object] | None
#: For how long a purchase may wait to be mined.
_PATIENCE_S: Final = 3600
_MOST_KEY: Final = 1025


@with_wallet
async def buy(
    wallet: Wallet,
    *,
    plan: Annotated[int, typer.Argument(metavar="PLAN", min=1, help="The plan's number.")],
    time: Time,
    ssh_key: SshKey = None,
    recipient: Annotated[str, typer.Option("--for", help="Who owns it; else you.")] = "",
    pay: Pay = Way.AUTO,
    most: Most = "",
) -> None:
    """Buy a machine for a while, and make the key that its way in is told to."""
    book, buyer = wallet.book, wallet.key().address
    owner = address(recipient, "--for") if recipient else buyer
    wanted, seconds = await book.plan(plan), lasting(time)
    amount = wanted.price * seconds
    ssh = public_key(ssh_key)
    deadline = await wallet.chain.now() + _PATIENCE_S
    private = X25519PrivateKey.generate()
    box = wallet.letterbox
    public = private.public_key().public_bytes_raw() if owner == buyer else b""
    keep: Keep = (lambda: box.keep(private)) if public else None
    order = (plan, owner, seconds, amount, deadline, ssh, public)
    purse = Purse(wallet.chain, await book.money(wanted.payment_token), buyer, book.address)
    bounded(purse.money, amount, most)
    way = await settled(wallet, purse, pay, amount, purchase=True)
    what = (
        f"Buy {span(seconds)} of plan {plan} ({wanted.name}) for {purse.money.written(amount)}, "
        f"and let in {f'the SSH key {fingerprint(ssh)}' if ssh else 'no SSH key'}; "
        f"what is not delivered within {span(wanted.delivery_time)} can be taken back whole"
    )
    if way is Way.PERMIT:
        permit = await permitted(wallet, purse, amount, deadline)
        call = book.call("mintWithPermit", order, permit)
    elif way is Way.AUTHORIZATION:
        signed, keep = await authorized(wallet, purse, order, keep), None
        call = book.call("mintWithAuthorization", order, signed)
    else:
        call = book.call("mint", order, value=amount if way is Way.NATIVE else 0)
    async with unspent(purse, way):
        mined = await wallet.carry_out(what, call, keep)
    token = book.made(mined.logs, LEASE_MADE)
    wallet.say(f"Lease {token} is bought: `chainwatch-lease show {token}`")
    if public:
        wallet.say(f"The key for its way in is {box.file_of(public)}: keep it")
    wallet.finish(token=token, paid=str(amount), way=way, encryption_key=public.hex())


@with_wallet
async def renew(
    wallet: Wallet, *, token: Token, time: Time, pay: Pay = Way.AUTO, most: Most = ""
) -> None:
    """Pay for more time of a lease, whoever owns it."""
    book, payer = wallet.book, wallet.key().address
    lease, seconds = await book.lease(token), lasting(time)
    amount = lease.price * seconds
    purse = Purse(wallet.chain, await book.money(lease.plan.payment_token), payer, book.address)
    bounded(purse.money, amount, most)
    way = await settled(wallet, purse, pay, amount)
    what = f"Renew lease {token} for {span(seconds)}, for {purse.money.written(amount)}"
    if way is Way.PERMIT:
        deadline = await wallet.chain.now() + _PATIENCE_S
        permit = await permitted(wallet, purse, amount, deadline)
        call = book.call("renewWithPermit", token, seconds, amount, permit)
    else:
        value = amount if way is Way.NATIVE else 0
        call = book.call("renew", token, seconds, amount, value=value)
    async with unspent(purse, way):
        await wallet.carry_out(what, call)
    expires_at = await book.one("expiresAt", token)
    if lease.delivered_at:
        wallet.say(f"Lease {token} expires at {moment(expires_at)} UTC")
    wallet.finish(token=token, paid=str(amount), way=way, expires_at=expires_at)


@with_wallet
async def upgrade(
    wallet: Wallet,
    *,
    token: Token,
    plan: Annotated[int, typer.Argument(metavar="PLAN", min=1, help="The wanted plan.")],
    most: Annotated[str, typer.Option("--most", help="The most that it may cost.")],
) -> None:
    """Ask for a larger plan for the time that is left; the difference is set aside."""
    book, payer = wallet.book, wallet.key().address
    wanted = await book.plan(plan)
    money = await book.money(wanted.payment_token)
    amount = units(money, most, "--most")
    purse = Purse(wallet.chain, money, payer, book.address)
    way = await settled(wallet, purse, Way.AUTO if money.native else Way.APPROVE, amount)
    what = (
        f"Ask for plan {plan} ({wanted.name}) for lease {token}, "
        f"for at most {money.written(amount)}"
    )
    value = amount if way is Way.NATIVE else 0
    async with unspent(purse, way):
        await wallet.carry_out(what, book.call("requestUpgrade", token, plan, amount, value=value))
        if way is Way.APPROVE and await purse.allowed():
            await wallet.carry_out("Take back what is left of the approval", purse.approval(0))
    wallet.finish(token=token, plan=plan)


def bounded(money: Money, price: int, most: str) -> None:
    """Raise `OperatorError` for a price above what was typed; '' is no bound."""
    if most and price > units(money, most, "--most"):
        raise OperatorError(
            f"it costs {money.written(price)}, more than --most: ask for less time, or allow more"
        )


async def settled(
    wallet: Wallet, purse: Purse, pay: Way, amount: int, *, purchase: bool = False
) -> Way:
    """Settle how it is paid, with the approval that this takes."""
    way = await purse.way(pay, amount, purchase=purchase)
    allowed = await purse.allowed() if way is Way.APPROVE else amount
    if allowed < amount:
        if allowed:  # some tokens take no new approval before the old one is taken back
            await wallet.carry_out("Take the approval of before back", purse.approval(0))
        what = f"Let the lease contract take {purse.money.written(amount)}, and no more"
        await wallet.carry_out(what, purse.approval(amount))
    return way


@asynccontextmanager
async def unspent(purse: Purse, way: Way) -> AsyncIterator[None]:
    """Say what the contract may still take, where what an approval was for ends without it."""
    try:
        yield
    except BaseException:
        if way is Way.APPROVE and (left := await _left(purse)):
            typer.echo(
                f"chainwatch-lease: the lease contract may still take {left} of "
                f"{purse.payer}. What is bought next is paid from that first; a wallet takes it "
                f"back with approve({purse.contract}, 0) at {purse.money.address}",
                err=True,
            )
        raise


async def _left(purse: Purse) -> str:
    """What the contract may still take, '' where that is nothing; all of it where nobody knows."""
    try:
        allowed = await purse.allowed()
    except (OperatorError, RpcError, RpcUnavailable):
        return "what was approved"
    return clean(purse.money.written(allowed)) if allowed else ""


async def permitted(wallet: Wallet, purse: Purse, amount: int, deadline: int) -> tuple[object, ...]:
    """Ask whether a permit may be signed, and sign it."""
    wallet.agree(
        f"Sign that the lease contract may take {purse.money.written(amount)}, and no more, "
        f"until {moment(deadline)} UTC"
    )
    return await purse.permit(wallet.key(), amount, deadline)


async def authorized(
    wallet: Wallet, purse: Purse, order: Purchase, keep: Keep
) -> tuple[object, ...]:
    """Ask whether an authorization may be signed, keep the buyer's new key, and sign.

    The node sees it to simulate the purchase, and who sees it can complete that: so it is agreed to
    before, and the key for the way in is kept by then.
    """
    _, _, seconds, amount, deadline, _, _ = order
    wallet.agree(
        f"Sign that the lease contract may take {purse.money.written(amount)} for exactly this "
        f"purchase of {span(seconds)}. Who sees the signature, as the node does, can complete the "
        f"purchase until {moment(deadline)} UTC"
    )
    if keep is not None:
        keep()
    return await purse.authorization(wallet.key(), amount, order, secrets.token_bytes(32))


def lasting(text: str) -> int:
    """Return seconds as typed. Raises `OperatorError`."""
    try:
        return duration(text)
    except ValueError as wrong:
        raise OperatorError(f"TIME {text[:60]!r} {wrong}") from None


def public_key(file: Path | None) -> str:
    """Return a public SSH key; '' for none. Raises `OperatorError` for what is no public key."""
    if file is None:
        return ""
    try:
        with file.open("rb") as opened:
            text = opened.read(_MOST_KEY + 1).decode().strip()
    except OSError as error:
        raise OperatorError(f"--ssh-key {file} can't be read ({error.strerror})") from None
    except ValueError:
        raise OperatorError(f"--ssh-key {file} is no public SSH key: it is no text") from None
    if "PRIVATE KEY" in text:
        raise OperatorError(f"--ssh-key {file} is a private key: name the file that ends in .pub")
    if not is_key(text) or len(text) >= _MOST_KEY:
        raise OperatorError(
            f"--ssh-key {file} is no public SSH key: one line is expected, as in a .pub file"
        )
    return text


def is_key(text: str) -> bool:
    """Whether a text is one line with a public SSH key that machines take."""
    return text.isascii() and text.isprintable() and is_public_key(text)


def fingerprint(key: str) -> str:
    """The fingerprint of a public key, as `ssh-keygen -l` prints it."""
    digest = hashlib.sha256(base64.b64decode(key.split(" ")[1])).digest()
    return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"
