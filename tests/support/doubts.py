"""Endpoints of a modelled chain that leave out some of its logs, or refuse some of its answers."""

from collections.abc import Callable, Sequence

from chainwatch.chain.rpc import RpcError
from tests.support.chain_model import Tamper
from tests.support.receipts_model import receipts_root

#: Says of a log (a JSON object) whether it is left out.
Omits = Callable[[dict[str, object]], bool]


def omitting(omits: Omits) -> Tamper:
    """Leave these logs out of every answer about logs; receipts are whole."""

    def tamper(method: str, params: Sequence[object], answer: object) -> object:
        if method == "eth_getLogs" and isinstance(answer, list):
            return [log for log in answer if not omits(log)]
        return answer

    return tamper


def logs_of(number: int, *indices: int) -> Omits:
    """The logs of a block, or those of them at these indices."""

    def omits(log: dict[str, object]) -> bool:
        here = log["blockNumber"] == hex(number)
        return here and (not indices or int(str(log["logIndex"]), 16) in indices)

    return omits


def refusing(wanted: str, message: str) -> Tamper:
    """Answer every call of one method by an error."""

    def tamper(method: str, params: Sequence[object], answer: object) -> object:
        if method == wanted:
            raise RpcError(-32000, message)
        return answer

    return tamper


def concealing(number: int) -> Tamper:
    """Leave a block's logs out, and have its bloom silent about them."""
    hidden = omitting(logs_of(number))

    def tamper(method: str, params: Sequence[object], answer: object) -> object:
        if isinstance(answer, dict) and answer.get("number") == hex(number):
            return {**answer, "logsBloom": f"0x{0:0512x}"}
        return hidden(method, params, answer)

    return tamper


def telling(wanted: str, said: str, instead: str) -> Tamper:
    """Put other words into the texts that answer one method."""

    def tamper(method: str, params: Sequence[object], answer: object) -> object:
        if method == wanted and isinstance(answer, str):
            return answer.replace(said, instead)
        return answer

    return tamper


def erasing(number: int) -> Tamper:
    """Show a block as if nothing had been said in it: logs, bloom, receipts and their root."""
    hidden, blocks = concealing(number), set[object]()

    def tamper(method: str, params: Sequence[object], answer: object) -> object:
        told = hidden(method, params, answer)
        if isinstance(told, dict) and told.get("number") == hex(number):
            blocks.add(told["hash"])
            return {**told, "receiptsRoot": receipts_root([])}
        if method == "eth_getBlockReceipts" and params[0] in blocks:
            return []
        return told

    return tamper
