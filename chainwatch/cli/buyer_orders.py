"""What the owner of a lease says on the chain, and takes back: it costs gas and nothing else."""

from enum import StrEnum
from typing import Annotated

import typer
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from chainwatch.admin.client import Json
from chainwatch.chain.wallet.amounts import NATIVE
from chainwatch.chain.wallet.leases import ACTIONS, LeaseBook
from chainwatch.cli.buyer_looks import Token
from chainwatch.cli.buyer_sales import SshKey, fingerprint, is_key, public_key
from chainwatch.cli.printing import moment, span
from chainwatch.cli.wallet import Wallet, address, with_wallet
from chainwatch.errors import OperatorError

_SAFELY = "safeTransferFrom(address,address,uint256)"


class Action(StrEnum):
    """What the owner of a running lease may ask of its machine."""

    REBOOT = "reboot"
    START = "start"
    STOP = "stop"
    REINSTALL = "reinstall"
    WITHDRAW_UPGRADE = "withdraw-upgrade"


@with_wallet
async def end(wallet: Wallet, *, token: Token) -> None:
    """End a delivered lease now; the unused rest becomes your credit."""
    lease = await wallet.book.lease(token)
    money = await wallet.book.money(lease.plan.payment_token)
    free = not lease.plan.end_fee or await wallet.chain.now() < lease.free_until
    rest, fee = money.written(lease.unused), f"{lease.plan.end_fee / 100:g} %"
    what = (
        f"End lease {token} now: its machine stops, and is taken away after "
        f"{span(lease.plan.grace)}. Your credit is what is unused, about {rest}, "
        f"{'without a fee' if free else f'less a fee of {fee} of it'}"
    )
    await wallet.carry_out(what, wallet.book.call("end", token))
    wallet.say("`chainwatch-lease claim` takes the credit out")
    wallet.finish(token=token)


@with_wallet
async def refund(wallet: Wallet, *, token: Token) -> None:
    """Take back what was paid for a lease that was not delivered in time."""
    what = f"Take all that was paid for lease {token} back as credit; the lease is gone then"
    await wallet.carry_out(what, wallet.book.call("refund", token))
    wallet.say("`chainwatch-lease claim` takes the credit out")
    wallet.finish(token=token)


@with_wallet
async def claim(
    wallet: Wallet,
    *,
    token: Annotated[
        str, typer.Option("--token", help="This ERC-20 alone; coin: 0x0…0; else all.")
    ] = "",
    to: Annotated[str, typer.Option("--to", help="Who gets it; else you.")] = "",
) -> None:
    """Take out all that the contract owes you, in whatever plans are paid in."""
    book, account = wallet.book, wallet.key().address
    taker = address(to, "--to") if to else account
    moneys = await book.moneys([address(token, "--token")] if token else await _paid_in(book))
    asked = [each for each in moneys.values() if not token or each.address == address(token, "")]
    owed = [(money, credit) for money, credit in await book.credits(account, asked) if credit]
    if not owed:
        raise OperatorError(
            f"the contract owes {account} no {' and no '.join(each.symbol for each in asked)}: "
            "only what was refunded, or is left of an ended lease, is owed, to its owner"
        )
    for money, credit in owed:
        what = f"Take out {money.written(credit)}, to {taker}"
        await wallet.carry_out(what, book.call("claim", money.address, taker))
    claimed: list[Json] = [
        {"amount": str(credit), "payment_token": money.address} for money, credit in owed
    ]
    wallet.finish(claimed=claimed, to=taker)


async def _paid_in(book: LeaseBook) -> list[str]:
    return [plan.payment_token for plan in await book.plans()]


@with_wallet
async def burn(wallet: Wallet, *, token: Token) -> None:
    """Remove an expired lease of yours for good; it can't be renewed then."""
    lease, now = await wallet.book.lease(token), await wallet.chain.now()
    if not lease.delivered_at:
        raise OperatorError(
            f"lease {token} was not delivered: `refund` gives all of it back once that is overdue"
        )
    if now < lease.expires_at:
        raise OperatorError(
            f"lease {token} runs until {moment(lease.expires_at)} UTC: `end` ends it and gives "
            "back what is not used"
        )
    what = f"Remove lease {token} for good: nobody can renew it any more, and its machine goes"
    await wallet.carry_out(what, wallet.book.call("burn", token))
    wallet.finish(token=token)


