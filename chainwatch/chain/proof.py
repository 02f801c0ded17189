"""What an endpoint says of a block's logs, held against the block's header.

A bloom that admits logs where none came is a doubt, and receipts that add up to the header's root
settle it: what they hold is what was said, whoever left it out or made it up. Logs where the bloom
has none are a contradiction. In mode `receipts` every block that has logs, or might, is proven; in
`off`, for chains that break their blooms, nothing is held against anything. Failure mode: a part
of a block's logs that is left out passes a bloom; only receipts, or another endpoint, tell.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from chainwatch.chain import receipts
from chainwatch.chain.bloom import Watch
from chainwatch.chain.rpc import Rpc
from chainwatch.chain.settings import Verify
from chainwatch.chain.wire import Contracts, Header, RawLog
from chainwatch.errors import NotAChain


@dataclass(frozen=True, slots=True)
class Proof:
    """How the logs of one contract are held against headers."""

    contract: Contracts
    watch: Watch
    mode: Verify

    @property
    def every_header(self) -> bool:
        """Whether every block's header is wanted, below finality too."""
        return self.mode == "receipts"

    async def settled(
        self, rpc: Rpc, blocks: Sequence[Header], found: Sequence[RawLog]
    ) -> list[RawLog]:
        """The logs of these blocks: those that were `found`, or those that receipts prove instead.

        An endpoint whose own receipts prove its logs wrong is distrusted. Raises `NotAChain` for
        logs that a bloom denies, and where a doubt can't be settled.
        """
        said: dict[int, list[RawLog]] = {header.block.number: [] for header in blocks}
        for log in found:
            said[log.block].append(log)
        doubted = [header for header in blocks if self._doubts(header, said[header.block.number])]
        wrong: list[str] = []
        async for header, proven in receipts.proven(rpc, self.contract, doubted):
            number = header.block.number
            if proven != said[number]:
                wrong.append(f"{rpc.name} {difference(said[number], proven)} block {number}")
            said[number] = proven
        if wrong:
            rpc.distrust(wrong[0])
        return [log for header in blocks for log in said[header.block.number]]

    def _doubts(self, header: Header, found: Sequence[RawLog]) -> bool:
        if self.mode == "off":
            return False
        if found and self.watch.denies(header.bloom):
            raise NotAChain(
                f"logs were given for block {header.block.number}, whose bloom has none"
            )
        if found:
            return self.mode == "receipts"
        return self.watch.admits(header.bloom)


def difference(said: Sequence[RawLog], true: Sequence[RawLog]) -> str:
    """What somebody did who told `said` where `true` is proven; to be followed by which block."""
    missing, extra = {*true} - {*said}, {*said} - {*true}
    if missing and extra:
        return "changed logs of"
    return "left out logs of" if missing else "made up logs of"
