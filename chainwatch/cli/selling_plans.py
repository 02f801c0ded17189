"""`chainwatch contract plan …`, `pause` and `unpause`: what is sold, and on what terms."""

from typing import Annotated, TypeAlias

import typer

from chainwatch.chain.wallet.amounts import NATIVE, Money, duration
from chainwatch.chain.wallet.leases import KINDS, PLAN_MADE
from chainwatch.cli.buyer_looks import list_plans
from chainwatch.cli.wallet import Wallet, address, to_look, with_wallet
from chainwatch.errors import OperatorError

Plan: TypeAlias = Annotated[int, typer.Argument(metavar="PLAN", min=1, help="The plan's number.")]
Per: TypeAlias = Annotated[str, typer.Option("--per", help="What the price is for.")]


@with_wallet
async def add(
    wallet: Wallet,
    *,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is called, for ever.")],
    price: Annotated[str, typer.Option("--price", help="What `--per` costs, as 12.5.")],
    kind: Annotated[str, typer.Option("--kind", help="vm or container.")] = "vm",
    cores: Annotated[int, typer.Option("--cores", min=1)] = 1,
    memory: Annotated[int, typer.Option("--memory", min=1, help="MiB.")] = 1024,
    disk: Annotated[int, typer.Option("--disk", min=1, help="GiB.")] = 10,
    per: Per = "30d",
    token: Annotated[str, typer.Option("--token", help="An ERC-20's address; else coin.")] = NATIVE,
    grace: Annotated[str, typer.Option("--grace", help="Renewable for, once expired.")] = "3d",
    delivery_time: Annotated[
        str, typer.Option("--delivery-time", help="Delivered within, else refunded.")
    ] = "1h",
    end_fee: Annotated[
        float, typer.Option("--end-fee", min=0, max=25, help="% of the unused rest.")
    ] = 0.0,
    cap: Annotated[int, typer.Option("--cap", min=0, help="At most so many; 0: any.")] = 0,
) -> None:
    """Put a plan on sale."""
    if kind not in KINDS:
        raise OperatorError(f"--kind {kind[:20]!r} is neither vm nor container")
    money = await wallet.book.money(address(token, "--token"))
    second = per_second(money, price, _seconds(per, "--per"))
    offer = (
        *(name, KINDS.index(kind), cores, memory, disk, _seconds(grace, "--grace")),
        *(_seconds(delivery_time, "--delivery-time"), round(end_fee * 100)),
        *(money.address, second, cap),
    )
    what = (
        f"Sell {name}: {kind}, {cores} cores, {memory} MiB, {disk} GiB, for "
        f"{money.written(second * _seconds('30d', ''))} for 30 days (a second is {second} units)"
    )
    mined = await wallet.carry_out(what, wallet.book.call("createPlan", offer))
    number = wallet.book.made(mined.logs, PLAN_MADE)
    wallet.say(f"It is plan {number}")
    wallet.finish(plan=number, price=str(second))


@to_look
async def listing(wallet: Wallet) -> None:
    """List all plans, those too that are not on sale."""
    await list_plans(wallet, "there is no plan yet")


@with_wallet
async def change(
    wallet: Wallet,
    *,
    plan: Plan,
    price: Annotated[str, typer.Option("--price", help="What `--per` costs from now on.")] = "",
    per: Per = "30d",
    cap: Annotated[
        int | None, typer.Option("--cap", min=0, help="At most so many; 0: any.")
    ] = None,
) -> None:
    """Change a plan's price or cap; nothing else of it can change."""
    found = await wallet.book.plan(plan)
    money = await wallet.book.money(found.payment_token)
    second = per_second(money, price, _seconds(per, "--per")) if price else found.price
    most = found.cap if cap is None else cap
    if (second, most) == (found.price, found.cap):
        raise OperatorError(f"plan {plan} has this price and cap already: name --price or --cap")
    changes = []
    if second != found.price:
        month = _seconds("30d", "")
        old, new = (money.written(each * month) for each in (found.price, second))
        whom = "for its leases too, for good" if second < found.price else "for new leases alone"
        changes.append(f"30 days for {new} instead of {old}, {whom}")
    if most != found.cap:
        changes.append(f"a cap of {most or 'any number'} instead of {found.cap or 'any number'}")
    what = f"Change plan {plan} ({found.name}): {'; '.join(changes)}"
    terms = wallet.book.call("setTerms", plan, second, most, found.on_sale)
    await wallet.carry_out(what, terms)
    wallet.finish(plan=plan, price=str(second), cap=most, on_sale=found.on_sale)


@with_wallet
async def retire(wallet: Wallet, *, plan: Plan) -> None:
    """Sell a plan no more; who has it can renew it at his price."""
    found = await wallet.book.plan(plan)
    if not found.on_sale:
        raise OperatorError(f"plan {plan} is not on sale: `plan reopen` undoes that")
    what = f"Sell plan {plan} ({found.name}) no more; its {found.live} leases can still be renewed"
    terms = wallet.book.call("setTerms", plan, found.price, found.cap, False)
    await wallet.carry_out(what, terms)
    wallet.finish(plan=plan)


@with_wallet
async def reopen(wallet: Wallet, *, plan: Plan) -> None:
    """Put a plan that was retired on sale again, as it was."""
    found = await wallet.book.plan(plan)
    if found.on_sale:
        raise OperatorError(f"plan {plan} is on sale already")
    money = await wallet.book.money(found.payment_token)
    month = money.written(found.price * _seconds("30d", ""))
    what = f"Sell plan {plan} ({found.name}) again, for {month} for 30 days"
    terms = wallet.book.call("setTerms", plan, found.price, found.cap, True)
    await wallet.carry_out(what, terms)
    wallet.finish(plan=plan)


@with_wallet
async def pause(wallet: Wallet) -> None:
    """Stop all new sales and upgrades; renewals, refunds and transfers go on."""
    await _pause(wallet, "Sell nothing and take no upgrade until `unpause`", paused=True)


@with_wallet
async def unpause(wallet: Wallet) -> None:
    """Go on with sales and upgrades."""
    await _pause(wallet, "Sell again what is on sale", paused=False)


async def _pause(wallet: Wallet, what: str, *, paused: bool) -> None:
    if await wallet.book.one("salesPaused") is paused:
        raise OperatorError(f"sales are {'paused' if paused else 'not paused'} as it is")
    await wallet.carry_out(what, wallet.book.call("setSalesPaused", paused))
    wallet.finish(paused=paused)


def per_second(money: Money, price: str, seconds: int) -> int:
    """Return what a second costs, in the smallest unit, rounded up. Raises `OperatorError`."""
    try:
        units = money.units(price)
    except ValueError as wrong:
        raise OperatorError(f"--price {price[:60]!r} {wrong}") from None
    return -(-units // max(1, seconds))


def _seconds(text: str, name: str) -> int:
    try:
        return duration(text)
    except ValueError as wrong:
        raise OperatorError(f"{name} {text[:60]!r} {wrong}") from None
