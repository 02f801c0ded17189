"""The log of intents in memory answers as the durable one does, whatever was told to both."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainwatch.store.operations import Operations
from provisioner.errors import Locked
from provisioner.intents import Intents
from provisioner.oplog import OperationLog
from tests.support.stored import opened

STEPS: Final = (
    *("clone", "start", "destroy", "restore", "backup", "drop-backup", "reinstall"),
    *("switch-off", "rollback", "mark-ordered", "mark-started"),
)
OUTCOMES: Final = ("ok", "failed", "lost")
KEYS: Final = (("a", "1"), ("a", "2"), ("b", "1"))
VMIDS: Final = (100, 101, 102)
#: Seconds that go by, by the VMID of the word.
SECONDS: Final = {100: 1, 101: 200, 102: 301}

machines = st.sampled_from(KEYS)
vmids = st.sampled_from(VMIDS)
told = st.one_of(
    st.tuples(st.just("begin"), machines, st.sampled_from(STEPS), vmids),
    st.tuples(st.just("end"), machines, st.sampled_from(OUTCOMES), vmids),
    st.tuples(st.just("task"), machines, st.just(""), vmids),
    st.tuples(st.just("gone"), machines, st.just(""), vmids),
    st.tuples(st.just("time"), machines, st.just(""), vmids),
)
Word = tuple[str, tuple[str, str], str, int]


class Wall:
    def __init__(self) -> None:
        self.now = 1000

    def __call__(self) -> int:
        return self.now


async def tell(log: OperationLog, word: Word) -> str:
    what, (key, nonce), detail, vmid = word
    current = await log.open_for(key, nonce)
    match what:
        case "begin":
            try:
                await log.begin(key, detail, vmid, "pve", nonce, order=vmid)
            except Locked as refusal:
                return str(refusal)
        case "end" if current:
            await log.finish(current.id, detail)
            await log.finish(current.id, "ok")  # what is closed stays as it is
        case "task" if current:
            await log.record_task(current.id, f"UPID:{vmid}")
        case "gone":
            await log.gone(key, nonce, vmid, "pve")
    return ""


async def said(log: OperationLog) -> list[object]:
    answers: list[object] = [
        await log.reserved(),
        list(await log.unfinished("clone", 1001)),
        list(await log.destroyed_since(1001)),
        *[await log.obeyed(vmid) for vmid in VMIDS],
        *[await log.knows(f"UPID:{vmid}") for vmid in VMIDS],
    ]
    for key, nonce in KEYS:
        answers += [
            await log.open_for(key, nonce),
            await log.place(key, nonce),
            *[await log.intended(key, nonce, since) for since in (0, 1001, 2000)],
            await log.ever_cloned(key, nonce),
            await log.birth(key, nonce),
            await log.kept(key, nonce),
            await log.backed_up(key, nonce),
            await log.made_anew(key, nonce),
            await log.switched_off(key, nonce),
            list(await log.given_up(key, nonce)),
        ]
    return answers


async def compare(words: list[Word]) -> None:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        db = await stack.enter_async_context(opened(folder / "db"))
        wall = Wall()
        durable, quick = Operations(db, wall), Intents(wall)
        for word in words:
            wall.now += SECONDS[word[3]] if word[0] == "time" else 0
            assert await tell(durable, word) == await tell(quick, word)
            assert await said(durable) == await said(quick)
        assert await durable.open_all() == await quick.open_all()


@pytest.mark.timeout(120)
@settings(max_examples=60)
@given(st.lists(told, min_size=4, max_size=20))
def test_both_logs_say_the_same(words: list[Word]) -> None:
    asyncio.run(compare(words))
