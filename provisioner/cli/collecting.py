"""`gc`: what nobody pays for goes, in two phases, and only if it is told to."""

from argparse import ArgumentParser, Namespace
from typing import Final

from provisioner.cli.verb import Verb, put, tell
from provisioner.verbs.gc import Phase, collect
from provisioner.verbs.order import days
from provisioner.workshop import Workshop


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--execute", action="store_true", help="do it; else only say what is due")
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--suspend-only", action="store_true", help="only the first phase")
    either.add_argument("--destroy-only", action="store_true", help="only the second phase")
    parser.add_argument("--grace-days", type=int, metavar="N", help="days between the phases")


async def _gc(shop: Workshop, args: Namespace) -> int:
    phases = frozenset(Phase)
    if args.suspend_only:
        phases = frozenset({Phase.SUSPEND})
    elif args.destroy_only:
        phases = frozenset({Phase.DESTROY})
    grace = None if args.grace_days is None else days(args.grace_days)
    came_to = await collect(shop, execute=args.execute, phases=phases, grace_days=grace)
    for due in came_to.due:
        put(str(due) if args.execute else f"would {due}")
    for leftover in came_to.leftovers:
        put(str(leftover) if args.execute else f"would {leftover}")
    for errand in came_to.errands:
        put(str(errand) if args.execute else f"would {errand}")
    for failure in came_to.failures:
        tell(failure)
    return 1 if came_to.failures else 0


VERBS: Final = (Verb("gc", "take away what nobody pays for", _arguments, _gc, seconds=3600),)
