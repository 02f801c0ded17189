"""A lease as the chain has it right now: the last question before something irreversible.

The answer is given at one block, named by its hash in both calls, on an endpoint that is not still
syncing and whose chain holds the block that the decision rests on. Where there are two endpoints,
two must agree, even while one of them is in quarantine; where they do not, nothing happens, and a
third endpoint tells who was wrong. "There is no such token" is an answer only as the contract's own
revert; every other failure is raised, and stops whatever was about to happen.
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import Final

from chainwatch.chain import headers
from chainwatch.chain.contract import Contract, Credentials, Told, no_credentials
from chainwatch.chain.decode import Profile
from chainwatch.chain.rpc import Endpoints, Rpc, RpcError
from chainwatch.chain.settings import SourceSettings
from chainwatch.chain.tip import SYNCING, check_synced
from chainwatch.chain.wire import header, quantity
from chainwatch.domain.batches import LatestLease
from chainwatch.domain.events import Block
from chainwatch.errors import NotAChain, RpcUnavailable, Transient
from provisioner.faultpoints import guarded

_ANSWERS_WANTED: Final = 2


class LatestReader:
    """Asks the contract of one source at `latest`."""

    def __init__(
        self,
        settings: SourceSettings,
        rpc: Endpoints,
        profile: Profile,
        credentials: Credentials = no_credentials,
    ) -> None:
        self._source = settings.source
        self._rpc = rpc
        self._contract = Contract(settings.source.contract, profile, settings.source.credential)
        self._credentials = credentials

    @guarded("chain.lease_at_latest")
    async def lease_at_latest(self, token: int, at_least: Block) -> LatestLease:
        """The lease of `token` at the head of a chain that holds `at_least`.

        Raises `RpcUnavailable` when too few endpoints answer, `NotAChain` when two disagree.
        """
        credential = (await self._credentials([token], at_least)).get(token)
        endpoints = self._rpc.ranked()
        wanted = min(len(self._rpc.health()), _ANSWERS_WANTED)
        answers: dict[str, LatestLease] = {}
        heads: list[Block] = []
        troubles: list[str] = []
        for rpc in endpoints:
            if len(answers) == wanted:
                break
            try:
                head, answers[rpc.name] = await self._ask(rpc, token, credential, at_least)
                heads.append(head)
            except Transient as trouble:
                troubles.append(f"{rpc.name}: {trouble}")
        troubles += [f"{each.host}: quarantined" for each in self._rpc.health() if each.quarantined]
        if not answers or len(answers) < wanted:
            raise RpcUnavailable(
                f"{len(answers)} of {wanted} endpoints told lease {token}: {'; '.join(troubles)}"
            )
        if _differ(answers):
            await self._expose(token, credential, min(heads, key=lambda head: head.number))
        return _agreed(token, answers)

    async def _expose(self, token: int, credential: int | None, at: Block) -> None:
        """Quarantine who is alone with what it tells of one block, where two others tell the same.

        That answers differ at different heads proves nothing; at one block, by its hash, it does.
        """
        told: dict[Told, list[Rpc]] = defaultdict(list)
        for rpc in self._rpc.ranked():
            try:
                asked = self._contract.questions(token, at.hash, credential)
                answers = await rpc.batch(asked)
                owner, expiry = answers
                told[self._contract.told(token, owner, expiry, credential)].append(rpc)
            except Transient:
                continue
        if any(len(siding) >= _ANSWERS_WANTED for siding in told.values()):
            for rpc in (siding[0] for siding in told.values() if len(siding) == 1):
                why = f"{rpc.name} tells another owner or expiry of lease {token} than two others"
                rpc.quarantine(f"{why} at block {at.number} ({at.hash})")

    async def _ask(
        self, rpc: Rpc, token: int, credential: int | None, at_least: Block
    ) -> tuple[Block, LatestLease]:
        held_call, latest_call = headers.by_number(at_least.number), headers.by_number("latest")
        syncing, chain_id, held, latest = await rpc.batch(
            [SYNCING, ("eth_chainId", ()), held_call, latest_call]
        )
        check_synced(rpc, syncing)
        for failed in (chain_id, held, latest):
            if isinstance(failed, RpcError):
                raise failed
        head = header(latest).block
        if quantity(chain_id) != self._source.chain_id or head.number < at_least.number:
            raise NotAChain(f"it has not reached block {at_least.number} of our chain")
        if headers.numbered(held, at_least.number).block.hash != at_least.hash:
            raise NotAChain(f"its block {at_least.number} is not {at_least.hash}")
        owner, expiry = await rpc.batch(self._contract.questions(token, head.hash, credential))
        told = self._contract.told(token, owner, expiry, credential)
        return head, LatestLease(head.number, head.timestamp, told.owner, told.expires_at)


def _differ(answers: Mapping[str, LatestLease]) -> bool:
    return len({(answer.owner, answer.expires_at) for answer in answers.values()}) > 1


def _agreed(token: int, answers: Mapping[str, LatestLease]) -> LatestLease:
    """The earliest of answers (by host) that say the same; raises `NotAChain` when they do not.

    By its time a lease is paid for longest, so nobody ends one by telling a time to come.
    """
    if _differ(answers):
        told = "; ".join(
            f"{host} at block {answer.block}: owner {answer.owner}, expires {answer.expires_at}"
            for host, answer in answers.items()
        )
        raise NotAChain(f"two endpoints disagree about lease {token}: {told}")
    return min(answers.values(), key=lambda answer: answer.timestamp)
