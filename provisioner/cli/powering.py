"""`start`, `stop`, `kill`, `reboot`."""

from argparse import Namespace
from collections.abc import Awaitable, Callable
from typing import Final

from provisioner.cli.verb import Verb, named, tell
from provisioner.verbs import power
from provisioner.workshop import Workshop


def _telling(
    verb: Callable[[Workshop, str], Awaitable[str]],
) -> Callable[[Workshop, Namespace], Awaitable[int]]:
    async def run(shop: Workshop, args: Namespace) -> int:
        tell(await verb(shop, args.name))
        return 0

    return run


VERBS: Final = (
    Verb("start", "start a machine", named, _telling(power.start)),
    Verb("stop", "ask a machine to shut down", named, _telling(power.stop)),
    Verb("kill", "cut a machine's power", named, _telling(power.kill)),
    Verb("reboot", "reboot a machine", named, _telling(power.reboot)),
)
