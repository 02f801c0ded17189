"""Whatever one endpoint does wrong: what is stored is the truth, or nothing is, with the reason.

Every fault strikes while a chain is caught up with and followed, at random and by a seed. In every
moment what is final is a beginning of the truth; once the fault is over all of the truth is there.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
import pytest_asyncio

from chainwatch.chain.settings import SourceSettings
from chainwatch.domain.events import Logged
from tests.support import faults
from tests.support.anvil import twin
from tests.support.faultproxy import Fault, proxy
from tests.support.reader import Reader, kinds, reader, source_of
from tests.support.town import founded
from tests.support.trade import Trade

pytestmark = pytest.mark.asyncio(loop_scope="module")

ALL_KINDS = {"Transferred", "LeaseMinted", "ExpiryUpdated", "KeysChanged", "PlanDefined"}

#: Faults that one endpoint is enough to see through.
SEEN_THROUGH: dict[str, Fault] = {
    "logs of another fork": faults.logs_of_another_fork(),
    "duplicate logs": faults.duplicate_logs(),
    "logs backwards": faults.logs_backwards(),
    "wrong chain": faults.wrong_chain(),
    "null block": faults.null_block(),
    "stale head": faults.stale_head(12),
    "head goes back": faults.head_back(9),
    "finalized goes back": faults.final_back(9),
    "pruned history": faults.pruned(20, silent=False),
    "range too wide, a hexadecimal hint": faults.too_wide(
        3, "Log response size exceeded. this block range should work: [{first:#x}, {last:#x}]"
    ),
    "range too wide, a number": faults.too_wide(
        3, "eth_getLogs requests are limited to a {limit} block range"
    ),
    "range too wide, results": faults.too_wide(3, "query returned more than 10000 results"),
    "range too wide, no hint": faults.too_wide(3, "block range is too wide"),
    "HTTP 429": faults.http_status(429),
    "HTTP 429 with Retry-After": faults.http_status(429, {"Retry-After": "3"}),
    "HTTP 500": faults.http_status(500),
    "HTTP 503": faults.http_status(503, {"Retry-After": "7"}),
    "HTML page": faults.html_page(200),
    "HTML error page": faults.html_page(502),
    "truncated JSON": faults.truncated_json(),
    "silence": faults.silence(),
    "connection reset": faults.reset(),
    "swapped batch": faults.swapped_batch(),
    "short batch": faults.short_batch(),
}

#: Logs left out or changed: with proofs, one endpoint is enough to see through these too.
UNTRUE: dict[str, Fault] = {
    "no logs": faults.no_logs(),
    "no logs, no proof": faults.no_logs(proof=True),
    "lost blocks, no proof": faults.lost_blocks(proof=True),
    "lost logs": faults.lost_logs(),
    "lost logs, no proof": faults.lost_logs(proof=True),
    "one lost log, no proof": faults.one_lost_log(proof=True),
    "empty range": faults.empty_range(),
    "pruned in silence": faults.pruned(20, silent=True),
    "forged logs": faults.forged_logs(),
    "forged logs, forged receipts": faults.forged_logs(proof=True),
}

FAULTS = {**SEEN_THROUGH, **UNTRUE}

#: How likely a fault strikes, where it costs time.
LIKELY = {"silence": 0.1}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def past() -> AsyncIterator[Trade]:
    """A shop with a past of thirty blocks."""
    async with founded() as town:
        people = (town.alice, town.bob, town.carol)
        made = Trade(town.anvil, town.shop, people, Random(1))
        await made.grow(30)
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def trade(past: Trade) -> AsyncIterator[Trade]:
    """The shop on a node of the test's own."""
    async with twin(past.chain) as chain:
        yield past.on(chain, seed=2)


def fitting(name: str, plain: SourceSettings) -> SourceSettings:
    """Verify as much as one endpoint needs for this fault, and wait no longer than it is worth."""
    patience = 0.2 if name == "silence" else plain.timeout
    return replace(plain, timeout=patience, verify="receipts" if name in UNTRUE else "bloom")


async def storm(reading: Reader, trade: Trade) -> None:
    """Look thirty times, while the chain grows; what is final is true at any time."""
    final: list[Logged] = []
    for _ in range(10):
        await reading.look(3)
        before, final = final, await reading.final_rows()
        assert final[: len(before)] == before
        await trade.mine(1)
    assert final == (await reading.truth())[: len(final)]


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_of_the_only_endpoint_leaves_no_wrong_row(
    trade: Trade, tmp_path: Path, name: str
) -> None:
    async with proxy(trade.chain.url, seed=len(name)) as endpoint:
        settings = fitting(name, source_of(trade.shop, endpoint.url))
        async with reader(tmp_path, trade.shop, settings) as reading:
            armed = endpoint.arm(FAULTS[name], probability=LIKELY.get(name, 0.4))
            await storm(reading, trade)
            assert armed.struck > 0
            endpoint.disarm()
            await reading.settle()
            assert await reading.rows() == await reading.truth()
            assert kinds(await reading.rows()) >= ALL_KINDS
            assert reading.trouble is None


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_that_lasts_is_seen_through_or_named_while_nothing_moves(
    trade: Trade, tmp_path: Path, name: str
) -> None:
    async with proxy(trade.chain.url) as endpoint:
        settings = fitting(name, source_of(trade.shop, endpoint.url))
        async with reader(tmp_path, trade.shop, settings) as reading:
            await reading.look(4)
            endpoint.arm(FAULTS[name])
            await reading.look(12)
            rows, told = await reading.rows(), await reading.truth()
            assert rows == told[: len(rows)]
            assert rows == told or reading.trouble is not None
