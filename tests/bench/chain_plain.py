"""What one would write first: web3.py's `get_logs` and `process_log`, and rows into SQLite.

Sensible and plain: ranges of 2000 blocks, one connection that is kept, one transaction for each
range, WAL. It verifies nothing, folds nothing, and knows no reorg; that is what it is compared for.
It runs in a process of its own, so that nothing of ours is set for it.
"""

import asyncio
import json
import sqlite3
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from web3 import HTTPProvider, Web3
from web3.contract import Contract

from chainwatch import artifacts

_RANGE: Final = 2000


async def measure(url: str, contract: str, first: int, last: int) -> tuple[int, float]:
    """Read blocks `first` to `last`; returns how many events were stored, in how many seconds."""
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return await loop.run_in_executor(process, _read, url, contract, first, last)


def _read(url: str, contract: str, first: int, last: int) -> tuple[int, float]:
    web3 = Web3(HTTPProvider(url))
    address = Web3.to_checksum_address(contract)
    lease = web3.eth.contract(address=address, abi=artifacts.load("Lease").abi)
    with TemporaryDirectory() as folder:
        db = sqlite3.connect(Path(folder) / "plain.db")
        try:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute(
                "CREATE TABLE event (block INTEGER, log_index INTEGER, tx TEXT, name TEXT,"
                " arguments TEXT, PRIMARY KEY (block, log_index))"
            )
            began, count = time.monotonic(), 0
            for start in range(first, last + 1, _RANGE):
                rows = _rows(lease, start, min(start + _RANGE - 1, last))
                with db:
                    db.executemany("INSERT INTO event VALUES (?, ?, ?, ?, ?)", rows)
                count += len(rows)
            return count, time.monotonic() - began
        finally:
            db.close()


def _rows(lease: Contract, first: int, last: int) -> list[tuple[int, int, str, str, str]]:
    events = {event.topic: event for event in lease.all_events()}
    logs = lease.w3.eth.get_logs({"address": lease.address, "fromBlock": first, "toBlock": last})
    read = [events[log["topics"][0].to_0x_hex()].process_log(log) for log in logs]
    return [
        (
            each["blockNumber"],
            each["logIndex"],
            each["transactionHash"].to_0x_hex(),
            each["event"],
            json.dumps(dict(each["args"]), default=bytes.hex),
        )
        for each in read
    ]