@with_wallet
async def approve(
    wallet: Wallet,
    *,
    token: Token,
    to: Annotated[str, typer.Argument(metavar="WHO", help="An address, as a market's; or nobody.")],
) -> None:
    """Let somebody else transfer a lease, as a market does that sells it."""
    who = NATIVE if to == "nobody" else address(to, "WHO")
    what = f"Let {who} transfer lease {token}, with its machine and all that is paid, to anybody"
    if who == NATIVE:
        what = f"Let nobody but you transfer lease {token}"
    await wallet.carry_out(what, wallet.book.call("approve", who, token))
    wallet.finish(token=token, approved=who)


@with_wallet
async def transfer(
    wallet: Wallet,
    *,
    token: Token,
    to: Annotated[str, typer.Argument(metavar="TO", help="The new owner's address.")],
) -> None:
    """Give a lease, with the machine and the money in it, to somebody else."""
    taker = address(to, "TO")
    what = (
        f"Give lease {token} to {taker}, with its machine and all that is paid. Both keys are "
        "cleared; the new owner publishes his own with `keys`"
    )
    call = wallet.book.call(_SAFELY, wallet.key().address, taker, token)
    await wallet.carry_out(what, call)
    wallet.finish(token=token, owner=taker)


@with_wallet
async def keys(wallet: Wallet, *, token: Token, ssh_key: SshKey = None) -> None:
    """Publish a new key for the way in, and an SSH key; the one before is replaced."""
    ssh = public_key(ssh_key)
    if ssh_key is None:
        ssh = await _published(wallet.book, token)
    private = X25519PrivateKey.generate()
    public, box = private.public_key().public_bytes_raw(), wallet.letterbox
    what = f"Publish a new key for the way into lease {token}, and " + (
        f"the SSH key {fingerprint(ssh)}: {ssh}" if ssh else "no SSH key"
    )
    call = wallet.book.call("setKeys", token, ssh, public)
    await wallet.carry_out(what, call, lambda: box.keep(private))
    wallet.say(f"The key is {box.file_of(public)}: keep it")
    wallet.finish(token=token, encryption_key=public.hex())


async def _published(book: LeaseBook, token: int) -> str:
    """The SSH key that the lease has, as the node says: shown whole before it is signed again."""
    ssh = str(await book.one("sshKeyOf", token))
    if ssh and not is_key(ssh):
        raise OperatorError(
            f"the SSH key of lease {token} is none, as the node tells it: name yours with --ssh-key"
        )
    return ssh


@with_wallet
async def action(
    wallet: Wallet,
    *,
    token: Token,
    what: Annotated[Action, typer.Argument(metavar="WHAT", help="What is asked for.")],
) -> None:
    """Ask for a reboot, start, stop or reinstall, or take an upgrade back."""
    if what is Action.WITHDRAW_UPGRADE:
        told = f"Take back the upgrade of lease {token}; what was set aside becomes credit"
        await wallet.carry_out(told, wallet.book.call("withdrawUpgrade", token))
    else:
        told = f"Ask for this of the machine of lease {token}: {what}"
        if what is Action.REINSTALL:
            told += ". Everything on its disk is lost"
        call = wallet.book.call("requestAction", token, ACTIONS[what], b"")
        await wallet.carry_out(told, call)
    wallet.finish(token=token, action=what)


@with_wallet
async def decline_renewal(wallet: Wallet, *, token: Token) -> None:
    """Say that nobody shall renew a lease; the paid time stays."""
    what = f"Let nobody renew lease {token}; the paid time stays"
    await wallet.carry_out(what, wallet.book.call("cancelSubscription", token))
    wallet.finish(token=token)


@with_wallet
async def allow_renewal(wallet: Wallet, *, token: Token) -> None:
    """Say that a lease may be renewed again."""
    what = f"Let anybody renew lease {token} again"
    await wallet.carry_out(what, wallet.book.call("allowRenewal", token))
    wallet.finish(token=token)
