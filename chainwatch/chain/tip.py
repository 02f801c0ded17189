"""Where an endpoint stands: chain, head, finality and its block at our cursor, in one request.

What is final is asked before what is latest, so that an honest node can't name a final block above
its head; one that does is `NotAChain`. A node that says it is still syncing has a head of the
past, and is believed in nothing: what it has not seen yet would look as if it had not happened.
"""

from dataclasses import dataclass
from typing import Final

from chainwatch.chain import headers
from chainwatch.chain.rpc import Call, Rpc, RpcError
from chainwatch.chain.settings import Finality
from chainwatch.chain.wire import Header, header, quantity
from chainwatch.domain.events import Block
from chainwatch.errors import NotAChain, RpcUnavailable

SYNCING: Final[Call] = ("eth_syncing", ())

NOT_OFFERED: Final = (-32601, -32004)
"""Method not found (JSON-RPC 2.0) and method not supported (EIP-1474)."""


@dataclass(frozen=True, slots=True)
class Tip:
    """An endpoint's view. `final_number` is -1 while nothing is final.

    `final` is the node's finalized block where a tag tells it; `at_cursor` its block at the number
    of our cursor, None where it has none.
    """

    chain_id: int
    head: Header
    final_number: int
    final: Block | None
    at_cursor: Block | None


async def ask_tip(rpc: Rpc, finality: Finality, cursor: Block | None) -> Tip:
    """The endpoint's view; raises `RpcUnavailable`, `NotAChain` or the node's own error."""
    calls: list[Call] = [SYNCING, ("eth_chainId", ())]
    if isinstance(finality, str):
        calls.append(headers.by_number(finality))
    if cursor is not None:
        calls.append(headers.by_number(cursor.number))
    calls.append(headers.by_number("latest"))
    syncing, *answers = await rpc.batch(calls)
    check_synced(rpc, syncing)
    chain_id, latest = quantity(_given(answers[0])), header(_given(answers[-1]))
    final: Block | None = None
    if isinstance(finality, str):
        final = _tagged(rpc, finality, answers[1])
    at_cursor = None if cursor is None else _at(answers[-2], cursor.number)
    number = _final_number(finality, final, latest.block.number)
    if number > latest.block.number:
        raise NotAChain(f"{rpc.name} calls block {number} final, but its head is below")
    if at_cursor is None and cursor is not None and latest.block.number >= cursor.number:
        raise NotAChain(f"{rpc.name} has no block {cursor.number}, but its head is above")
    return Tip(chain_id, latest, number, final, at_cursor)


def check_synced(rpc: Rpc, answer: object) -> None:
    """Raise `RpcUnavailable` for a node that is still syncing; `answer` is that to `SYNCING`.

    `eth_syncing` is false, or an object with the progress; a node that does not offer it is taken
    as synced.
    """
    if answer is False or (isinstance(answer, RpcError) and answer.code in NOT_OFFERED):
        return
    if isinstance(answer, RpcError):
        raise answer
    if not isinstance(answer, dict):
        raise NotAChain(f"{rpc.name} tells whether it is syncing by {answer!r:.60}")
    raise RpcUnavailable(
        f"{rpc.name} is still syncing (block {answer.get('currentBlock')!r:.30} of "
        f"{answer.get('highestBlock')!r:.30}): it is believed when it is done"
    )


def _final_number(finality: Finality, final: Block | None, head: int) -> int:
    if isinstance(finality, int):
        return max(head - finality, -1)
    return -1 if final is None else final.number


def _tagged(rpc: Rpc, tag: str, answer: object) -> Block | None:
    if isinstance(answer, RpcError):
        raise RpcUnavailable(
            f"{rpc.name} does not tell its {tag} block ({answer.message}); "
            "where the chain has none, set finality to a number of blocks"
        )
    return None if answer is None else header(answer).block


def _at(answer: object, number: int) -> Block | None:
    if answer is None or isinstance(answer, RpcError):
        return None
    return headers.numbered(answer, number).block


def _given(answer: object) -> object:
    if isinstance(answer, RpcError):
        raise answer
    return answer
