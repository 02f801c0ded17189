"""The sender's way to a chain: our account there, looks, simulations, receipts, and what is sent.

Every pass stays with one endpoint, which holds the blocks that the journal rests on (the cursor and
the final one, by their hashes), so that what it says is about the chain that we follow. State is
asked at the head by its hash, receipts after it: what is done at that head and has no receipt of
ours was done by somebody else. A transaction is given to every endpoint. Only what is observed
decides: what a node answers to a broadcast is told, and nothing follows from it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from chainwatch.chain import headers
from chainwatch.chain.rpc import Call as RpcCall
from chainwatch.chain.rpc import Endpoints, Rpc, RpcError
from chainwatch.chain.sender.fees import Market
from chainwatch.chain.sender.looks import Answer, Look, Refusal, Seen, Word, plain
from chainwatch.chain.tip import SYNCING, check_synced
from chainwatch.chain.wire import block_hash, count, header, quantity, raw_bytes
from chainwatch.domain.events import Block
from chainwatch.domain.sendings import Attempt, Call
from chainwatch.errors import NotAChain, RpcUnavailable, Transient
from provisioner.faultpoints import guarded

#: The tip that is offered where a node names none, in wei.
_USUAL_TIP: Final = 10**9


@dataclass(frozen=True, slots=True)
class View:
    """Our account as one endpoint shows it at its head.

    `nonce` is the next one that the chain takes, `pending` the next one after what waits there;
    `final` the final block that the journal knows, None before there is one.
    """

    rpc: Rpc
    head: Block
    market: Market
    final: Block | None
    nonce: int
    pending: int
    balance: int


@dataclass(frozen=True, slots=True)
class Mined:
    """Where a transaction stands, and whether it did what it was to do."""

    hash: str
    block: int
    block_hash: str
    succeeded: bool


@dataclass(frozen=True, slots=True)
class Traces:
    """What became of transactions: those in blocks by hash, and those that the node knows."""

    mined: Mapping[str, Mined]
    known: frozenset[str]


class Gateway:
    """Asks and sends on the chain `chain_id`, for the account `address` (lower case)."""

    def __init__(self, chain_id: int, address: str, pools: Sequence[Endpoints]) -> None:
        self.chain_id = chain_id
        self.address = address
        self._pools = pools

    def _ranked(self) -> list[Rpc]:
        """Every endpoint of the chain's sources, each host once, the best of each source first."""
        found: dict[str, Rpc] = {}
        for pool in self._pools:
            for rpc in pool.ranked():
                found.setdefault(rpc.name, rpc)
        return list(found.values())

    # ------------------------------------------------------------------------------------ asking

    @guarded("sender.account")
    async def account(self, cursor: Block | None, final: Block | None) -> View:
        """Return our account, from the first endpoint whose chain holds these blocks.

        Raises `RpcUnavailable` when none does.
        """
        troubles = []
        for rpc in self._ranked():
            try:
                return await self._view(rpc, cursor, final)
            except Transient as trouble:
                troubles.append(f"{rpc.name}: {trouble}")
        raise RpcUnavailable(f"nobody tells our account: {'; '.join(troubles)}")

    async def _view(self, rpc: Rpc, cursor: Block | None, final: Block | None) -> View:
        held = [block for block in (cursor, final) if block is not None]
        calls = [SYNCING, ("eth_chainId", ()), headers.by_number("latest")]
        syncing, chain_id, latest, *answers = await rpc.batch(
            [*calls, *(headers.by_number(block.number) for block in held)]
        )
        check_synced(rpc, syncing)
        if quantity(_given(chain_id)) != self.chain_id:
            raise NotAChain(f"it is not on chain {self.chain_id}")
        head = header(_given(latest)).block
        for block, answer in zip(held, answers, strict=True):
            if head.number < block.number:
                raise NotAChain(f"it has not reached block {block.number}")
            if headers.numbered(answer, block.number).block.hash != block.hash:
                raise NotAChain(f"its block {block.number} is not {block.hash}")
        at = hex(head.number)
        nonce, pending, balance, tip, price = await rpc.batch(
            [
                ("eth_getTransactionCount", (self.address, at)),
                ("eth_getTransactionCount", (self.address, "pending")),
                ("eth_getBalance", (self.address, at)),
                ("eth_maxPriorityFeePerGas", ()),
                ("eth_gasPrice", ()),
            ]
        )
        return View(
            rpc=rpc,
            head=head,
            market=_market(latest, tip, price),
            final=final,
            nonce=count(_given(nonce)),
            pending=count(_given(nonce if isinstance(pending, RpcError) else pending)),
            balance=quantity(_given(balance)),
        )

    @guarded("sender.look")
    async def look(self, view: View, looks: Sequence[Look], *, final: bool = False) -> list[Seen]:
        """Return what each look finds at the head, or at the final block if it is still known."""
        at: object = {"blockHash": view.head.hash, "requireCanonical": True}
        if final:
            at = hex(view.final.number if view.final else 0)
        calls = [
            ("eth_call", ({"to": to, "data": data, "from": self.address}, at))
            for look in looks
            for to, data in look.calls
        ]
        answers = iter(await view.rpc.batch(calls) if calls else ())
        return [_judged(look, [next(answers) for _ in look.calls]) for look in looks]

    @guarded("sender.simulate")
    async def simulate(self, view: View, call: Call) -> int | Refusal:
        """Return the gas that a call takes at the head, or how the contract refuses it."""
        request = {
            "from": self.address,
            "to": call.to,
            "data": call.data,
            "value": hex(call.value),
        }
        at = {"blockHash": view.head.hash, "requireCanonical": True}
        said, gas = await view.rpc.batch(
            [("eth_call", (request, at)), ("eth_estimateGas", (request, "latest"))]
        )
        for answer in (said, gas):
            if isinstance(answer, RpcError) and answer.reverted:
                return Refusal(answer.data, answer.message)
        raw_bytes(_given(said))
        return count(_given(gas))

    @guarded("sender.traces")
    async def traces(self, view: View, attempts: Sequence[Attempt]) -> Traces:
        """Return what became of transactions; asked after the head, so never behind it."""
        return await _traces(view.rpc, attempts)

    @guarded("sender.testimony")
    async def testimony(self, view: View, attempts: Sequence[Attempt]) -> Traces | None:
        """Return what another endpoint than the view's says of transactions, for what is final.

        None where there is no other one. Raises `RpcUnavailable` when none of them answers.
        """
        others = [rpc for rpc in self._ranked() if rpc.name != view.rpc.name]
        if not self._has_others(view):
            return None
        troubles = []
        for rpc in others:
            try:
                (chain_id,) = await rpc.batch([("eth_chainId", ())])
                if quantity(_given(chain_id)) == self.chain_id:
                    return await _traces(rpc, attempts)
                troubles.append(f"{rpc.name}: it is not on chain {self.chain_id}")
            except Transient as trouble:
                troubles.append(f"{rpc.name}: {trouble}")
        raise RpcUnavailable(f"no second endpoint tells it: {'; '.join(troubles)}")

    def _has_others(self, view: View) -> bool:
        hosts = {each.host for pool in self._pools for each in pool.health()}
        return bool(hosts - {view.rpc.name})

    @guarded("sender.final_nonce")
    async def final_nonce(self, view: View) -> int | None:
        """Return the next nonce at the final block; None where the node has not that state."""
        if view.final is None:
            return None
        at = hex(view.final.number)
        try:
            return count(await view.rpc.call("eth_getTransactionCount", self.address, at))
        except RpcError:
            return None

    # ----------------------------------------------------------------------------------- sending

    @guarded("sender.broadcast")
    async def broadcast(self, attempt: Attempt) -> str | None:
        """Give a transaction to every endpoint; None when one has it now, else what they said."""
        said = []
        taken = False
        for rpc in self._ranked():
            try:
                await rpc.call("eth_sendRawTransaction", attempt.raw)
            except RpcError as refused:
                if refused.there:
                    taken = True
                else:
                    said.append(f"{rpc.name}: {plain(refused.message)}")
            except Transient as trouble:
                said.append(f"{rpc.name}: {trouble}")
            else:
                taken = True
        return None if taken else "; ".join(said) or "there is no endpoint"

    @guarded("sender.has_role")
    async def has_role(self, view: View, contract: str, data: str) -> bool | None:
        """Return what a view that answers yes or no says; None where it does not."""
        answer = await view.rpc.batch([("eth_call", ({"to": contract, "data": data}, "latest"))])
        if isinstance(answer[0], RpcError):
            return None
        word = raw_bytes(answer[0])
        return bool(int.from_bytes(word)) if len(word) == 32 else None


