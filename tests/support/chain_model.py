"""A chain without a machine behind it: blocks, forks and our contract's logs, answered as JSON-RPC.

Deterministic, and independent of the code that it tests: logs are encoded by eth_abi from the
signatures, blooms are made by hand, and the truth (`events`) is what was mined. An endpoint can be
given a `tamper` function that sees every answer and may return another one, or raise.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache

from web3 import Web3

from chainwatch.chain.rpc import Call, Rpc, RpcError
from chainwatch.chain.standing import Health
from chainwatch.domain.events import (
    ZERO_ADDRESS,
    Block,
    Event,
    ExpiryUpdated,
    LeaseMinted,
    Logged,
    PlanDefined,
    PlanTerms,
    Transferred,
)
from tests.support.chain_words import word, words_of
from tests.support.receipts_model import receipt, receipts_root

CONTRACT = "0x" + "c0" * 20
Json = dict[str, object]
Tamper = Callable[[str, Sequence[object], object], object]


@dataclass(frozen=True, slots=True)
class RawEvent:
    """A log that is none of our events: topics and data as they are."""

    topics: tuple[str, ...]
    data: str = "0x"


def minted(token: int, owner: str, *, plan: int, expires_at: int) -> list[Event]:
    """What a purchase says, in the contract's order."""
    return [
        Transferred(token, ZERO_ADDRESS, owner),
        LeaseMinted(token, plan, owner, 3600, 3600),
        ExpiryUpdated(token, expires_at),
    ]


def plan_events(plan: int = 1, *, grace: int = 86_400, kind: int = 0) -> list[Event]:
    """What the creation of a small plan says; `kind` 1 sells containers."""
    return [
        PlanDefined(plan, "small", kind, 2, 2048, 20, grace),
        PlanTerms(plan, ZERO_ADDRESS, 1, 0, True),
    ]


@cache
def encoded(event: Event | RawEvent) -> tuple[tuple[str, ...], str]:
    """An event's topics and data, as the contract would emit them."""
    return (event.topics, event.data) if isinstance(event, RawEvent) else words_of(event)


@dataclass(frozen=True, slots=True)
class ModelBlock:
    """A mined block: its header, and what was said in it, by which transactions."""

    block: Block
    said: tuple[tuple[Event | RawEvent, str], ...] = ()

    def logged(self) -> list[Logged]:
        return [
            Logged(event, self.block.number, self.block.hash, index, tx)
            for index, (event, tx) in enumerate(self.said)
            if not isinstance(event, RawEvent)
        ]

    def logs(self, contract: str) -> list[Json]:
        return [self._log(index, contract) for index in range(len(self.said))]

    def _log(self, index: int, contract: str) -> Json:
        event, tx = self.said[index]
        topics, data = encoded(event)
        return {
            "address": contract,
            "blockNumber": hex(self.block.number),
            "blockHash": self.block.hash,
            "logIndex": hex(index),
            "transactionHash": tx,
            "topics": list(topics),
            "data": data,
            "removed": False,
        }

    def header(self, contract: str) -> Json:
        bloom = 0
        for event, _ in self.said:
            for value in (contract, *encoded(event)[0]):
                bloom |= _bloom_bits(value)
        return {
            "number": hex(self.block.number),
            "hash": self.block.hash,
            "parentHash": self.block.parent,
            "timestamp": hex(self.block.timestamp),
            "logsBloom": f"0x{bloom:0512x}",
            "receiptsRoot": _receipts_root(self, contract),
        }

    def receipts(self, contract: str) -> list[Json]:
        """What `eth_getBlockReceipts` gives: a receipt for each transaction, with its logs."""
        told: list[Json] = []
        for log in self.logs(contract):
            if not told or told[-1]["transactionHash"] != log["transactionHash"]:
                told.append(receipt(str(log["transactionHash"]), len(told)))
            logs = told[-1]["logs"]
            assert isinstance(logs, list)
            logs.append(log)
        return told


