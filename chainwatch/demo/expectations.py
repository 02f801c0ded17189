"""What the story expects to see, how long it waits for it, and what became of each expectation.

An expectation is a sentence about the world and a question that answers it. It is asked again and
again until the answer is yes, for a limited time; nothing is ever waited for by the clock alone. An
expectation that is not met ends the story, and its sentence says what was awaited.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from chainwatch.demo.narrator import Narrator, Who

_LOOK_EVERY_S: Final = 0.05

Question = Callable[[], Awaitable[bool]]


class Unmet(Exception):
    """The story did not come true; the text says what was expected and was not so."""


@dataclass(slots=True)
class Act:
    """One act: its name, how long it took (seconds), and what was seen to be true in it."""

    name: str
    title: str
    seconds: float = 0.0
    met: list[str] = field(default_factory=list)
    unmet: str | None = None


@dataclass(slots=True)
class Playbill:
    """The acts in order, and the telling of what was expected in each.

    `alive` returns a sentence when one of the processes of the story is gone that should be there.
    """

    narrator: Narrator
    alive: Callable[[], str | None]
    acts: list[Act] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether something was expected, and everything was so."""
        return bool(self.acts) and all(act.unmet is None for act in self.acts)

    @asynccontextmanager
    async def act(self, name: str, title: str) -> AsyncIterator[None]:
        """Time an act, and note what ends it early."""
        act = Act(name, title)
        self.acts.append(act)
        self.narrator.title(f"{len(self.acts)}. {title}")
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            yield
        except Unmet as unmet:
            act.unmet = str(unmet)
            raise
        finally:
            act.seconds = loop.time() - began

    async def until(self, what: str, question: Question, *, within: float = 30.0) -> None:
        """Wait until `question` answers yes. Raises Unmet after `within` seconds."""
        try:
            async with asyncio.timeout(within):
                while not await question():
                    self._all_alive(what)
                    await asyncio.sleep(_LOOK_EVERY_S)
        except TimeoutError:
            raise Unmet(f"{what}: not so after {within:g} s") from None
        self._note(what)

    async def always(self, what: str, question: Question) -> None:
        """Ask once: it has to be so now. Raises Unmet."""
        self.certain(what, so=await question())

    def certain(self, what: str, *, so: bool) -> None:
        """Note something already known. Raises Unmet when it is not `so`."""
        if not so:
            raise Unmet(f"{what}: not so")
        self._note(what)

    def _note(self, what: str) -> None:
        self.acts[-1].met.append(what)
        self.narrator.tell(Who.SEEN, f"✓ {what}")

    def _all_alive(self, what: str) -> None:
        gone = self.alive()
        if gone:
            raise Unmet(f"{what}: {gone}")
