"""Which lease a credential is of: asked of its contract, at the block in which it was minted.

Its mint says to whom, and not of which lease it is; what it carries does, and whoever mints it for
us writes our own words there (`profiles/blockhost.py`). Law: it is read once, at the end of the
block of the mint, named by its hash, so what its owner writes into it later means nothing; it is
absolute, is the same whenever it is asked for, and a reorg takes it back with its block. Its place
in the journal is behind all logs of the block. Another endpoint is asked the same, and where they
differ a third one decides. Failure mode: as for `chain/unsaid.py`, old blocks need an archive.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from chainwatch.chain.profiles.blockhost import CARRIED, TRANSFER, lease_in, minted
from chainwatch.chain.rpc import Endpoints, Rpc, RpcError
from chainwatch.chain.wire import RawLog, raw_bytes
from chainwatch.domain.batches import Source
from chainwatch.domain.events import END_OF_BLOCK, CredentialLinked, Logged
from chainwatch.errors import NotAChain, RpcUnavailable, Transient

_NOTHING: Final = b""


class Bonds:
    """What the credentials of one source carry; nothing where it has none."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._credential = source.credential.lower()

    async def told(self, rpc: Rpc, logs: Sequence[RawLog]) -> list[Logged]:
        """The links that these logs leave out, as an endpoint tells them, in their order.

        Raises `RpcUnavailable` when it does not tell one of them; it is asked last then.
        """
        mints = list(self._mints(logs))
        if not mints:
            return []
        try:
            carried = await self._asked(rpc, mints)
        except Transient as trouble:
            rpc.distrust(str(trouble))
            raise
        return self._links(mints, carried)

    async def seconded(
        self, lead: Rpc, others: Endpoints, logs: Sequence[RawLog], events: Sequence[Logged]
    ) -> None:
        """Hear another endpoint about what the leading one told of these logs' mints.

        Raises `NotAChain` when they contradict each other and the leading one is wrong, or nobody
        knows who is. Who is silent contradicts nothing.
        """
        mints = list(self._mints(logs))
        mine = [each for each in events if isinstance(each.event, CredentialLinked)]
        against: list[tuple[Rpc, list[Logged]]] = []
        for rpc in others.ranked() if mints else ():
            if rpc is lead:
                continue
            try:
                theirs = self._links(mints, await self._asked(rpc, mints))
            except Transient:
                continue
            if theirs == mine:
                for liar, _ in against:
                    liar.quarantine(
                        f"{liar.name} tells other leases of credentials than two others"
                    )
                return
            if any(theirs == said for _, said in against):
                lead.quarantine(f"{lead.name} tells other leases of credentials than two others")
                break
            against.append((rpc, theirs))
        if against:
            raise NotAChain(
                f"two endpoints disagree about what credentials carry: {lead.name} and "
                f"{against[0][0].name}, at blocks {mints[0].block} to {mints[-1].block}"
            )

    def _mints(self, logs: Sequence[RawLog]) -> Iterator[RawLog]:
        for log in logs if self._credential else ():
            if log.address == self._credential and log.topics[:1] == (TRANSFER,) and minted(log):
                yield log

    async def _asked(self, rpc: Rpc, mints: Sequence[RawLog]) -> list[bytes]:
        calls = [
            (
                "eth_call",
                (
                    {
                        "to": self._credential,
                        "data": f"{CARRIED}{int.from_bytes(log.topics[3]):064x}",
                    },
                    {"blockHash": log.block_hash, "requireCanonical": True},
                ),
            )
            for log in mints
        ]
        told = []
        for log, answer in zip(mints, await rpc.batch(calls), strict=True):
            if not isinstance(answer, RpcError):
                told.append(raw_bytes(answer))
            elif answer.reverted:  # burnt in the same block
                told.append(_NOTHING)
            else:
                raise RpcUnavailable(
                    f"{rpc.name} does not tell what credential {int.from_bytes(log.topics[3])} "
                    f"carries at block {log.block_hash}, which no event says; for old blocks it "
                    f"has to be an archive: {answer.message}"
                )
        return told

    def _links(self, mints: Sequence[RawLog], carried: Sequence[bytes]) -> list[Logged]:
        found = (self._linked(*each) for each in zip(mints, carried, strict=True))
        return [linked for linked in found if linked is not None]

    def _linked(self, log: RawLog, carried: bytes) -> Logged | None:
        token = lease_in(carried, self._source.chain_id, self._source.contract)
        if token is None:
            return None
        _, _, recipient, credential = log.topics
        event = CredentialLinked(token, int.from_bytes(credential), f"0x{recipient[12:].hex()}")
        place = END_OF_BLOCK + log.log_index
        return Logged(event, log.block, log.block_hash, place, log.tx_hash)
