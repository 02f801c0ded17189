"""`chainwatch contract …`: what the operator does with his lease contract, with his own keystore.

The daemon's hot key is not meant for any of this: admin and treasurer are people.
"""

from enum import StrEnum
from typing import Annotated, Final, TypeAlias

import typer

from chainwatch import artifacts
from chainwatch.chain.ethereum import keccak
from chainwatch.chain.wallet.amounts import NATIVE, Money, duration
from chainwatch.chain.wallet.interface import constructed
from chainwatch.chain.wallet.leases import KINDS, PLAN_MADE, LeaseBook
from chainwatch.chain.wallet.verifying import verified
from chainwatch.cli.buyer_looks import plan_facts, plan_row
from chainwatch.cli.printing import table
from chainwatch.cli.wallet import Wallet, address, to_look, to_make, with_wallet
from chainwatch.domain.sendings import Call
from chainwatch.errors import OperatorError

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
plan_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
role_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.add_typer(plan_app, name="plan", help="What is sold.")
app.add_typer(role_app, name="role", help="Who may do what.")

_PART: Final = 100


class Role(StrEnum):
    """The roles of the contract."""

    ADMIN = "admin"
    TREASURER = "treasurer"
    PROVISIONER = "provisioner"

    @property
    def word(self) -> bytes:
        return bytes(32) if self is Role.ADMIN else keccak(f"{self.name}_ROLE".encode())


RoleName: TypeAlias = Annotated[Role, typer.Argument(metavar="ROLE", help="Which role.")]
Account: TypeAlias = Annotated[str, typer.Argument(metavar="ADDRESS", help="Whose role.")]


@to_make
async def deploy(
    wallet: Wallet,
    *,
    provisioner: Annotated[str, typer.Option("--provisioner", help="The daemon's hot key.")],
    treasurer: Annotated[str, typer.Option("--treasurer", help="Who collects; else you.")] = "",
    admin: Annotated[str, typer.Option("--admin", help="Who sets plans; else you.")] = "",
) -> None:
    """Put a new lease contract on the chain."""
    own = wallet.key().address
    given = ((admin, "--admin"), (treasurer, "--treasurer"))
    people = [address(text, name) if text else own for text, name in given]
    people.append(address(provisioner, "--provisioner"))
    lease = artifacts.load("Lease")
    what = "Make a lease contract; admin {}, treasurer {}, provisioner {}".format(*people)
    call = Call("0x", constructed(lease.abi, lease.bytecode, *people))
    mined = await wallet.carry_out(what, call)
    made = address(mined.contract, "the new contract")
    wallet.say(f"The contract is {made}; its first block is {mined.block}")
    wallet.finish(contract=made, block=mined.block, transaction=mined.hash)


@to_look
async def verify(
    wallet: Wallet,
    *,
    transaction: Annotated[
        str | None,
        typer.Option("--transaction", help="The one that made it: shows who got the roles."),
    ] = None,
) -> None:
    """Compare the code on the chain with this version's contract, byte for byte."""
    verdict = await verified(wallet.chain, wallet.book.address, transaction)
    for sentence in verdict.wrong:
        wallet.say(sentence)
    for role, holder in verdict.roles.items():
        wallet.say(f"its first {role} is {holder}")
    if not verdict.wrong:
        wallet.say("the code is that of this version's contract")
    wallet.finish(
        ok=not verdict.wrong,
        code_hash=verdict.code_hash,
        wrong=[*verdict.wrong],
        roles={**verdict.roles},
    )
    if verdict.wrong:
        raise typer.Exit(1)


# ------------------------------------------------------------------------------------------- plans


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
    per: Annotated[str, typer.Option("--per", help="What the price is for.")] = "30d",
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
    book = wallet.book
    found = [(each, await book.money(each.payment_token)) for each in await book.plans()]
    if not wallet.as_json:
        table(
            ("PLAN", "NAME", "KIND", "CORES", "MEMORY", "DISK", "30 DAYS", "DELIVERED IN", "SOLD"),
            [plan_row(*each) for each in found],
            "there is no plan yet",
        )
    wallet.finish(plans=[plan_facts(*each) for each in found])


