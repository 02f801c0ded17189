"""`create`, `destroy`, `resume`, `renew`: a machine comes, goes, and how long it stays."""

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Final

from provisioner.cli.verb import Verb, named, put, tell
from provisioner.configuration import Configuration
from provisioner.errors import Declined
from provisioner.model import Kind
from provisioner.terms import ANY_TERMS
from provisioner.verbs.create import Made, create, mock, plan
from provisioner.verbs.destroy import destroy
from provisioner.verbs.order import ROOT, Gecos, Order, hardware
from provisioner.verbs.resume import renew, resume
from provisioner.workshop import Workshop

_LONGEST_KEY: Final = 16_384
#: Bytes that are read of user-data; what is too long is said by whoever looks at it.
_LONGEST_USER_DATA: Final = 262_144
_KINDS: Final = {"vm": Kind.VM, "container": Kind.CONTAINER}


def _create_arguments(parser: ArgumentParser) -> None:
    named(parser)
    add = parser.add_argument
    add("--owner-wallet", required=True, metavar="ADDR", help="who pays for it")
    add("--nft-token-id", type=int, metavar="N", help="the token that stands for it")
    add("--expiry-days", type=int, default=30, metavar="N", help="days that are paid")
    add("--expires-at", type=int, metavar="SECONDS", help="the same, absolute, since 1970")
    add("--kind", choices=tuple(_KINDS), default="vm", help="what it is  [vm]")
    add("--cpu", type=int, default=1, help="cores")
    add("--memory", type=int, default=2048, help="MiB")
    add("--disk", type=int, default=20, help="GiB")
    add("--apply", action="store_true", help="do it; else only say what would be made")
    either = parser.add_mutually_exclusive_group()
    either.add_argument(
        "--cloud-init-content", type=Path, metavar="FILE", help="user-data of one's own"
    )
    either.add_argument("--cloud-init", default="", metavar="TEMPLATE", help="user-data of ours")
    add("--no-web3", action="store_true", help="write no wallet into the guest")
    add("--ip", metavar="A", help="the IPv4 address, which decides the VMID")
    add("--ipv6", metavar="A", help="the IPv6 address, which decides the VMID")
    add("--node", metavar="N", help="the node to stand on")
    add("--tags", nargs="+", default=[], metavar="TAG", help="tags besides the usual ones")
    add("--purpose", default="", metavar="S", help="what it is for; kept with it")
    add("--username", default="", metavar="USER", help="the owner's account")
    add("--ssh-key", type=Path, metavar="FILE", help="a public key that opens the account")
    add("--mock", action="store_true", help="ask nobody, and say what would come of it")
    add("--result-prefix", metavar="S", help="what stands before the result")


def _order(shop: Workshop, args: Namespace) -> Order:
    kind = _KINDS[args.kind]
    user = args.username or (ROOT if kind is Kind.CONTAINER else shop.settings.site.user)
    nft = args.nft_token_id
    web3 = nft is not None and not args.no_web3
    return Order(
        name=args.name,
        owner=args.owner_wallet,
        spec=hardware(args.cpu, args.memory, args.disk, kind),
        days=args.expiry_days,
        expires_at=args.expires_at,
        nft=nft,
        user=user,
        ssh_key=_read(args.ssh_key, _LONGEST_KEY).strip() if args.ssh_key else "",
        purpose=args.purpose,
        tags=tuple(tag for words in args.tags for tag in words.split(",") if tag),
        ip=args.ip,
        ipv6=args.ipv6,
        node=args.node,
        gecos=Gecos(args.owner_wallet, nft, user) if web3 else None,
        cloud_init=args.cloud_init,
        user_data=_user_data(args.cloud_init_content) if args.cloud_init_content else "",
    )


def _user_data(path: Path) -> str:
    """Return what is in a file; an empty one is not the same as none."""
    return _read(path, _LONGEST_USER_DATA) or "\n"


def _read(path: Path, longest: int) -> str:
    try:
        with path.open("rb") as file:
            return file.read(longest).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise Declined(f"{path} cannot be read as text ({error})") from None


def _copying(settings: Configuration, args: Namespace) -> int:
    """Return the seconds that the copy of a machine may take, where it is copied whole."""
    return settings.site.cloned(ANY_TERMS, _KINDS[args.kind]).allowance(args.disk)


async def _create(shop: Workshop, args: Namespace) -> int:
    order = _order(shop, args)
    prefix = shop.settings.result_prefix if args.result_prefix is None else args.result_prefix
    if args.mock:
        put(prefix + result("ok", mock(shop, order)))
    elif not args.apply:
        tell("a dry run: nothing is reserved, and --apply makes it")
        put(prefix + result("dry-run", await plan(shop, order)))
    else:
        put(prefix + result("ok", await create(shop, order)))
    return 0


def result(status: str, made: Made) -> str:
    """Return a machine as one line of JSON."""
    return json.dumps(
        {
            "status": status,
            "vm_name": made.name,
            "ip": made.ip,
            "ipv6": made.ipv6,
            "vmid": made.vmid,
            "nft_token_id": made.nft,
            "username": made.user,
        }
    )


async def _destroy(shop: Workshop, args: Namespace) -> int:
    tell(await destroy(shop, args.name))
    return 0


def _resume_arguments(parser: ArgumentParser) -> None:
    named(parser)
    parser.add_argument("--extend-days", type=int, metavar="N", help="days to add to what is left")
    parser.add_argument("--expires-at", type=int, metavar="SECONDS", help="the new end, absolute")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")


async def _resume(shop: Workshop, args: Namespace) -> int:
    tell(
        await resume(
            shop,
            args.name,
            extend_days=args.extend_days,
            expires_at=args.expires_at,
            dry_run=args.dry_run,
        )
    )
    return 0


def _renew_arguments(parser: ArgumentParser) -> None:
    named(parser)
    parser.add_argument(
        "--expires-at", type=int, required=True, metavar="SECONDS", help="the end, since 1970"
    )


async def _renew(shop: Workshop, args: Namespace) -> int:
    tell(await renew(shop, args.name, args.expires_at))
    return 0


VERBS: Final = (
    Verb("create", "make a machine", _create_arguments, _create, seconds=900, more=_copying),
    Verb("destroy", "destroy a machine", named, _destroy),
    Verb("resume", "give a suspended machine back", _resume_arguments, _resume, seconds=600),
    Verb("renew", "write down until when a machine is paid", _renew_arguments, _renew),
)
