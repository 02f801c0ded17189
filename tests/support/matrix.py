"""Modes of failure against verbs: which case there is, at which call, and by what name.

A verb's calls are those that it makes when nothing goes wrong, over the API and over SSH. A mode
strikes those of them that it is known for; `tests.support.playing` says what comes of it.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from provisioner.model import Verb as Word
from provisioner.simulator.faults import FaultName, matches
from provisioner.simulator.modes.catalogue import MODES
from provisioner.simulator.modes.mode import ANY, CLONE, MAKING, WRITES, Call, Mode
from tests.support.judge import Judge
from tests.support.lives import Stage
from tests.support.meanwhile import MEANWHILE
from tests.support.realm import Realm
from tests.support.verbs import OFF, SOLD, VERBS, Verb

#: Locks of a guest that is being made. On one that was made and is not configured yet they say that
#: it was cut off, and on a template that somebody works on it.
LOCKS_OF_MAKING: Final = frozenset({(11, 1), (11, 8)})
#: What keeps us out of a node altogether; the other troubles over SSH come after the login.
AT_LOGIN: Final = frozenset({FaultName.UNAUTHORIZED, FaultName.UNREACHABLE})
SSH: Final = "SSH"
#: What is said on the chain meanwhile may fall into any call.
OF_THE_CHAIN, OVER_SSH = 61, 60
#: Who is being sold to does not sell meanwhile: whose key it is that comes then, nobody knows.
SOLD_ANYWAY: Final = ("transfer", OF_THE_CHAIN, 1)
#: Modes that are played where nodes are reached over SSH, whatever the verb: that of SSH itself,
#: and for the snippets those in which somebody else has the VMID or a machine stands elsewhere.
WITH_NODES: Final = frozenset({1, 2, 4, 5, 36, 57, OVER_SSH})
#: The longest that nobody looks at anything, in seconds.
LULL: Final = 10.0
#: How often the same call is struck, at its first time, its second, …
TIMES: Final = 3


@dataclass(frozen=True, slots=True)
class Case:
    """One form of one mode at one call of one verb."""

    verb: Verb
    mode: Mode
    at: Call
    nth: int = 1
    form: int = 0

    @property
    def id(self) -> str:
        """Return what it is called."""
        call = f"{self.at[0]}-{self.at[1].rpartition('/')[2]}"
        return f"{self.mode.number}.{self.form}-{self.verb.id}-{call}-{self.nth}"

    @property
    def over_ssh(self) -> bool:
        """Say whether it is played where nodes are reached over SSH, whatever the verb."""
        return self.mode.number in WITH_NODES


#: The calls of each verb, where nodes are reached over SSH and where they are not.
_CALLS: Final[dict[tuple[str, bool], dict[Call, int]]] = {}


async def calls_of(verb: Verb, folder: Path, *, over_ssh: bool = False) -> dict[Call, int]:
    """Return the calls that a verb makes when nothing goes wrong, and how often each."""
    key = (verb.id, over_ssh)
    if key not in _CALLS:
        async with verb.realm(folder, over_ssh=over_ssh) as world:
            judge = Judge(world, disk_gib=SOLD)
            await settle_through(world, judge, verb.before)
            before = len(world.cluster.inventory().call_log)
            expect(judge, verb)
            await settle_through(world, judge, verb.stages)
            made = world.cluster.inventory().call_log[before:]
            await judge.tidy()
        counted: dict[Call, int] = {}
        for call in made:
            kind = (call.method, generic(call.method, call.path))
            counted[kind] = counted.get(kind, 0) + 1
        _CALLS[key] = counted
    return _CALLS[key]


def expect(judge: Judge, verb: Verb) -> None:
    """Tell the judge what a verb may do, and what it ends in."""
    judge.disk_gib = verb.disk_gib
    judge.left_off = {1} if verb.order in OFF else set()
    judge.remade = {1} if verb.order is Word.REINSTALL else set()


async def settle_through(world: Realm, judge: Judge, stages: tuple[Stage, ...]) -> None:
    """Let one stage after the other come to rest."""
    for stage in stages:
        await stage(world)
        await settled(world, judge.look)


async def settled(world: Realm, look: Callable[[], object], seconds: int = 4000) -> None:
    """Turn until nothing is left to do, from one thing that happens to the next."""
    end = world.cluster.now + seconds
    while world.cluster.now < end:
        look()
        if await world.turn():
            continue
        if await world.quiet():
            return
        world.cluster.advance(await lull(world))
    raise AssertionError(f"not settled within {seconds} s: {await world.sentences()}")


async def lull(world: Realm) -> float:
    """Return for how many seconds nothing happens, neither here nor in the cluster; some at least.

    Nobody looks at anything for longer than a few seconds.
    """
    now, due = world.cluster.now, world.cluster.state.timeline.next_due()
    work = await world.daemon.stores.work.next_due(int(now))
    first = min((each - now for each in (due, work) if each is not None), default=LULL)
    return min(max(first, 0.2), LULL)


def generic(method: str, path: str) -> str:
    """Return the pattern of which a path is one."""
    if method == SSH:
        return "/{node}/" + path.rpartition("/")[2]
    path = re.sub(r"/UPID:[^/]+", "/{upid}", path)
    path = re.sub(r"/nodes/[^/]+", "/nodes/{node}", path)
    path = re.sub(r"/(qemu|lxc)/\d+", r"/\1/{vmid}", path)
    path = re.sub(r"/firewall/(\w+)/[^/]+$", r"/firewall/\1/{item}", path)
    path = re.sub(r"/snapshot/[^/]+", "/snapshot/{name}", path)
    path = re.sub(r"/storage/([^/]+)/content/.+$", r"/storage/\1/content/*", path)
    return re.sub(r"/storage/[^/]+", "/storage/{storage}", path)


def struck_calls(mode: Mode, calls: dict[Call, int]) -> list[Call]:
    """Return the calls at which a mode can strike, those first that it is known for."""
    found: dict[Call, None] = {}
    for method, path in (*WRITES, ANY) if mode.number == OF_THE_CHAIN else mode.strikes:
        for made in calls:
            of_ssh = (made[0] == SSH) == (method == SSH)
            if of_ssh and matches(method, path, made[0], _sample(made)):
                found[made] = None
    return list(found)


def _sample(call: Call) -> str:
    return call[1].replace("{", "").replace("}", "")


def forms_of(mode: Mode) -> int:
    """Return in how many ways a mode comes about."""
    return len(MEANWHILE) if mode.number == OF_THE_CHAIN else len(mode.forms)


def fits(mode: Mode, form: int, at: Call) -> bool:
    if at[0] != SSH:
        return True
    return (mode.forms[form].fault.name in AT_LOGIN) == at[1].endswith("/login")


def means_it(mode: Mode, form: int, at: Call, calls: dict[Call, int]) -> bool:
    """Say whether a lock of a guest that is being made may be put on whatever a call is about."""
    making = any(matches(*each, call[0], _sample(call)) for each in MAKING for call in calls)
    if (mode.number, form) not in LOCKS_OF_MAKING or not making:
        return True
    return matches(*CLONE, at[0], _sample(at))


async def usual(verb: Verb, mode: Mode, folder: Path) -> Case | None:
    """Return the case that stands in the table, if the mode can strike the verb at all."""
    calls = await calls_of(verb, folder, over_ssh=mode.number in WITH_NODES)
    at = [call for call in struck_calls(mode, calls) if fits(mode, 0, call)]
    return Case(verb, mode, at[0]) if at else None


async def cases(verb: Verb, mode: Mode, folder: Path) -> list[Case]:
    """Return every form of a mode at every call of a verb; that of the table comes first."""
    calls = await calls_of(verb, folder, over_ssh=mode.number in WITH_NODES)
    at = struck_calls(mode, calls)
    return [
        Case(verb, mode, call, nth, form)
        for form in range(forms_of(mode))
        if (verb.name, mode.number, form) != SOLD_ANYWAY
        for call in at
        if fits(mode, form, call) and means_it(mode, form, call, calls)
        for nth in range(1, min(calls[call], TIMES) + 1)
    ]


def cell_of(name: str) -> tuple[Mode, Verb]:
    """Return the mode and the verb that a case's name begins with."""
    number, _, rest = name.partition(".")
    verb = next(each for each in VERBS if rest.partition("-")[2].startswith(f"{each.id}-"))
    return MODES[int(number)], verb