@with_wallet
async def retire(
    wallet: Wallet, *, plan: Annotated[int, typer.Argument(metavar="PLAN", min=1)]
) -> None:
    """Sell a plan no more; who has it can renew it at his price."""
    found = await wallet.book.plan(plan)
    what = f"Sell plan {plan} ({found.name}) no more; its {found.live} leases can still be renewed"
    terms = wallet.book.call("setTerms", plan, found.price, found.cap, False)
    await wallet.carry_out(what, terms)
    wallet.finish(plan=plan)


# ------------------------------------------------------------------------------------------- money


@with_wallet
async def collect(
    wallet: Wallet,
    *,
    tokens: Annotated[
        list[int] | None, typer.Argument(metavar="[TOKEN]...", help="Which leases; else all.")
    ] = None,
    to: Annotated[str, typer.Option("--to", help="Take it out, to this address.")] = "",
) -> None:
    """Make what was earned the operator's, and take it out with `--to`."""
    book = wallet.book
    taker = address(to, "--to") if to else ""
    earning = [
        each for each in tokens or await book.counted("lastTokenId") if await _earned(book, each)
    ]
    for start in range(0, len(earning), _PART):
        part = earning[start : start + _PART]
        what = f"Collect what was earned of {len(part)} leases: {', '.join(map(str, part))}"
        await wallet.carry_out(what, book.call("collect", part))
    if not earning:
        wallet.say("nothing was earned since it was last collected")
    owed = [
        (money, await book.one("creditOf", money.address, NATIVE)) for money in await _moneys(book)
    ]
    for money, credit in owed:
        if credit and taker:
            what = f"Take out {money.written(credit)}, to {taker}"
            await wallet.carry_out(what, book.call("withdraw", money.address, taker, credit))
        elif credit:
            wallet.say(f"{money.written(credit)} can be taken out with --to")
    wallet.finish(
        collected=[*earning],
        credit={money.address: str(credit) for money, credit in owed if credit},
        to=taker,
    )


async def _earned(book: LeaseBook, token: int) -> bool:
    try:
        earned, _, _ = await book.ask("escrowOf", token)
    except OperatorError:
        return False  # burned, or given back
    return bool(earned)


async def _moneys(book: LeaseBook) -> list[Money]:
    tokens = {plan.payment_token for plan in await book.plans()}
    return [await book.money(token) for token in sorted(tokens)]


# ------------------------------------------------------------------------------------------- roles


@with_wallet
async def grant(wallet: Wallet, *, role: RoleName, account: Account) -> None:
    """Give somebody a role."""
    who = address(account, "ADDRESS")
    if await wallet.book.one("hasRole", role.word, who):
        raise OperatorError(f"{who} is {role} already")
    what = f"Make {who} {role} of {wallet.book.address}"
    await wallet.carry_out(what, wallet.book.call("grantRole", role.word, who))
    wallet.finish(role=role, account=who)


@with_wallet
async def revoke(wallet: Wallet, *, role: RoleName, account: Account) -> None:
    """Take a role from somebody."""
    who = address(account, "ADDRESS")
    if not await wallet.book.one("hasRole", role.word, who):
        raise OperatorError(f"{who} is not {role}")
    what = f"Take the role {role} of {wallet.book.address} from {who}"
    if role is Role.ADMIN and who == wallet.key().address:
        what += ". That is you: where there is no other admin, there will never be one again"
    await wallet.carry_out(what, wallet.book.call("revokeRole", role.word, who))
    wallet.finish(role=role, account=who)


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


for _group, _name, _command in (
    (app, "deploy", deploy),
    (app, "verify", verify),
    (app, "collect", collect),
    (plan_app, "add", add),
    (plan_app, "list", listing),
    (plan_app, "retire", retire),
    (role_app, "grant", grant),
    (role_app, "revoke", revoke),
):
    _group.command(_name)(_command)
