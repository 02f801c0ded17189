"""`chainwatch-lease plans`, `show` and `connect`: what is sold, what one has, and the way in."""

import ipaddress
import re
from dataclasses import asdict
from typing import Annotated, Final, TypeAlias

import typer

from chainwatch.admin.client import Json
from chainwatch.chain.wallet.amounts import Money
from chainwatch.chain.wallet.leases import KINDS, LeaseNow, PlanOnSale, state
from chainwatch.chain.wallet.letterbox import unsealed
from chainwatch.cli.printing import moment, relative, span, table
from chainwatch.cli.wallet import Wallet, address, to_look, to_read
from chainwatch.domain.details import Details
from chainwatch.domain.sealing import Place
from chainwatch.errors import OperatorError
from provisioner.hostkeys import host_keys

Token: TypeAlias = Annotated[int, typer.Argument(metavar="TOKEN", min=1, help="The lease's token.")]
MONTH: Final = 30 * 86_400
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}")


@to_look
async def plans(wallet: Wallet) -> None:
    """List the plans, with what 30 days of each cost."""
    await list_plans(wallet, "nothing is sold here")


async def list_plans(wallet: Wallet, none: str) -> None:
    """Show all plans, or the sentence that says that there are none."""
    book = wallet.book
    plans = await book.plans()
    moneys = await book.moneys(plan.payment_token for plan in plans)
    found = [(plan, moneys[plan.payment_token]) for plan in plans]
    if not wallet.as_json:
        table(
            ("PLAN", "NAME", "KIND", "CORES", "MEMORY", "DISK", "30 DAYS", "DELIVERED IN", "SOLD"),
            [plan_row(plan, money) for plan, money in found],
            none,
        )
    wallet.finish(plans=[plan_facts(plan, money) for plan, money in found])


def plan_row(plan: PlanOnSale, money: Money) -> tuple[str, ...]:
    """A line about a plan."""
    cap = f"{plan.live} of {plan.cap}" if plan.cap else str(plan.live)
    return (
        str(plan.number),
        plan.name,
        kind_of(plan),
        str(plan.cores),
        f"{plan.memory_mib} MiB",
        f"{plan.disk_gib} GiB",
        money.written(plan.price * MONTH),
        span(plan.delivery_time),
        cap if plan.on_sale else f"{cap}, not on sale",
    )


def kind_of(plan: PlanOnSale) -> str:
    return KINDS[plan.kind] if plan.kind < len(KINDS) else str(plan.kind)


def plan_facts(plan: PlanOnSale, money: Money) -> Json:
    """What scripts are told of a plan; money as digits, since it may be beyond a double."""
    facts: dict[str, Json] = {**asdict(plan), "kind": kind_of(plan), "price": str(plan.price)}
    return {**facts, "symbol": money.symbol, "decimals": money.decimals}


@to_look
async def show(wallet: Wallet, *, token: Token) -> None:
    """Show a lease: whose it is, until when it is paid, and what is left of the money."""
    lease = await wallet.book.lease(token)
    money = await wallet.book.money(lease.plan.payment_token)
    now = await wallet.chain.now()
    word = state(lease.delivered_at, lease.expires_at, lease.plan.grace, now)
    credit = await wallet.book.one("creditOf", lease.plan.payment_token, lease.owner)
    wallet.table(
        [
            ("lease", f"{token} of {wallet.book.address} on chain {wallet.chain.chain_id}"),
            ("owner", lease.owner),
            ("plan", f"{lease.plan.number} {lease.plan.name}"),
            ("state", word),
            (
                "expires" if lease.delivered_at else "deliver by",
                f"{moment(lease.expires_at)} ({relative(lease.expires_at, now)})",
            ),
            ("time", _time(lease)),
            ("renewable", "yes" if lease.renewable else "no"),
            ("30 days cost", money.written(lease.price * MONTH)),
            ("used up", money.written(lease.earned)),
            ("left", money.written(lease.unused)),
            ("set aside", money.written(lease.aside) + _upgrade(lease)),
            ("owner's credit", money.written(credit)),
            ("SSH key", lease.ssh_key),
            ("connection", "published" if lease.connection else "not published"),
        ]
    )
    wallet.finish(**_facts(lease, word, credit, money))


