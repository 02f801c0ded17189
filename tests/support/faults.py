"""What nodes and the ways to them do wrong, each by its name.

Most lies are lasting ones: what is left out of one answer is left out of every other, for a lie
that the next answer contradicts is no art. Which logs those are follows from their block's number
and their place in it.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Final
from zlib import crc32

from aiohttp import web

from tests.support.faultproxy import Ask, CallFault, GoOn, Json, Refusal, ReplyFault, SocketFault

LOGS: Final = frozenset({"eth_getLogs"})
HEADERS: Final = frozenset({"eth_getBlockByNumber"})
RECEIPTS: Final = frozenset({"eth_getBlockReceipts"})
RECEIPT: Final = frozenset({"eth_getTransactionReceipt"})
STATE: Final = frozenset({"eth_call"})
CHAIN_ID: Final = frozenset({"eth_chainId"})
ANY: Final[frozenset[str]] = frozenset()

_NO_LOGS: Final = f"0x{0:0512x}"


def _logs(answer: object) -> list[Json]:
    assert isinstance(answer, list)
    return answer


def _is_range(ask: Ask) -> bool:
    (filters,) = ask.params
    return isinstance(filters, dict) and "blockHash" not in filters


def _range(ask: Ask) -> tuple[int, int]:
    (filters,) = ask.params
    assert isinstance(filters, dict)
    return int(filters["fromBlock"], 16), int(filters["toBlock"], 16)


def _number(value: object) -> int:
    return int(str(value), 16)


def _lot(log: Json) -> int:
    """A number that this log draws, wherever it is met."""
    return crc32(f"{log['blockNumber']} {log['logIndex']}".encode())


def _sifted(name: str, sift: Callable[[list[Json]], list[Json]], *, proof: bool) -> CallFault:
    """A node that spoils its logs, and those in its receipts too: then nothing is a `proof`."""

    async def act(ask: Ask, go_on: GoOn) -> object:
        answer = await go_on(ask)
        if ask.method == "eth_getLogs":
            return sift(_logs(answer))
        receipts = _logs(answer)
        return [receipt | {"logs": sift(_logs(receipt["logs"]))} for receipt in receipts]

    return CallFault(name, LOGS | RECEIPTS if proof else LOGS, act)


# ------------------------------------------------------------------------------- what is left out


def no_logs(*, proof: bool = False) -> CallFault:
    """Never a log, and no error."""
    return _sifted("no logs", lambda _: [], proof=proof)


def lost_blocks(*, proof: bool = False) -> CallFault:
    """All logs of some blocks, and none of the others."""

    def sift(logs: list[Json]) -> list[Json]:
        return [log for log in logs if crc32(str(log["blockNumber"]).encode()) % 2]

    return _sifted("lost blocks", sift, proof=proof)


def lost_logs(*, proof: bool = False) -> CallFault:
    """A third of the logs are missing, here and there."""
    return _sifted("lost logs", lambda logs: [log for log in logs if _lot(log) % 3], proof=proof)


def one_lost_log(*, proof: bool = False) -> CallFault:
    """Of every block that has several logs, one is missing."""

    def sift(logs: list[Json]) -> list[Json]:
        by_block: dict[str, list[Json]] = {}
        for log in logs:
            by_block.setdefault(str(log["blockHash"]), []).append(log)
        lost = {_lot(min(many, key=_lot)) for many in by_block.values() if len(many) > 1}
        return [log for log in logs if _lot(log) not in lost]

    return _sifted("one lost log", sift, proof=proof)


def blank_blooms() -> CallFault:
    """Headers whose blooms admit nothing."""

    async def act(ask: Ask, go_on: GoOn) -> object:
        block = await go_on(ask)
        return block | {"logsBloom": _NO_LOGS} if isinstance(block, dict) else block

    return CallFault("blank blooms", HEADERS, act)


def no_receipts(*, singly: bool = False) -> CallFault:
    """A node that offers no receipts, or only one transaction's at a time."""

    async def act(ask: Ask, _: GoOn) -> object:
        raise Refusal(-32601, f"the method {ask.method} does not exist/is not available")

    return CallFault("no receipts", RECEIPTS if singly else RECEIPTS | RECEIPT, act)


def empty_range() -> CallFault:
    """Nothing for a range, as a node says that has not come so far."""

    async def act(ask: Ask, go_on: GoOn) -> object:
        return [] if _is_range(ask) else await go_on(ask)

    return CallFault("empty range", LOGS, act)


