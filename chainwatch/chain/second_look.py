"""A second look at blocks that are stored and not final yet: are their logs all that was said?

Headers are asked by number, and logs by hash, from another endpoint than the one that is asked
first, where there is one. A block whose hash differs is no matter of this look: the reading sees
that itself. Where logs differ, receipts that add up to the root decide that is in the header which
another endpoint shows too; who told otherwise is quarantined, and if that is what we stored, the
block is to be read again. Failure mode: without such receipts nobody is believed, and the
difference is only told. What the contract's state says instead of logs is for the audit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from chainwatch.chain import headers, logs, receipts
from chainwatch.chain.bloom import Watch
from chainwatch.chain.decode import Profile, decode
from chainwatch.chain.proof import Proof
from chainwatch.chain.rpc import Endpoints, Rpc
from chainwatch.chain.settings import SourceSettings
from chainwatch.chain.wire import Header, RawLog
from chainwatch.domain.events import Block, Logged
from chainwatch.errors import RpcUnavailable, Transient
from provisioner.faultpoints import guarded

_STRETCH: Final = 64
"""Blocks at once: what a look holds in memory."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Of `block` something else is stored than was said; unless `proven`, than somebody says."""

    block: Block
    text: str
    proven: bool


class SecondLook:
    """Looks at blocks of one source."""

    def __init__(self, settings: SourceSettings, rpc: Endpoints, profile: Profile) -> None:
        self._contract = settings.source.watched
        self._rpc = rpc
        self._profile = profile
        watch = Watch(self._contract, profile.topics)
        self._proof = Proof(self._contract, watch, settings.verify)

    @guarded("chain.second_look")
    async def look(self, blocks: Sequence[Block], stored: Sequence[Logged]) -> Difference | None:
        """The lowest of these blocks of which something else is stored than was said.

        `blocks` are in their order, `stored` are all events in them. Raises `RpcUnavailable` when
        no endpoint tells them again.
        """
        ours = _by_block(stored)
        for start in range(0, len(blocks), _STRETCH):
            found = await self._stretch(blocks[start : start + _STRETCH], ours)
            if found is not None:
                return found
        return None

    async def _stretch(
        self, blocks: Sequence[Block], ours: Mapping[int, list[Logged]]
    ) -> Difference | None:
        rpc, shared, told = await self._told(blocks)
        for header in shared:
            number = header.block.number
            if ours.get(number, []) == told.get(number, []):
                continue
            found = await self._judged(rpc, header, ours.get(number, []), told.get(number, []))
            if found is not None:
                return found
        return None

    async def _told(
        self, blocks: Sequence[Block]
    ) -> tuple[Rpc, list[Header], Mapping[int, list[Logged]]]:
        """Who tells these blocks again, those of them that it has as well, and their events."""
        troubles: list[str] = []
        ranked = self._rpc.ranked()
        for rpc in (*ranked[1:], *ranked[:1]):
            try:
                shared = await _shared(rpc, blocks)
                said = await logs.of_blocks(rpc, self._contract, shared)
                events = self._read(await self._proof.settled(rpc, shared, said))
            except Transient as trouble:
                troubles.append(f"{rpc.name}: {trouble}")
                continue
            return rpc, shared, _by_block(events)
        raise RpcUnavailable(f"nobody tells blocks again: {'; '.join(troubles)}")

    async def _judged(
        self, rpc: Rpc, header: Header, ours: list[Logged], theirs: list[Logged]
    ) -> Difference | None:
        block = header.block
        what = f"block {block.number} ({block.hash}): {_counted(ours)} are stored"
        true = await self._proven(header) if await self._is_vouched(rpc, header) else None
        if true is None or _bare(ours) == _bare(theirs):
            text = f"{what}, {rpc.name} tells {_counted(theirs)}, and no receipts decide"
            return Difference(block, text, proven=False)
        if _bare(ours) != _bare(true):
            await self._blame(header, true)
            text = f"{what}, its receipts prove {_counted(true)}; it is read again"
            return Difference(block, text, proven=True)
        rpc.quarantine(f"{rpc.name} told other logs of block {block.number} than its receipts hold")
        return None

    async def _is_vouched(self, rpc: Rpc, header: Header) -> bool:
        """Whether no other endpoint shows another header, or one more shows the same.

        A root that one makes up is no proof. One that two others contradict is quarantined.
        """
        denied: list[Header] = []
        for other in self._rpc.ranked():
            if other is rpc:
                continue
            try:
                (shown,) = await headers.fetch(other, [header.block.number])
            except Transient:
                continue
            if shown == header:
                return True
            if shown in denied:
                rpc.quarantine(f"{rpc.name} shows another header {header.block.number} than two")
                return False
            denied.append(shown)
        return not denied

    async def _proven(self, header: Header) -> list[Logged] | None:
        """The events of a block by receipts that add up; None where nobody has such."""
        for rpc in self._rpc.ranked():
            try:
                async for _, found in receipts.proven(rpc, self._contract, [header]):
                    return self._read(found)
            except Transient:
                continue
        return None

    async def _blame(self, header: Header, true: list[Logged]) -> None:
        """Quarantine whoever still tells something else of a block than is proven."""
        for rpc in self._rpc.ranked():
            try:
                said = self._read(await logs.of_blocks(rpc, self._contract, [header]))
            except Transient:
                continue
            if _bare(said) != _bare(true):
                rpc.quarantine(f"{rpc.name} tells other logs of {header.block.number} than proven")

    def _read(self, raw: Sequence[RawLog]) -> list[Logged]:
        return decode(self._profile, raw)[0]


async def _shared(rpc: Rpc, blocks: Sequence[Block]) -> list[Header]:
    """The headers of those blocks that an endpoint has as we do, however far behind it is."""
    answers = await rpc.batch([headers.by_number(block.number) for block in blocks])
    had = [
        (headers.numbered(answer, block.number), block)
        for answer, block in zip(answers, blocks, strict=True)
        if answer is not None
    ]
    if not had:
        raise RpcUnavailable(f"it has none of blocks {blocks[0].number} to {blocks[-1].number}")
    return [header for header, block in had if header.block.hash == block.hash]


def _by_block(events: Sequence[Logged]) -> Mapping[int, list[Logged]]:
    found: dict[int, list[Logged]] = {}
    by_log = (each for each in events if each.by_log)
    for logged in sorted(by_log, key=lambda each: (each.block, each.log_index)):
        found.setdefault(logged.block, []).append(logged)
    return found


def _bare(events: Sequence[Logged]) -> list[tuple[object, ...]]:
    """What receipts prove: everything but the transaction's hash."""
    return [(each.block_hash, each.log_index, each.event) for each in events]


def _counted(events: Sequence[Logged]) -> str:
    places = ", ".join(str(each.log_index) for each in events)
    return f"{len(events)} events (at {places})" if events else "no events"
