"""What the operator earned of his leases, and what he gives back."""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Final

import typer

from chainwatch.chain.wallet.amounts import NATIVE, Money
from chainwatch.chain.wallet.leases import MOST_COUNTED, LeaseBook, PlanOnSale
from chainwatch.cli.buyer_looks import Token
from chainwatch.cli.wallet import Wallet, address, amount, to_look, with_wallet
from chainwatch.errors import OperatorError

_PART: Final = 100
_RANGE: Final = re.compile(r"([0-9]{1,18})(?:-([0-9]{1,18}))?")


@to_look
async def show(wallet: Wallet) -> None:
    """Show how the contract does: its sales, its leases, and the operator's money."""
    book = wallet.book
    paused, sold = await book.all(("salesPaused",), ("lastTokenId",))
    plans = await book.plans()
    moneys = await _moneys(book, plans)
    open_now = sum(plan.on_sale for plan in plans)
    live = sum(plan.live for plan in plans)
    earned = await _by_money(book, await book.earned(await book.counted("lastTokenId")), plans)
    owed = await book.credits(NATIVE, moneys.values())
    wallet.table(
        [
            ("contract", f"{book.address} on chain {wallet.chain.chain_id}"),
            ("sales", "paused" if paused else f"{open_now} of {len(plans)} plans are on sale"),
            ("leases", f"{live} now, {sold} were ever sold"),
            ("earned, not collected", _written(earned, moneys)),
            ("to be withdrawn", _written({each.address: credit for each, credit in owed}, moneys)),
        ]
    )
    wallet.finish(
        paused=paused,
        plans=len(plans),
        leases=live,
        sold=sold,
        earned={money: str(units) for money, units in earned.items()},
        credit={money.address: str(credit) for money, credit in owed if credit},
    )


@with_wallet
async def collect(
    wallet: Wallet,
    *,
    tokens: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TOKEN]...", help="Which leases, as 7 or 1-500; else all."),
    ] = None,
    to: Annotated[str, typer.Option("--to", help="Take it out, to this address.")] = "",
) -> None:
    """Make what was earned the operator's, and take it out with `--to`."""
    book = wallet.book
    taker = address(to, "--to") if to else ""
    plans = await book.plans()
    moneys = await _moneys(book, plans)
    earned = await book.earned(_named(tokens) if tokens else await book.counted("lastTokenId"))
    earning = [token for token, units in earned.items() if units]
    for start in range(0, len(earning), _PART):
        part = earning[start : start + _PART]
        sums = await _by_money(book, {token: earned[token] for token in part}, plans)
        what = (
            f"Collect what was earned of {_leases(len(part))}, {_written(sums, moneys)} so far: "
            f"{', '.join(map(str, part))}"
        )
        await wallet.carry_out(what, book.call("collect", part))
    if not earning:
        wallet.say("nothing was earned since it was last collected")
    owed = await book.credits(NATIVE, moneys.values())
    for money, credit in owed:
        if credit and taker:
            what = f"Take out {money.written(credit)}, to {taker}"
            await wallet.carry_out(what, book.call("withdraw", money.address, taker, credit))
        elif credit:
            wallet.say(f"{money.written(credit)} can be taken out with `withdraw` or --to")
    wallet.finish(
        collected=[*earning],
        credit={money.address: str(credit) for money, credit in owed if credit},
        to=taker,
    )


@with_wallet
async def withdraw(
    wallet: Wallet,
    *,
    to: Annotated[str, typer.Argument(metavar="TO", help="Who gets it.")],
    token: Annotated[str, typer.Option("--token", help="An ERC-20's address; else coin.")] = NATIVE,
    part: Annotated[str, typer.Option("--amount", help="How much; else all.")] = "",
) -> None:
    """Take out what was collected, in coin or in a token."""
    taker = address(to, "TO")
    money = await wallet.book.money(address(token, "--token"))
    credit = await wallet.book.one("creditOf", money.address, NATIVE)
    wanted = amount(money, part, "--amount") if part else credit
    if not credit or not 0 < wanted <= credit:
        raise OperatorError(
            f"{money.written(credit)} can be taken out: `collect` first, or name another --token "
            "or --amount"
        )
    what = f"Take out {money.written(wanted)} of {money.written(credit)}, to {taker}"
    await wallet.carry_out(what, wallet.book.call("withdraw", money.address, taker, wanted))
    wallet.finish(amount=str(wanted), payment_token=money.address, to=taker)


@with_wallet
async def cancel(wallet: Wallet, *, token: Token) -> None:
    """End a delivered lease for good, and give back what is not used."""
    lease = await wallet.book.lease(token)
    if not lease.delivered_at:
        raise OperatorError(
            f"lease {token} is not delivered: the daemon gives it back, with `chainwatch cancel`"
        )
    money = await wallet.book.money(lease.plan.payment_token)
    what = (
        f"End lease {token} now, for good: its machine is taken away. About "
        f"{money.written(lease.unused)} go back to its owner {lease.owner}, without a fee; "
        f"{money.written(lease.earned)} were earned"
    )
    await wallet.carry_out(what, wallet.book.call("cancelDelivered", token))
    wallet.finish(token=token, owner=lease.owner)


def _named(texts: Sequence[str]) -> list[int]:
    """The leases that were typed, in order and once. Raises `OperatorError` for what is none."""
    named: set[int] = set()
    for text in texts:
        found = _RANGE.fullmatch(text)
        first = int(found[1]) if found else 0
        last = int(found[2] or found[1]) if found else 0
        if not 0 < first <= last < first + MOST_COUNTED:
            raise OperatorError(
                f"TOKEN {text[:40]!r} is no lease: a number, or the first and last of at most "
                f"{MOST_COUNTED}, as 1-500"
            )
        named.update(range(first, last + 1))
    return sorted(named)


async def _moneys(book: LeaseBook, plans: list[PlanOnSale]) -> dict[str, Money]:
    """What the plans are paid in, by its address; nothing that none is paid in."""
    paid_in = {plan.payment_token for plan in plans}
    found = await book.moneys(paid_in)
    return {each: found[each] for each in sorted(paid_in)}


async def _by_money(
    book: LeaseBook, earned: Mapping[int, int], plans: list[PlanOnSale]
) -> dict[str, int]:
    """What leases earned, summed up by what their plans are paid in."""
    paid_in = {plan.number: plan.payment_token for plan in plans}
    earning = [token for token, units in earned.items() if units]
    sums: dict[str, int] = {}
    answers = await book.each("planOf", ((token,) for token in earning))
    for token, plan in zip(earning, answers, strict=True):
        if not isinstance(plan, OperatorError):
            money = paid_in[int(str(plan[0]))]
            sums[money] = sums.get(money, 0) + earned[token]
    return sums


def _leases(count: int) -> str:
    return "1 lease" if count == 1 else f"{count} leases"


def _written(sums: Mapping[str, int], moneys: Mapping[str, Money]) -> str:
    """Write amounts of several kinds of money."""
    written = [moneys[money].written(units) for money, units in sums.items() if units]
    return ", ".join(written) or "nothing"
