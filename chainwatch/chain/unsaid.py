"""Expiries that no log says: the contract is asked for them, at the block whose log left them out.

Law: an expiry is never computed. A log may change one and not say which (a key of Unlock Protocol
is sold so); then the contract's own state at the end of that block, named by its hash, is the fact,
and its place in the order is behind all logs of the block. It is absolute, belongs to exactly one
block, and is the same whenever it is asked for, so a reorg takes it back with its block, and who
reads again stores the same once more. What logs of the same block say about the token afterwards
does no harm: that is in the answer.

No receipt proves an answer, so another endpoint is asked as well, and where they differ a third one
decides. Failure mode: a node keeps old states only if it is an archive. One that does not have the
state tells nothing, and is passed over; where none has it there is no step, and the source says so.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter

from chainwatch.chain.contract import Contract
from chainwatch.chain.decode import Malformed, Profile
from chainwatch.chain.rpc import Endpoints, Rpc, RpcError
from chainwatch.chain.wire import RawLog
from chainwatch.domain.events import END_OF_BLOCK, ExpiryUpdated, Logged
from chainwatch.errors import NotAChain, RpcUnavailable, Transient

_PLACE = attrgetter("block", "log_index")


@dataclass(frozen=True, slots=True)
class _Question:
    """The expiry of a token at the end of the block in which a log left it out."""

    token: int
    log: RawLog

    @property
    def place(self) -> int:
        return END_OF_BLOCK + self.log.log_index

    def answered(self, expires_at: int) -> Logged:
        log = self.log
        event = ExpiryUpdated(self.token, expires_at)
        return Logged(event, log.block, log.block_hash, self.place, log.tx_hash)


class Unsaid:
    """What the logs of one contract leave out."""

    def __init__(self, contract: str, profile: Profile) -> None:
        self._contract = Contract(contract, profile)

    async def told(self, rpc: Rpc, logs: Sequence[RawLog]) -> list[Logged]:
        """The expiries that these logs leave out, as an endpoint tells them, in their order.

        Raises `RpcUnavailable` when it does not tell one of them; it is asked last then.
        """
        asked = list(self._questions(logs))
        try:
            answers = await self._asked(rpc, [(each.token, each.log.block_hash) for each in asked])
        except Transient as trouble:
            rpc.distrust(str(trouble))
            raise
        return [each.answered(answer) for each, answer in zip(asked, answers, strict=True)]

    async def seconded(self, lead: Rpc, others: Endpoints, events: Sequence[Logged]) -> None:
        """Hear another endpoint about what the leading one told of the contract's state.

        Raises `NotAChain` when they contradict each other and the leading one is wrong, or nobody
        knows who is. Who is silent contradicts nothing.
        """
        told = _told(events) if self._contract.profile.silent else {}
        against: list[tuple[Rpc, list[int]]] = []
        for rpc in others.ranked() if told else ():
            if rpc is lead:
                continue
            try:
                theirs = await self._asked(rpc, list(told))
            except Transient:
                continue
            if theirs == list(told.values()):
                _blame(rpc for rpc, _ in against)
                return
            if any(theirs == said for _, said in against):
                _blame([lead])
                raise _disagreement(lead, rpc, told, theirs)
            against.append((rpc, theirs))
        if against:
            raise _disagreement(lead, against[0][0], told, against[0][1])

    def _questions(self, logs: Sequence[RawLog]) -> Iterator[_Question]:
        """One for each token and block: by the last log there that leaves its expiry out."""
        silent = self._contract.profile.silent
        found: dict[tuple[int, int], _Question] = {}
        for log in logs if silent else ():
            reads = silent.get(log.topics[0]) if log.topics else None
            if reads is None:
                continue
            try:
                token = reads(log)
            except Malformed:
                continue  # `decode` reports it
            if token is not None:
                found.pop((log.block, token), None)
                found[log.block, token] = _Question(token, log)
        yield from found.values()

    async def _asked(self, rpc: Rpc, questions: Sequence[tuple[int, str]]) -> list[int]:
        if not questions:
            return []
        calls = [self._contract.expiry_question(token, digest) for token, digest in questions]
        told: list[int] = []
        for (token, digest), answer in zip(questions, await rpc.batch(calls), strict=True):
            if isinstance(answer, RpcError):
                raise RpcUnavailable(
                    f"{rpc.name} does not tell the expiry of lease {token} at block {digest}, "
                    f"which no event says; for old blocks it has to be an archive: {answer.message}"
                )
            told.append(self._contract.expiry(token, answer))
        return told


def in_order(events: list[Logged], told: Sequence[Logged]) -> list[Logged]:
    """Both, in the order of the chain."""
    return sorted((*events, *told), key=_PLACE) if told else events


def _told(events: Sequence[Logged]) -> dict[tuple[int, str], int]:
    """The expiries that no log says, by token and block hash."""
    return {
        (logged.event.token, logged.block_hash): logged.event.expires_at
        for logged in events
        if not logged.by_log and isinstance(logged.event, ExpiryUpdated)
    }


def _blame(liars: Iterable[Rpc]) -> None:
    for rpc in liars:
        rpc.quarantine(f"{rpc.name} tells another expiry of a lease at one block than two others")


def _disagreement(
    lead: Rpc, other: Rpc, told: Mapping[tuple[int, str], int], theirs: Sequence[int]
) -> NotAChain:
    (token, digest), mine, their = next(
        (question, mine, their)
        for (question, mine), their in zip(told.items(), theirs, strict=True)
        if mine != their
    )
    return NotAChain(
        f"two endpoints disagree about the expiry of lease {token} at block {digest}: "
        f"{lead.name} says {mine}, {other.name} says {their}"
    )