@to_read
async def mine(
    wallet: Wallet,
    *,
    owner: Annotated[str, typer.Option("--owner", help="Whose; else yours.")] = "",
) -> None:
    """List the leases that are yours, or somebody's."""
    book = wallet.book
    whose = address(owner, "--owner") if owner else wallet.account()
    tokens = await book.owned(whose)
    plans = {plan.number: plan for plan in await book.plans()}
    now = await wallet.chain.now()
    rows, facts = [], list[Json]()
    for token, number, expires_at, delivered_at in tokens:
        plan = plans[number]
        word = state(delivered_at, expires_at, plan.grace, now)
        until = f"{moment(expires_at)} ({relative(expires_at, now)})"
        rows.append((str(token), f"{number} {plan.name}", word, until))
        facts.append({"token": token, "plan": number, "state": word, "expires_at": expires_at})
    if not wallet.as_json:
        table(("LEASE", "PLAN", "STATE", "EXPIRES, UTC"), rows, f"{whose} owns no lease here")
    wallet.finish(owner=whose, leases=facts)


def _time(lease: LeaseNow) -> str:
    """How long it is for, before the delivery; how long it can be ended without a fee, after it."""
    if not lease.delivered_at:
        return f"{span(lease.seconds_bought)}, which begin with the delivery"
    return (
        f"from {moment(lease.delivered_at)}; ended without a fee until {moment(lease.free_until)}"
    )


def _upgrade(lease: LeaseNow) -> str:
    return f", for plan {lease.wanted_plan}" if lease.wanted_plan else ""


def _facts(lease: LeaseNow, word: str, credit: int, money: Money) -> dict[str, Json]:
    return {
        "token": lease.token,
        "owner": lease.owner,
        "plan": lease.plan.number,
        "state": word,
        "expires_at": lease.expires_at,
        "delivered_at": lease.delivered_at,
        "renewable": lease.renewable,
        "price": str(lease.price),
        "earned": str(lease.earned),
        "unused": str(lease.unused),
        "aside": str(lease.aside),
        "wanted_plan": lease.wanted_plan,
        "seconds_bought": lease.seconds_bought,
        "free_until": lease.free_until,
        "credit": str(credit),
        "payment_token": money.address,
        "ssh_key": lease.ssh_key,
        "encryption_key": lease.encryption_key.hex(),
        "connection": bool(lease.connection),
    }


@to_read
async def connect(wallet: Wallet, *, token: Token) -> None:
    """Decrypt how to get into the machine, with the key that `buy` made."""
    lease = await wallet.book.lease(token)
    place = Place(wallet.chain.chain_id, wallet.book.address, token)
    details = unsealed(wallet.letterbox, place, lease.encryption_key, lease.connection)
    commands = ways_in(details)
    known = known_hosts(details)
    if not wallet.as_json:
        for command in commands:
            typer.echo(command)
        typer.echo("")
        if known:
            typer.echo("Its SSH server's keys, as lines of known_hosts:")
        for line in known:
            typer.echo(line)
        if len(host_keys(details.host_keys)) < len(details.host_keys):
            typer.echo(
                "Some of what is said to be its keys is none, and is left out: ask the operator"
            )
    shown = {**asdict(details), "host_keys": [*host_keys(details.host_keys)]}
    wallet.finish(**shown, commands=[*commands], known_hosts=[*known])


def known_hosts(details: Details) -> list[str]:
    """Return what is put into known_hosts: an address, a type and a key, and nothing else.

    Whoever wrote the details is not known by them: a line that is more than a key, such as one that
    makes its writer an authority for every host, is left out.
    """
    addresses = _addresses(details)
    if details.port != 22:
        addresses = [f"[{each}]:{details.port}" for each in addresses]
    return [f"{each} {key}" for key in host_keys(details.host_keys) for each in addresses]


def _addresses(details: Details) -> list[str]:
    """The addresses of a machine. Raises `OperatorError` for what is none.

    The zone of an IPv6 address, behind its %, may be any text: one that has it is refused.
    """
    given = [each for each in (details.ipv4, details.ipv6) if each]
    try:
        found = [str(ipaddress.ip_address(each)) for each in given if "%" not in each]
    except ValueError:
        found = []
    if len(found) != len(given):
        raise OperatorError("the details name an address that is none: ask the operator")
    if not found:
        raise OperatorError("the details name no address: ask the operator")
    return found


def ways_in(details: Details) -> list[str]:
    """Return the commands that lead in. Raises `OperatorError` for what is no user or address.

    They are pasted into a shell, so nothing gets into them that is not what it should be.
    """
    if not _NAME.fullmatch(details.user) or not 0 < details.port < 65_536:
        raise OperatorError("the details name a user or port that is none: ask the operator")
    port = "" if details.port == 22 else f"-p {details.port} "
    return [f"ssh {port}{details.user}@{each}" for each in _addresses(details)]