@cache
def _receipts_root(block: ModelBlock, contract: str) -> str:
    return receipts_root(block.receipts(contract))


@cache
def _bloom_bits(value: str) -> int:
    digest = bytes(Web3.keccak(hexstr=value))
    bits = 0
    for start in (0, 2, 4):
        bits |= 1 << (int.from_bytes(digest[start : start + 2]) % 2048)
    return bits


def _digest(*parts: object) -> str:
    return "0x" + hashlib.sha256(repr(parts).encode()).hexdigest()


class ChainModel:
    """A chain of one contract. `final_lag` blocks below the head are called finalized.

    Asked for a token that is not there, the contract reverts, or answers 0 if `zero_is_nobody`.
    """

    def __init__(
        self,
        chain_id: int = 31337,
        contract: str = CONTRACT,
        *,
        final_lag: int = 5,
        genesis_time: int = 1_700_000_000,
    ) -> None:
        self.chain_id = chain_id
        self.contract = contract
        self.final_lag = final_lag
        self.syncing = False
        self.zero_is_nobody = False
        self._salt = 0
        genesis = Block(0, _digest("genesis", chain_id), "0x" + "0" * 64, genesis_time)
        self.blocks: list[ModelBlock] = [ModelBlock(genesis)]
        self.rpc = ModelPool([ModelEndpoint("model", self)])

    @property
    def head(self) -> Block:
        return self.blocks[-1].block

    def mine(
        self,
        events: Sequence[Event | RawEvent] = (),
        *,
        seconds: int = 12,
        tx: str | None = None,
    ) -> Block:
        """One block later by `seconds`, with `events` of one transaction (`tx`, or a new one)."""
        self._salt += 1
        said = tuple((event, tx or _digest("tx", self._salt)) for event in events)
        parent = self.head
        number, timestamp = parent.number + 1, parent.timestamp + seconds
        digest = _digest(parent.hash, number, timestamp, said, self._salt)
        self.blocks.append(ModelBlock(Block(number, digest, parent.hash, timestamp), said))
        return self.head

    def drop(self, depth: int) -> None:
        """Forget the last `depth` blocks: what is mined next makes another chain."""
        if not 0 <= depth < len(self.blocks):
            raise ValueError(f"a chain of {len(self.blocks)} blocks can't lose {depth}")
        del self.blocks[len(self.blocks) - depth :]

    def reorg(self, depth: int) -> None:
        """Replace the last `depth` blocks by as many empty ones."""
        self.drop(depth)
        for _ in range(depth):
            self.mine()

    def fork(self) -> list[ModelBlock]:
        """The chain as it is; assign it to `blocks` to come back to it."""
        return list(self.blocks)

    def events(self, up_to: int | None = None) -> list[Logged]:
        """The truth: all readable events of the canonical chain up to a block, in order."""
        blocks = self.blocks if up_to is None else self.blocks[: up_to + 1]
        return [logged for block in blocks for logged in block.logged()]

    def endpoint(self, name: str, tamper: Tamper | None = None) -> "ModelEndpoint":
        """Another way to ask this chain, perhaps a dishonest one."""
        return ModelEndpoint(name, self, tamper)

    def answer(self, method: str, params: Sequence[object]) -> object:
        """The result of one JSON-RPC call; raises `RpcError` as a node would."""
        match method, list(params):
            case "eth_syncing", []:
                head = hex(self.head.number)
                return {"currentBlock": head, "highestBlock": "0xfffff"} if self.syncing else False
            case "eth_chainId", []:
                return hex(self.chain_id)
            case "eth_getCode", [str(address), _]:
                return "0x60" if address.lower() == self.contract else "0x"
            case "eth_getBlockByNumber", [str(tag), False]:
                found = self._numbered(tag)
                return found and found.header(self.contract)
            case "eth_getLogs", [dict(filters)]:
                return self._logs(filters)
            case "eth_getBlockReceipts", [str(digest)]:
                return self._of_hash(digest).receipts(self.contract)
            case "eth_call", [{"to": str(_), "data": str(data)}, {"blockHash": str(digest)}]:
                return self._called(data, self._of_hash(digest).block.number)
            case (("eth_getTransactionCount" | "eth_getBalance"), [str(_), str(_)]):
                return "0x0"
            case "eth_gasPrice", []:
                return "0x1"
        raise RpcError(-32601, f"the method {method} does not exist")

    def _numbered(self, tag: str) -> ModelBlock | None:
        if tag == "latest":
            return self.blocks[-1]
        if tag in ("finalized", "safe"):
            return self.blocks[max(0, len(self.blocks) - 1 - self.final_lag)]
        number = int(tag, 16)
        return self.blocks[number] if number < len(self.blocks) else None

    def _of_hash(self, digest: str) -> ModelBlock:
        for block in reversed(self.blocks):
            if block.block.hash == digest:
                return block
        raise RpcError(-32000, "unknown block")

    def _logs(self, filters: Json) -> list[Json]:
        if str(filters["address"]).lower() != self.contract:
            return []
        if "blockHash" in filters:
            return self._of_hash(str(filters["blockHash"])).logs(self.contract)
        first, last = int(str(filters["fromBlock"]), 16), int(str(filters["toBlock"]), 16)
        blocks = self.blocks[first : last + 1]
        return [log for block in blocks for log in block.logs(self.contract)]

    def _called(self, data: str, at: int) -> str:
        selector, token = data[:10], int(data[10:], 16)
        owner, expires_at = ZERO_ADDRESS, 0
        for logged in self.events(at):
            match logged.event:
                case Transferred(said, _, recipient) if said == token:
                    owner = recipient
                case ExpiryUpdated(said, until) if said == token:
                    expires_at = until
        if owner == ZERO_ADDRESS and not self.zero_is_nobody:
            error = bytes(Web3.keccak(text="ERC721NonexistentToken(uint256)"))[:4].hex()
            raise RpcError(3, "execution reverted", f"0x{error}{token:064x}")
        owner_of = bytes(Web3.keccak(text="ownerOf(uint256)"))[:4].hex()
        return word(owner) if selector == f"0x{owner_of}" else word(expires_at)


