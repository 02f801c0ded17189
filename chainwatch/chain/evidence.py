"""What every endpoint of a source says now of the blocks that we rest on: evidence for a person.

Nothing is judged here. A halt asks somebody to compare, so each endpoint is asked alone, all at
once, and what one of them cannot or will not say is said of it instead: silence is evidence too.
"""

import asyncio
from dataclasses import dataclass, replace

from chainwatch.chain import headers
from chainwatch.chain.rpc import Call, Endpoints, Rpc, RpcError
from chainwatch.chain.settings import SourceSettings
from chainwatch.chain.wire import header, quantity
from chainwatch.domain.batches import SourceState
from chainwatch.domain.events import Block
from chainwatch.errors import Transient
from provisioner.faultpoints import guarded


@dataclass(frozen=True, slots=True)
class Testimony:
    """What one endpoint (by host) says; None where it says nothing, and `trouble` then why.

    `head` and `final` are the numbers of its last and of its own finalized block; `at_final` and
    `at_cursor` its hashes at the numbers of ours.
    """

    host: str
    trouble: str | None = None
    chain_id: int | None = None
    head: int | None = None
    final: int | None = None
    at_final: str | None = None
    at_cursor: str | None = None


@guarded("chain.testimonies")
async def testimonies(
    settings: SourceSettings, endpoints: Endpoints, state: SourceState
) -> tuple[Testimony, ...]:
    """Ask all that may be asked, and name those that may not; never raises for what they say."""
    async with asyncio.TaskGroup() as asking:
        tasks = [
            asking.create_task(_testimony(settings, rpc, state), name=f"testimony of {rpc.name}")
            for rpc in endpoints.ranked()
        ]
    heard = [task.result() for task in tasks]
    hosts = {each.host for each in heard}
    unasked = [each for each in endpoints.health() if each.host not in hosts]
    return (
        *heard,
        *(Testimony(each.host, f"not asked, quarantined: {each.quarantined}") for each in unasked),
    )


async def _testimony(settings: SourceSettings, rpc: Rpc, state: SourceState) -> Testimony:
    finality = settings.finality
    asked: dict[str, Call] = {"head": headers.by_number("latest")}
    if isinstance(finality, str):
        asked["final"] = headers.by_number(finality)
    for name, ours in (("at_final", state.final), ("at_cursor", state.cursor)):
        if ours is not None:
            asked[name] = headers.by_number(ours.number)
    try:
        chain_id, *answers = await rpc.batch([("eth_chainId", ()), *asked.values()])
        said = Testimony(rpc.name, chain_id=quantity(_given(chain_id)))
        blocks = {name: _block(a) for name, a in zip(asked, answers, strict=True)}
    except Transient as trouble:
        return Testimony(rpc.name, str(trouble))
    head, final = _number(blocks["head"]), _number(blocks.get("final"))
    if isinstance(finality, int) and head is not None:
        final = max(head - finality, 0)
    return replace(
        said,
        head=head,
        final=final,
        at_final=_hash(blocks.get("at_final")),
        at_cursor=_hash(blocks.get("at_cursor")),
    )


def _given(answer: object) -> object:
    if isinstance(answer, RpcError):
        raise answer
    return answer


def _block(answer: object) -> Block | None:
    """A block out of an answer; None for `null`, and for what the node refuses to show."""
    if answer is None or isinstance(answer, RpcError):
        return None
    return header(answer).block


def _number(block: Block | None) -> int | None:
    return None if block is None else block.number


def _hash(block: Block | None) -> str | None:
    return None if block is None else block.hash
