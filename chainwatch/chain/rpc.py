"""JSON-RPC to the nodes of one source: who is asked, and in what order.

An answer is either the node's (a result, or an `RpcError` with its own code and text) or there was
none (`RpcUnavailable`). A step of reading stays with one endpoint, so that what it compares comes
from one view of the chain; the caller goes on to the next one of `ranked()`. Who refuses a batch
for its size is asked for half as much at once from then on. An address may hold an API key: only
its host is ever shown, and causes that would repeat the address are cut off.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final, Protocol, TypeAlias

from chainwatch.chain.pace import Pace, Paces
from chainwatch.chain.ranges import is_rate_limit
from chainwatch.chain.standing import Health, Standing
from chainwatch.chain.transport import RateLimited, TooSlow, Transport, host_of, secrets_of
from chainwatch.errors import RpcUnavailable, Transient

Call: TypeAlias = tuple[str, Sequence[object]]

BATCH: Final = 100
"""Calls in one request: more gains nothing, and providers begin to refuse."""

_RATE_CODES: Final = (429, -32029)
_REVERTED: Final = 3
#: How nodes say that they refuse a transaction because it, or another with its nonce, is there;
#: whole words, since one of an unknown type is not a known one.
_THERE: Final = re.compile(
    r"\b(?:already ?known|already imported|known transaction|nonce (?:is )?too low|oldnonce)",
    re.IGNORECASE,
)


class RpcError(Transient):
    """The node's own answer is an error: its code, its text and, for a revert, its data."""

    def __init__(self, code: int, message: str, data: str = "") -> None:
        super().__init__(f"the node answered error {code}: {message}")
        self.code = code
        self.message = message
        self.data = data

    @property
    def reverted(self) -> bool:
        """Whether a contract was asked, and refused in words of its own."""
        return self.code == _REVERTED or self.message.startswith("execution reverted")

    @property
    def there(self) -> bool:
        """Whether a transaction is refused because it is there already, or may be.

        Whoever stands between us and the node may send a second time what we sent once.
        """
        return _THERE.search(self.message) is not None


class Rpc(Protocol):
    """One endpoint, asked in its own words."""

    @property
    def name(self) -> str:
        """The host, which is all of the address that may be shown."""

    async def call(self, method: str, *params: object) -> object:
        """The result; raises `RpcError` with the node's answer, `RpcUnavailable` without one."""

    async def batch(self, calls: Sequence[Call]) -> list[object | RpcError]:
        """The results in the order of `calls`, errors among them; raises `RpcUnavailable`."""

    def saw_head(self, number: int) -> None:
        """Remember the highest block that it has shown."""

    def still_for(self) -> float:
        """For how many seconds its head has not risen."""

    def distrust(self, why: str) -> None:
        """Ask it last for a while: its answers did not fit together."""

    def quarantine(self, why: str) -> None:
        """Ask it no more for ten minutes, unless nobody else is left: it was proven wrong."""


class Endpoints(Protocol):
    """The endpoints of a source."""

    def ranked(self) -> Sequence[Rpc]:
        """Those that may be asked, best first; the quarantined only when all of them are.

        The order is the configuration's, whose first is the operator's preference; one that lags
        by more than the confirmations goes after those that do not, one that rests after those,
        and one that was in quarantine lately is the last.
        """

    def health(self) -> Sequence[Health]:
        """How each of them does, all that are configured, in the order of the configuration."""


