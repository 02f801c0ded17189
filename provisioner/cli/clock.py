"""The machine's own clock, for a command that runs for real."""

import asyncio
import time


class SystemClock:
    """See `provisioner.driver.Clock`."""

    def now(self) -> int:
        return int(time.time())

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
