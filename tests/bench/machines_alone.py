"""One purchase while nothing else happens, on real time: how long it takes beyond its tasks.

A chain and a simulator in processes of their own, spoken to over WebSocket, HTTP and TLS. The tasks
take the same time always, and the daemon has to find out for itself what that is; the first few
purchases tell what finding out costs.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.bench.recorder import shares
from tests.bench.report import Figure, Section
from tests.bench.rig import TASKS, Rig, rig

MS: Final = 1000


async def measure(learning: int, machines: int) -> Section:
    """Buy `machines`, each when the one before is done, after `learning` other ones."""
    with TemporaryDirectory() as folder:
        async with rig(Path(folder)) as bench:
            first = [await _one(bench, token) for token in range(1, learning + 1)]
            before = len(bench.recorder.calls)
            last = learning + machines + 1
            later = [await _one(bench, token) for token in range(learning + 1, last)]
            calls = bench.recorder.calls[before:]
    tasks = ", ".join(f"{name} {seconds:g} s" for name, seconds in TASKS.items())
    return Section(
        "One purchase alone",
        f"real time, from mined to the last stamp, less the simulated {tasks}",
        (
            Figure("added to the tasks' own time", "ms", later, machines, 300),
            Figure(f"the first {learning}, which find that time out", "ms", first, learning),
            Figure("Proxmox calls per machine", "calls", [len(calls) / machines], machines),
        ),
        shares(calls, machines),
    )


async def _one(bench: Rig, token: int) -> float:
    """Buy one machine; returns the milliseconds beyond its tasks."""
    await bench.order()
    mined_at = await bench.mine()
    await bench.finished(token)
    lease = bench.lease(token)
    stamped = max(call.answered_at for call in bench.recorder.calls if call.lease == lease)
    return MS * (stamped - mined_at - sum(TASKS.values()))