class Endpoint:
    """One HTTP endpoint and its standing.

    `highest` tells the highest head of its source, `answering` whether another one can be asked.
    """

    def __init__(
        self,
        url: str,
        name: str,
        timeout: float,
        pace: Pace | None,
        *,
        highest: Callable[[float], int],
        answering: Callable[[], bool],
    ) -> None:
        self._name = name
        self._secrets = secrets_of(url)
        self._transport = Transport(url, name, timeout)
        self._pace = pace
        self._most = BATCH if pace is None else min(BATCH, pace.most)
        self._highest = highest
        self._answering = answering
        self.standing = Standing()

    @property
    def name(self) -> str:
        return self._name

    async def call(self, method: str, *params: object) -> object:
        async with self._turn(1):
            answer = self._result(await self._transport.one(method, params))
        if isinstance(answer, RpcError):
            raise answer
        return answer

    async def batch(self, calls: Sequence[Call]) -> list[object | RpcError]:
        results: list[object | RpcError] = []
        while len(results) < len(calls):
            part = calls[len(results) : len(results) + self._most]
            async with self._turn(len(part)):
                answers = await self._transport.many(part)
                if len(part) > 1 and _refuses_batch(answers):
                    self._most = min(self._most, len(part) // 2)
                    continue
                results += [self._result(answer) for answer in answers]
        return results

    @asynccontextmanager
    async def _turn(self, calls: int) -> AsyncIterator[None]:
        """One request of so many calls, when we may, and held against its standing."""
        self._refuse_while_left_alone()
        if self._pace is not None:
            await self._pace.turn(calls)
            self._refuse_while_left_alone()
        begun = _now()
        try:
            yield
        except RateLimited as limited:
            self.standing.limited(str(limited), limited.after, _now())
            raise
        except TooSlow as hung:
            self.standing.hung(str(hung), _now())
            raise
        except RpcUnavailable as failed:
            self.standing.failed(str(failed), _now())
            raise
        self.standing.answered(_now() - begun)

    def _refuse_while_left_alone(self) -> None:
        left = self.standing.silent_for(_now())
        if left > 0:
            raise RateLimited(f"{self._name} limits our rate; it is asked again in {left:.0f} s")
        left = self.standing.hangs_for(_now())
        if left > 0 and self._answering():
            raise RpcUnavailable(f"{self._name} did not answer; it is asked again in {left:.0f} s")

    def _result(self, answer: object) -> object | RpcError:
        """What an answer says: the result, or the node's error, without our key if it names it."""
        match answer:
            case {"error": {"code": int(code), "message": str(message), **rest}}:
                for secret in self._secrets:
                    message = message.replace(secret, "…")
                error = RpcError(code, message[:500], _revert_data(rest.get("data")))
                if _limits_rate(error):
                    raise RateLimited(f"{self._name} limits our rate: {error.message}")
                return error
            case {"result": result, **rest} if rest.get("error") is None:
                found: object = result
                return found
        raise RpcUnavailable(f"{self._name} answered something that is not JSON-RPC")

    def saw_head(self, number: int) -> None:
        now = _now()
        self.standing.saw_head(number, self._highest(now), now)

    def still_for(self) -> float:
        return self.standing.still_for(_now())

    def distrust(self, why: str) -> None:
        self.standing.distrusted(why, _now())

    def quarantine(self, why: str) -> None:
        self.standing.quarantined(why, _now())

    async def close(self) -> None:
        await self._transport.close()


class RpcPool:
    """The HTTP endpoints of one source.

    `timeout` is seconds for one request; one may lag by `confirmations` blocks; `paces` has the
    turns of the addresses that have a ceiling.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        timeout: float,
        confirmations: int = 0,
        paces: Paces | None = None,
    ) -> None:
        self._confirmations = confirmations
        self._endpoints = tuple(
            Endpoint(
                *(url, name, timeout, (paces or Paces()).of(url)),
                highest=self._highest,
                answering=self._answering,
            )
            for url, name in zip(urls, _names(urls), strict=True)
        )

    def ranked(self) -> Sequence[Rpc]:
        now = _now()
        free = [each for each in self._endpoints if not each.standing.in_quarantine(now)]
        return sorted(free or self._endpoints, key=lambda each: self._place(each.standing, now))

    def _place(self, standing: Standing, now: float) -> tuple[bool, bool, bool]:
        lags = (standing.lag(now) or 0) > self._confirmations
        return standing.on_probation(now), standing.rests(now), lags

    def _answering(self) -> bool:
        """Whether there is one to ask that did not let us wait in vain just now."""
        now = _now()
        standings = [each.standing for each in self._endpoints]
        return any(not each.in_quarantine(now) and not each.hangs_for(now) for each in standings)

    def _highest(self, now: float) -> int:
        heads = (each.standing.believable_head(now) for each in self._endpoints)
        return max((head for head in heads if head is not None), default=-1)

    def health(self) -> Sequence[Health]:
        now = _now()
        return tuple(each.standing.health(each.name, now) for each in self._endpoints)

    async def close(self) -> None:
        """Close all connections; nothing can be asked afterwards."""
        for endpoint in self._endpoints:
            await endpoint.close()


def _names(urls: Sequence[str]) -> Sequence[str]:
    """The hosts, numbered where one serves several endpoints."""
    hosts = [host_of(url) for url in urls]
    numbers = [hosts[: place + 1].count(host) for place, host in enumerate(hosts)]
    return [
        host if number == 1 else f"{host} #{number}"
        for host, number in zip(hosts, numbers, strict=True)
    ]


def _now() -> float:
    return asyncio.get_running_loop().time()


def _refuses_batch(answers: Sequence[object]) -> bool:
    """Whether one error answers all calls of a batch, and speaks of how many they are."""
    match answers[0]:
        case {"error": {"message": str(message)}} as refusal:
            return "batch" in message.lower() and all(each is refusal for each in answers)
    return False


def _limits_rate(error: RpcError) -> bool:
    """Whether an error is about how often we ask; what a contract reverts with is its own text."""
    return not error.reverted and (error.code in _RATE_CODES or is_rate_limit(error.message))


def _revert_data(data: object) -> str:
    """The revert's data as hex: some nodes give it bare, some within an object."""
    match data:
        case {"data": str(text)}:
            return text
        case str(text):
            return text
    return ""
