"""`chainwatch contract …`: what the operator does with his lease contract, with his own keystore.

The daemon's hot key is not meant for any of this: admin and treasurer are people.
"""

from typing import Annotated

import typer

from chainwatch import artifacts
from chainwatch.chain.wallet.interface import constructed
from chainwatch.chain.wallet.verifying import verified
from chainwatch.cli import selling_money, selling_plans, selling_roles
from chainwatch.cli.wallet import Wallet, address, to_look, to_make
from chainwatch.domain.sendings import Call
from chainwatch.errors import OperatorError

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
plan_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
role_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.add_typer(plan_app, name="plan", help="What is sold.")
app.add_typer(role_app, name="role", help="Who may do what.")


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
    if people[2] in people[:2]:
        raise OperatorError(
            f"{people[2]} can't be provisioner and admin or treasurer too: whoever steals the "
            "daemon's hot key would have your money; name another account"
        )
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
    lease = artifacts.load("Lease")
    for sentence in verdict.wrong:
        wallet.say(sentence)
    for role, holder in verdict.roles.items():
        wallet.say(f"its first {role} was {holder}; `role show` says whether it still is")
    if not verdict.wrong:
        wallet.say("the code is that of this version's contract")
    wallet.say(
        f"that one is {lease.source}:{lease.name}, by {lease.compiler} for {lease.evm_version}, "
        f"without metadata in its code; settings and sources have the hash {lease.source_hash}"
    )
    if verdict.constructor_words:
        wallet.say(f"its constructor was given {verdict.constructor_words}")
    wallet.finish(
        ok=not verdict.wrong,
        code_hash=verdict.code_hash,
        wrong=[*verdict.wrong],
        roles={**verdict.roles},
        constructor_arguments=verdict.constructor_words,
        source=f"{lease.source}:{lease.name}",
        compiler=lease.compiler,
        evm_version=lease.evm_version,
        source_hash=lease.source_hash,
    )
    if verdict.wrong:
        raise typer.Exit(1)


for _group, _name, _command in (
    (app, "deploy", deploy),
    (app, "verify", verify),
    (app, "show", selling_money.show),
    (app, "collect", selling_money.collect),
    (app, "withdraw", selling_money.withdraw),
    (app, "cancel", selling_money.cancel),
    (app, "pause", selling_plans.pause),
    (app, "unpause", selling_plans.unpause),
    (plan_app, "add", selling_plans.add),
    (plan_app, "list", selling_plans.listing),
    (plan_app, "change", selling_plans.change),
    (plan_app, "retire", selling_plans.retire),
    (plan_app, "reopen", selling_plans.reopen),
    (role_app, "grant", selling_roles.grant),
    (role_app, "revoke", selling_roles.revoke),
    (role_app, "renounce", selling_roles.renounce),
    (role_app, "show", selling_roles.show),
):
    _group.command(_name)(_command)