def pruned(below: int, *, silent: bool) -> CallFault:
    """Headers of old blocks, but neither logs, receipts nor state any more."""

    async def act(ask: Ask, go_on: GoOn) -> object:
        if ask.method == "eth_call":
            raise Refusal(-32000, "missing trie node (path ) state is not available")
        if ask.method == "eth_getLogs" and not silent and _is_range(ask) and _range(ask)[0] < below:
            raise Refusal(4444, "pruned history unavailable")
        answer = _logs(await go_on(ask))
        kept = [each for each in answer if _number(each["blockNumber"]) >= below]
        if ask.method == "eth_getBlockReceipts" and len(kept) < len(answer):
            return None
        return kept

    return CallFault("pruned history", LOGS | RECEIPTS | STATE, act, whole=True)


# --------------------------------------------------------------------------------- what is untrue


def _changed(name: str, change: Callable[[Json], Json], *, proof: bool = False) -> CallFault:
    def altered(logs: list[Json]) -> list[Json]:
        return [change(log) for log in logs]

    return _sifted(name, altered, proof=proof)


def logs_of_another_fork() -> CallFault:
    """Logs as they stand on a fork that this node's own headers know nothing of."""
    return _changed(
        "logs of another fork",
        lambda log: log | {"blockHash": f"0x{crc32(str(log['blockHash']).encode()):064x}"},
    )


def forged_logs(*, proof: bool = False) -> CallFault:
    """Logs that say something else than what was said, in the receipts too if `proof` is."""

    def change(log: Json) -> Json:
        data = str(log["data"])
        return log | {"data": f"{data[:-1]}{int(data[-1], 16) ^ 1:x}"} if len(data) > 2 else log

    return _changed("forged logs", change, proof=proof)


def duplicate_logs() -> CallFault:
    """Every log twice."""

    async def act(ask: Ask, go_on: GoOn) -> object:
        return [log for log in _logs(await go_on(ask)) for _ in range(2)]

    return CallFault("duplicate logs", LOGS, act)


def logs_backwards() -> CallFault:
    """The last log first."""

    async def act(ask: Ask, go_on: GoOn) -> object:
        return _logs(await go_on(ask))[::-1]

    return CallFault("logs backwards", LOGS, act)


def wrong_chain(chain_id: int = 8453) -> CallFault:
    """Another chain's id."""

    async def act(_: Ask, go_on: GoOn) -> object:
        return hex(chain_id)

    return CallFault("wrong chain", CHAIN_ID, act)


def null_block() -> CallFault:
    """No block where one must be."""

    async def act(ask: Ask, go_on: GoOn) -> object:
        return await go_on(ask) if ask.params[0] == "latest" else None

    return CallFault("null block", HEADERS, act)


# ------------------------------------------------------------------------------ where the node is


def stale_head(number: int) -> CallFault:
    """A node that stands at `number` and answers everything as of then, without an error."""

    async def act(ask: Ask, go_on: GoOn) -> object:
        if ask.method == "eth_getBlockByNumber":
            return await _header_by(ask, go_on, number)
        if ask.method == "eth_getLogs" and _is_range(ask):
            logs = _logs(await go_on(ask)) if _range(ask)[0] <= number else []
            return [log for log in logs if _number(log["blockNumber"]) <= number]
        answer = await go_on(ask)
        if any(_number(each["blockNumber"]) > number for each in _logs(answer)):
            raise Refusal(-32000, "unknown block")
        return answer

    return CallFault("stale head", HEADERS | LOGS | RECEIPTS, act, whole=True)


async def _header_by(ask: Ask, go_on: GoOn, newest: int) -> object:
    match ask.params[0]:
        case "latest":
            wanted = newest
        case "finalized" | "safe":
            said = await go_on(ask)
            assert isinstance(said, dict)
            wanted = min(_number(said["number"]), max(newest - 2, 0))
        case tag:
            wanted = _number(tag)
    return await go_on(Ask(ask.method, (hex(wanted), False))) if wanted <= newest else None


def _lower(name: str, tag: str, by: int) -> CallFault:
    async def act(ask: Ask, go_on: GoOn) -> object:
        block = await go_on(ask)
        if ask.params[0] != tag or not isinstance(block, dict):
            return block
        lower = max(_number(block["number"]) - by, 0)
        return await go_on(Ask(ask.method, (hex(lower), False)))

    return CallFault(name, HEADERS, act)


