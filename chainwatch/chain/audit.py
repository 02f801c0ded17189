"""Leases as the contract's state has them at one of our own blocks, to hold our events against.

Events can be left out by a node in ways that no bloom shows; the contract's state then still says
what they said. Asked at a block by hash, the answer is about exactly the chain that we folded, how
far that chain has gone on meanwhile does not matter. A node that no longer has the state (only
archives keep it for long), or does not have the block, says nothing: that is no mismatch. Tokens of
which the contract speaks in words that are not known do not keep the others from being compared.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chainwatch.chain.contract import Contract, Credentials, Told, no_credentials
from chainwatch.chain.decode import Profile
from chainwatch.chain.rpc import Endpoints, Rpc, RpcError
from chainwatch.chain.settings import SourceSettings
from chainwatch.domain.events import Block
from chainwatch.errors import NotAChain, RpcUnavailable, Transient
from provisioner.faultpoints import guarded


@dataclass(frozen=True, slots=True)
class Account:
    """What one endpoint (by host) says the contract says; of tokens left out it knows nothing."""

    host: str
    told: Mapping[int, Told]


class StateReader:
    """Asks the contract of one source about leases, at blocks that we stored."""

    def __init__(
        self,
        settings: SourceSettings,
        rpc: Endpoints,
        profile: Profile,
        credentials: Credentials = no_credentials,
    ) -> None:
        self._contract = Contract(settings.source.contract, profile, settings.source.credential)
        self._rpc = rpc
        self._credentials = credentials

    @property
    def contiguous(self) -> bool:
        """Whether the contract numbers its tokens 1, 2, 3, … without a gap."""
        return self._contract.profile.contiguous

    @property
    def tells_all(self) -> bool:
        """Whether the contract changes no owner and no expiry without an event."""
        return self._contract.profile.tells_all

    @property
    def single(self) -> bool:
        """Whether there is one endpoint only."""
        return len(self._rpc.health()) < 2

    @guarded("chain.state")
    async def leases_at(
        self, tokens: Sequence[int], at: Block, *, other_than: str | None = None
    ) -> Account:
        """What the first endpoint that knows the state at `at` says of these tokens.

        `other_than` names one that is asked last; one that has the state, but no word that is
        understood, is heard where none has more to say. Raises `RpcUnavailable` when none has it.
        """
        credentials = await self._credentials(tokens, at)
        troubles: list[str] = []
        wordless: str | None = None
        for rpc in sorted(self._rpc.ranked(), key=lambda each: each.name == other_than):
            try:
                told, refusal = await self._asked(rpc, tokens, credentials, at)
            except Transient as trouble:
                troubles.append(f"{rpc.name}: {trouble}")
                continue
            if told or not tokens:
                return Account(rpc.name, told)
            troubles.append(f"{rpc.name}: {refusal}")
            if wordless is None and _has_state(refusal):
                wordless = rpc.name
        if wordless is not None:
            return Account(wordless, {})
        raise RpcUnavailable(
            f"nobody tells the contract's state at block {at.number}: {'; '.join(troubles)}"
        )

    async def _asked(
        self, rpc: Rpc, tokens: Sequence[int], credentials: Mapping[int, int], at: Block
    ) -> tuple[dict[int, Told], Transient | None]:
        calls = [
            call
            for token in tokens
            for call in self._contract.questions(token, at.hash, credentials.get(token))
        ]
        answers = await rpc.batch(calls)
        told: dict[int, Told] = {}
        refusal: Transient | None = None
        for place, token in enumerate(tokens):
            try:
                owner, expiry = answers[2 * place : 2 * place + 2]
                told[token] = self._contract.told(token, owner, expiry, credentials.get(token))
            except Transient as silent:
                refusal = silent
        return told, refusal


def _has_state(refusal: Transient | None) -> bool:
    """Whether the contract was asked, though what it said is not understood."""
    return isinstance(refusal, NotAChain) or (isinstance(refusal, RpcError) and refusal.reverted)
