"""The whole audit at once: every lease of every source, held against the contract's own state.

It changes and halts nothing; each source gets a line, and so does each lease that differs. What
differs is asked of another endpoint as well, where there is one, so that the line says whether two
accounts stand against our events or one. An endpoint keeps the state of old blocks for a while
only: a source that was not read on for long cannot be audited, which is no good news and is said.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from chainwatch.chain.audit import StateReader
from chainwatch.control.audit import LOT, differing, expected, said_gap
from chainwatch.control.lookout import Lookout
from chainwatch.control.readings import Finding
from chainwatch.domain.events import Block
from chainwatch.errors import RpcUnavailable, Transient
from chainwatch.store.leases import LeaseRow
from chainwatch.store.samples import Gap, Sample, Samples

#: Most differences of a source that are said one by one.
MOST: Final = 50


@dataclass(slots=True)
class _Tally:
    """What became of the leases of one source; `cut_off` is why the rest was not compared."""

    compared: int = 0
    untold: int = 0
    cut_off: str | None = None
    wrong: list[str] = field(default_factory=list)


async def deep_check(lookouts: Sequence[Lookout]) -> list[Finding]:
    """Audit every source; a finding for each, before it those about its leases."""
    found = []
    for lookout in lookouts:
        audit = lookout.audit
        tally = await _audited(audit.name, audit.reader, audit.samples)
        found += _findings(f"audit {audit.name}", tally)
    return found


async def _audited(source: str, reader: StateReader, samples: Samples) -> _Tally:
    tally = _Tally()
    whole = await samples.whole_up_to(source) if reader.contiguous else 0
    if isinstance(whole, Gap):
        tally.wrong.append(said_gap(whole))
    try:
        async for sample in _lots(source, samples):
            await _compare(sample, reader, tally)
    except Transient as silent:
        tally.cut_off = str(silent)
    return tally


async def _lots(source: str, samples: Samples) -> AsyncIterator[Sample]:
    after = ""
    while True:
        sample = await samples.after(source, after, LOT)
        if not sample.rows:
            return
        yield sample
        after = str(sample.rows[-1].id)


async def _compare(sample: Sample, reader: StateReader, tally: _Tally) -> None:
    at, tokens = sample.state.cursor, [row.id.token for row in sample.rows]
    if at is None:
        raise RpcUnavailable("nothing of it has been read (again) yet")
    account = await reader.leases_at(tokens, at)
    tally.compared += len(account.told)
    tally.untold += len(tokens) - len(account.told)
    for row, text in differing(sample, account):
        tally.wrong.append(f"{text}; {await _second(row, at, reader, account.host)}")


async def _second(row: LeaseRow, at: Block, reader: StateReader, host: str) -> str:
    """Say what another endpoint has to say of a lease that differs."""
    try:
        account = await reader.leases_at([row.id.token], at, other_than=host)
    except Transient as silent:
        return f"nobody else tells: {silent}"
    if account.host == host:
        return "no other endpoint tells"
    if row.id.token not in account.told:
        return f"{account.host} tells nothing of it"
    ours = account.told[row.id.token] == expected(row)
    return f"{account.host} tells it like {'our events' if ours else 'the contract above'}"


def _findings(subject: str, tally: _Tally) -> list[Finding]:
    kept = [Finding(subject, ok=False, text=text) for text in tally.wrong[:MOST]]
    if more := len(tally.wrong) - len(kept):
        kept.append(Finding(subject, ok=False, text=f"and {more} more"))
    asked = f"{tally.compared} leases held against the contract, {len(tally.wrong)} findings"
    if tally.untold:
        asked += f"; of {tally.untold} more no endpoint tells the state"
    if tally.cut_off:
        asked += f"; the rest was not compared: {tally.cut_off}"
    return [*kept, Finding(subject, ok=not tally.wrong and not tally.cut_off, text=asked)]