def head_back(by: int) -> CallFault:
    """A head that is lower than it was, above which all blocks still exist."""
    return _lower("head goes back", "latest", by)


def final_back(by: int) -> CallFault:
    """A finalized block below the one that was final before."""
    return _lower("finalized goes back", "finalized", by)


def too_wide(limit: int, text: str) -> CallFault:
    """No more than `limit` blocks a question; `text` says so in the words of a provider."""

    async def act(ask: Ask, go_on: GoOn) -> object:
        if _is_range(ask):
            first, last = _range(ask)
            if last - first + 1 > limit:
                raise Refusal(-32005, text.format(limit=limit, first=first, last=first + limit - 1))
        return await go_on(ask)

    return CallFault("range too wide", LOGS, act)


# ------------------------------------------------------------------------------- the way to there


def http_status(
    status: int, headers: dict[str, str] | None = None, text: str = "busy"
) -> ReplyFault:
    """An HTTP error instead of an answer."""

    async def act(_: web.BaseRequest, __: object) -> web.StreamResponse:
        return web.Response(status=status, headers=headers, text=text)

    return ReplyFault(f"HTTP {status}", ANY, act)


def html_page(status: int) -> ReplyFault:
    """A page for people."""

    async def act(_: web.BaseRequest, __: object) -> web.StreamResponse:
        text = "<!DOCTYPE html><html><body>Checking your browser</body></html>"
        return web.Response(status=status, text=text, content_type="text/html")

    return ReplyFault(f"HTML page with HTTP {status}", ANY, act)


def truncated_json() -> ReplyFault:
    """The first half of the answer."""

    async def act(_: web.BaseRequest, answer: object) -> web.StreamResponse:
        text = json.dumps(answer)
        return web.Response(text=text[: len(text) // 2], content_type="application/json")

    return ReplyFault("truncated JSON", ANY, act)


def silence() -> ReplyFault:
    """No answer, however long one waits."""

    async def act(_: web.BaseRequest, __: object) -> web.StreamResponse:
        await asyncio.get_running_loop().create_future()
        raise AssertionError("nobody ends this wait but the client")

    return ReplyFault("silence", ANY, act)


def reset() -> ReplyFault:
    """The connection ends in the middle of the answer."""

    async def act(request: web.BaseRequest, _: object) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    return ReplyFault("connection reset", ANY, act)


def swapped_batch() -> ReplyFault:
    """The answers of a batch in another order."""

    async def act(_: web.BaseRequest, answer: object) -> web.StreamResponse:
        return web.json_response(answer[::-1] if isinstance(answer, list) else answer)

    return ReplyFault("swapped batch", ANY, act)


def short_batch() -> ReplyFault:
    """A batch without its last answer."""

    async def act(_: web.BaseRequest, answer: object) -> web.StreamResponse:
        return web.json_response(answer[:-1] if isinstance(answer, list) else answer)

    return ReplyFault("short batch", ANY, act)


# --------------------------------------------------------------------------------- subscriptions


def _keeps(message: str) -> Sequence[str]:
    return [message] if '"eth_subscription"' not in message else []


def closing_socket() -> SocketFault:
    """Hangs up right after the first word."""
    return SocketFault("closing socket", lambda _, message: [message, None])


def stalling_socket() -> SocketFault:
    """Stays open and never announces a block."""
    return SocketFault("stalling socket", lambda _, message: _keeps(message))


def doubling_socket() -> SocketFault:
    """Announces everything twice."""
    return SocketFault("doubling socket", lambda _, message: [message, message])


def late_socket(by: int = 1) -> SocketFault:
    """Announces a block when `by` others have followed it."""

    def act(held: list[str], message: str) -> Sequence[str]:
        if kept := _keeps(message):
            return kept
        held.append(message)
        return [held.pop(0)] if len(held) > by else []

    return SocketFault("late socket", act)


def reordering_socket() -> SocketFault:
    """Announces two blocks at a time, the newer one first."""

    def act(held: list[str], message: str) -> Sequence[str]:
        if kept := _keeps(message):
            return kept
        held.append(message)
        if len(held) < 2:
            return []
        told = held[::-1]
        held.clear()
        return told

    return SocketFault("reordering socket", act)
