"""`guest-exec`, `update-gecos`, `throttle`: what is done in a machine, and to what it may take."""

import sys
from argparse import REMAINDER, ArgumentParser, Namespace
from typing import Final

from provisioner.cli.verb import Verb, named, put, tell
from provisioner.verbs.gecos import write_gecos
from provisioner.verbs.guest_exec import NOT_BEGUN, TIMED_OUT, guest_exec
from provisioner.verbs.order import Gecos
from provisioner.verbs.throttle import Limits, throttle
from provisioner.workshop import Workshop


def _exec_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--limit", type=int, default=60, metavar="S", help="seconds it may take")
    named(parser)
    parser.add_argument("command", nargs=REMAINDER, metavar="CMD", help="the command, word by word")


async def _exec(shop: Workshop, args: Namespace) -> int:
    words = args.command[1:] if args.command[:1] == ["--"] else args.command
    ended = await guest_exec(shop, args.name, words, max(1, args.limit))
    sys.stdout.buffer.write(ended.output)
    sys.stdout.buffer.flush()
    sys.stderr.buffer.write(ended.error)
    sys.stderr.buffer.flush()
    return ended.code


def _gecos_arguments(parser: ArgumentParser) -> None:
    named(parser)
    parser.add_argument("wallet", metavar="ADDR", help="the owner's wallet")
    parser.add_argument("--nft-id", type=int, required=True, metavar="N", help="the token's id")
    parser.add_argument("--username", default="", metavar="USER", help="the account")


async def _gecos(shop: Workshop, args: Namespace) -> int:
    user = args.username
    if not user:
        user = shop.site((await shop.existing(args.name)).card).user
    gecos = Gecos(args.wallet, args.nft_id, user)
    await write_gecos(shop, args.name, gecos)
    tell(f"{gecos.user} of {args.name} is {gecos.text}")
    return 0


def _throttle_arguments(parser: ArgumentParser) -> None:
    named(parser)
    add = parser.add_argument
    add("--cpu-shares", type=int, metavar="N", help="share of the node's cores, 1 to 10000")
    add("--cpu-quota", type=int, metavar="PERCENT", help="part of its own cores")
    add("--bandwidth-in", type=int, metavar="KBPS", help="kbit/s; one limit for both directions")
    add("--bandwidth-out", type=int, metavar="KBPS", help="kbit/s; the smaller of both holds")
    add("--iops-read", type=int, metavar="N", help="reads a second")
    add("--iops-write", type=int, metavar="N", help="writes a second")
    add("--reset", action="store_true", help="lift every limit")


async def _throttle(shop: Workshop, args: Namespace) -> int:
    limits = Limits(
        args.cpu_shares,
        args.cpu_quota,
        args.bandwidth_in,
        args.bandwidth_out,
        args.iops_read,
        args.iops_write,
        reset=args.reset,
    )
    for line in await throttle(shop, args.name, limits):
        put(line)
    return 0


VERBS: Final = (
    Verb(
        "guest-exec",
        f"run a command in a machine; {TIMED_OUT} says that its end was not seen",
        _exec_arguments,
        _exec,
        failed=NOT_BEGUN,
    ),
    Verb("update-gecos", "write whose account it is into a machine", _gecos_arguments, _gecos),
    Verb("throttle", "limit what a machine takes", _throttle_arguments, _throttle),
)
