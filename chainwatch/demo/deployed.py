"""A contract on a chain of one's own: deploy it, send to it, ask it, and read what it said.

Accounts are anvil's unlocked ones, so there is no key here. A call that would revert is never sent:
it fails in the estimate, and `Reverted` carries the contract's own custom error by name. What a
transaction emitted comes back decoded and in order, this contract's events only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from web3 import AsyncWeb3
from web3.contract import AsyncContract
from web3.exceptions import ContractCustomError
from web3.types import TxReceipt

from chainwatch import artifacts
from chainwatch.demo.anvil import Anvil

T = TypeVar("T")
_POLL_S = 0.02


class Reverted(Exception):
    """The contract refused: `error` is the name of its custom error, `values` its arguments."""

    def __init__(self, error: str, values: tuple[object, ...]) -> None:
        super().__init__(f"{error}{values}")
        self.error = error
        self.values = values


@dataclass(frozen=True, slots=True)
class Said:
    """An event of a contract, with its arguments by the names of the ABI."""

    name: str
    values: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Receipt:
    """A mined transaction: its hash and block (0x hex), the gas it used, and what was said.

    `sender` is checksummed; `fee` is what it cost its sender, in wei; not `ok`: it was reverted.
    """

    tx_hash: str
    sender: str
    block_number: int
    block_hash: str
    gas_used: int
    fee: int
    events: tuple[Said, ...]
    ok: bool = True


@dataclass(frozen=True, slots=True)
class Deployed:
    """A contract at an address, made by `deploy`."""

    anvil: Anvil
    address: str
    artifact: artifacts.Artifact
    contract: AsyncContract

    async def send(self, function: str, *arguments: object, sender: str, value: int = 0) -> Receipt:
        """Sends a transaction of `value` wei and waits for its block; Reverted if it would.

        `function` is a name, or the whole signature where the contract has several of the name.
        """
        if "(" in function:
            method = self.contract.get_function_by_signature(function)
        else:
            method = self.contract.get_function_by_name(function)
        try:
            tx_hash = await method(*arguments).transact({"from": sender, "value": value})
        except ContractCustomError as refusal:
            raise self._reverted(refusal) from refusal
        receipt = self._read(
            await self.contract.w3.eth.wait_for_transaction_receipt(tx_hash, poll_latency=_POLL_S)
        )
        if not receipt.ok:
            raise RuntimeError(f"{receipt.tx_hash} failed in its block")
        return receipt

    async def call(self, kind: type[T], function: str, *arguments: object) -> T:
        """Asks a view at the latest block; TypeError if the answer is not a `kind`."""
        try:
            answer = await self.contract.get_function_by_name(function)(*arguments).call()
        except ContractCustomError as refusal:
            raise self._reverted(refusal) from refusal
        if not isinstance(answer, kind):
            raise TypeError(f"{function} answered {answer!r}, which is no {kind.__name__}")
        return answer

    async def receipt(self, tx_hash: str) -> Receipt:
        """Returns what a mined transaction of anybody came to."""
        digest = AsyncWeb3.to_hex(bytes.fromhex(tx_hash.removeprefix("0x")))
        return self._read(await self.contract.w3.eth.get_transaction_receipt(digest))

    def _read(self, receipt: TxReceipt) -> Receipt:
        return Receipt(
            tx_hash=receipt["transactionHash"].to_0x_hex(),
            sender=receipt["from"],
            block_number=receipt["blockNumber"],
            block_hash=receipt["blockHash"].to_0x_hex(),
            gas_used=receipt["gasUsed"],
            fee=receipt["gasUsed"] * receipt["effectiveGasPrice"],
            events=tuple(self._events(receipt)),
            ok=receipt["status"] == 1,
        )

    def _events(self, receipt: TxReceipt) -> Sequence[Said]:
        by_topic = {event.topic: event for event in self.contract.all_events()}
        ours = [log for log in receipt["logs"] if log["address"] == self.address]
        read = [by_topic[log["topics"][0].to_0x_hex()].process_log(log) for log in ours]
        return [Said(event["event"], dict(event["args"])) for event in read]

    def _reverted(self, refusal: ContractCustomError) -> Reverted:
        raw = bytes.fromhex(str(refusal.data).removeprefix("0x"))
        for entry in self.artifact.abi:
            if entry["type"] != "error":
                continue
            types = _types(entry)
            if AsyncWeb3.keccak(text=f"{entry['name']}({','.join(types)})")[:4] == raw[:4]:
                return Reverted(str(entry["name"]), self.contract.w3.codec.decode(types, raw[4:]))
        return Reverted(raw.hex(), ())


async def deploy(
    anvil: Anvil, name: str | artifacts.Artifact, *arguments: object, sender: str
) -> Deployed:
    """Deploys a compiled contract (a packed one by its `name`) with its constructor's arguments."""
    artifact = artifacts.load(name) if isinstance(name, str) else name
    web3 = AsyncWeb3(anvil.provider)
    factory = web3.eth.contract(abi=artifact.abi, bytecode=artifact.bytecode)
    tx_hash = await factory.constructor(*arguments).transact({"from": sender})
    receipt = await web3.eth.wait_for_transaction_receipt(tx_hash, poll_latency=_POLL_S)
    address = receipt["contractAddress"]
    if receipt["status"] != 1 or address is None:
        raise RuntimeError(f"{artifact.name} could not be deployed: {receipt}")
    contract = web3.eth.contract(address=address, abi=artifact.abi)
    return Deployed(anvil, address, artifact, contract)


def _types(entry: Mapping[str, object]) -> list[str]:
    """The types of an ABI entry's arguments, which are all elementary in our errors."""
    match entry["inputs"]:
        case list(inputs):
            return [str(each["type"]) for each in inputs]
        case other:
            raise TypeError(f"an ABI entry has a list of inputs, not {other!r}")
