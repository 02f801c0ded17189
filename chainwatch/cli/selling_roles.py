"""`chainwatch contract role …`: who may do what with the contract."""

from enum import StrEnum
from typing import Annotated, TypeAlias

import typer

from chainwatch.chain.ethereum import keccak
from chainwatch.cli.wallet import Wallet, address, to_look, with_wallet
from chainwatch.errors import OperatorError


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


@with_wallet
async def grant(wallet: Wallet, *, role: RoleName, account: Account) -> None:
    """Give somebody a role."""
    who = address(account, "ADDRESS")
    if await wallet.book.one("hasRole", role.word, who):
        raise OperatorError(f"{who} is {role} already")
    for other in Role:
        if Role.PROVISIONER in (role, other) and other is not role:
            await _apart(wallet, who, role, other)
    what = f"Make {who} {role} of {wallet.book.address}"
    await wallet.carry_out(what, wallet.book.call("grantRole", role.word, who))
    wallet.finish(role=role, account=who)


async def _apart(wallet: Wallet, who: str, role: Role, other: Role) -> None:
    """Keep the hot key from being more than a provisioner."""
    if await wallet.book.one("hasRole", other.word, who):
        raise OperatorError(
            f"{who} is {other}, and can't be {role} too: whoever steals the daemon's hot key would "
            "have your money; name another account"
        )


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


@with_wallet
async def renounce(wallet: Wallet, *, role: RoleName) -> None:
    """Give up a role of your own; nobody needs to agree."""
    own = wallet.key().address
    if not await wallet.book.one("hasRole", role.word, own):
        raise OperatorError(f"{own} is not {role}")
    what = f"Give up your role {role} of {wallet.book.address}"
    if role is Role.ADMIN:
        what += ". Where there is no other admin, there will never be one again"
    await wallet.carry_out(what, wallet.book.call("renounceRole", role.word, own))
    wallet.finish(role=role, account=own)


@to_look
async def show(wallet: Wallet, *, account: Account) -> None:
    """Show which roles an address has."""
    who = address(account, "ADDRESS")
    asked = [("hasRole", role.word, who) for role in Role]
    held = [role for role, has in zip(Role, await wallet.book.all(*asked), strict=True) if has]
    wallet.table([(who, ", ".join(held) or "no role")])
    wallet.finish(account=who, roles=[*held])