async def _traces(rpc: Rpc, attempts: Sequence[Attempt]) -> Traces:
    calls: list[RpcCall] = []
    for each in attempts:
        calls.append(("eth_getTransactionReceipt", (each.hash,)))
        calls.append(("eth_getTransactionByHash", (each.hash,)))
    answers = [_given(answer) for answer in await rpc.batch(calls)] if calls else []
    mined: dict[str, Mined] = {}
    known = set()
    for each, receipt, transaction in zip(attempts, answers[::2], answers[1::2], strict=True):
        if receipt is not None:
            mined[each.hash] = _mined(receipt, each.hash)
        if transaction is not None:
            known.add(each.hash)
    return Traces(mined, frozenset(known))


def _given(answer: object) -> object:
    if isinstance(answer, RpcError):
        raise answer
    return answer


def _judged(look: Look, answers: Sequence[object]) -> Seen:
    """Return what a look found; nothing where an answer is an error that is not the contract's."""
    read: list[Answer] = []
    for answer in answers:
        if not isinstance(answer, RpcError):
            read.append(raw_bytes(answer))
        elif answer.reverted:
            read.append(Refusal(answer.data, answer.message))
        else:
            return Seen(Word.UNKNOWN, f"the node does not tell: {plain(answer.message)}")
    return look.judge(read)


def _market(latest: object, tip: object, price: object) -> Market:
    base = latest.get("baseFeePerGas") if isinstance(latest, dict) else None
    if base is None:
        return Market(None, quantity(_given(price)))
    return Market(quantity(base), _USUAL_TIP if isinstance(tip, RpcError) else quantity(tip))


def _mined(receipt: object, wanted: str) -> Mined:
    match receipt:
        case {"transactionHash": tx, "blockNumber": number, "blockHash": digest, "status": status}:
            if block_hash(tx) != wanted:
                raise NotAChain(f"asked for the receipt of {wanted}, got another's")
            return Mined(wanted, count(number), block_hash(digest), quantity(status) == 1)
    raise NotAChain(f"the node's answer has no receipt where one must be: {receipt!r:.120}")