@dataclass(slots=True)
class ModelEndpoint:
    """One way to ask a chain; `asked` records every method, the others every reproach."""

    name: str
    chain: ChainModel
    tamper: Tamper | None = None
    head: int | None = None
    still: float = 0.0
    asked: list[str] = field(default_factory=list)
    distrusted: list[str] = field(default_factory=list)
    quarantined: list[str] = field(default_factory=list)

    async def call(self, method: str, *params: object) -> object:
        self.asked.append(method)
        result = self.chain.answer(method, params)
        return self.tamper(method, params, result) if self.tamper else result

    async def batch(self, calls: Sequence[Call]) -> list[object | RpcError]:
        answers: list[object | RpcError] = []
        for method, params in calls:
            try:
                answers.append(await self.call(method, *params))
            except RpcError as error:
                answers.append(error)
        return answers

    def saw_head(self, number: int) -> None:
        self.head = number

    def still_for(self) -> float:
        return self.still

    def distrust(self, why: str) -> None:
        self.distrusted.append(why)

    def quarantine(self, why: str) -> None:
        self.quarantined.append(why)

    def health(self) -> Health:
        proven = self.quarantined[-1] if self.quarantined else None
        return Health(self.name, 0, proven, self.head, False, proven, latency_ms=1, lag=0)


@dataclass(slots=True)
class ModelPool:
    """Endpoints in a fixed order, without those in quarantine unless all are; it never ends."""

    endpoints: Sequence[ModelEndpoint]

    def ranked(self) -> Sequence[Rpc]:
        return [each for each in self.endpoints if not each.quarantined] or self.endpoints

    def health(self) -> Sequence[Health]:
        return [each.health() for each in self.endpoints]
