"""Reads one source step by step: what is next after the cursor, or what has to be taken back.

A step is led by one endpoint, so that everything in it comes from one view of the chain, and ends
in a `Batch`, a `Rewind` or nothing; a batch is then confirmed by another endpoint
(`chain/witness.py`). The first endpoint with news leads; "nothing new" has to be the answer of all.
A rewind is news only from an endpoint that has come as far as we have, and only while those that
hold our cursor are fewer, or as many and behind with heads that have not risen for `stale_after`:
one that is stuck on a short fork takes nothing back, nor does one that shows a long one. Whoever
commits a step moves the cursor, the scanner keeps none.
Failure mode: with one endpoint, a node that lies consistently is believed until its own next answer
contradicts it.
"""

from collections.abc import Sequence
from dataclasses import replace

from chainwatch.chain.bonds import Bonds
from chainwatch.chain.decode import Profile
from chainwatch.chain.reader import Reader, View
from chainwatch.chain.reorg import Behind, KnownBlocks
from chainwatch.chain.rpc import Endpoints, Rpc, RpcError
from chainwatch.chain.settings import SourceSettings
from chainwatch.chain.tip import ask_tip
from chainwatch.chain.unread import Tally, Unread
from chainwatch.chain.unsaid import Unsaid
from chainwatch.chain.witness import Witness
from chainwatch.domain.batches import Batch, Rewind, SourceState
from chainwatch.errors import Fatal, NotAChain, RpcUnavailable, SourceHalted, Transient
from provisioner.faultpoints import guarded


class Scanner:
    """Reads one source, and remembers the logs that no decoder could read."""

    def __init__(
        self, settings: SourceSettings, rpc: Endpoints, profile: Profile, known: KnownBlocks
    ) -> None:
        self._settings = settings
        self._rpc = rpc
        self._reader = Reader(settings, profile, known)
        self._witness = Witness(settings, rpc, profile, known)
        self._unsaid = Unsaid(settings.source.contract.lower(), profile)
        self._bonds = Bonds(settings.source)
        self._unread = Tally()

    @guarded("chain.check")
    async def check(self) -> None:
        """Raise `Fatal` when no endpoint that answers serves the right chain with the contract.

        One that is wrong while another is right is distrusted, one that does not answer is passed
        over; `RpcUnavailable` when none does.
        """
        silent: Transient | None = None
        wrong: list[tuple[Rpc, Fatal]] = []
        right = False
        for rpc in self._rpc.ranked():
            try:
                await self._check(rpc)
                right = True
            except Transient as trouble:
                silent = silent or trouble
            except Fatal as found:
                wrong.append((rpc, found))
        if wrong and not right:
            raise wrong[0][1]
        for rpc, why in wrong:
            rpc.distrust(str(why))
        if not right:
            raise RpcUnavailable(f"no endpoint of source {self._settings.source.name}: {silent}")

    async def _check(self, rpc: Rpc) -> None:
        source = self._settings.source
        tip = await ask_tip(rpc, self._settings.finality, None)
        if tip.chain_id != source.chain_id:
            raise Fatal(
                f"{rpc.name} serves chain {tip.chain_id}, but source {source.name} is configured "
                f"for chain {source.chain_id}: correct its chain_id or its endpoints"
            )
        for key, address in (("contract", source.contract), ("credential", source.credential)):
            if not address:
                continue
            code = await rpc.call("eth_getCode", address, "latest")
            if code in ("0x", "0x0", None):
                raise Fatal(
                    f"there is no contract at {address} on chain {source.chain_id} "
                    f"(asked {rpc.name}): correct the {key} of source {source.name}"
                )

    @property
    def alone(self) -> str | None:
        """Why no second endpoint confirmed the last step; None when one did, or none is wanted."""
        return self._witness.alone

    def take_unread(self) -> tuple[Unread, ...]:
        """The logs that could not be read since the last time, by kind; a reason for an alarm."""
        return self._unread.take()

    async def next(self, state: SourceState) -> Batch | Rewind | None:
        """The next step from `state`; None when an endpoint stands where we do and none has more.

        Raises `RpcUnavailable` when none answers or all are behind us, `NotAChain` when those that
        answer contradict themselves, `SourceHalted` when what is final is contradicted by more than
        confirm it.
        """
        troubles: list[Transient] = []
        halting: list[tuple[Rpc, SourceHalted]] = []
        with_us: list[View] = []
        against: list[View] = []
        for rpc in self._rpc.ranked():
            try:
                view = await self._reader.read(rpc, state)
            except SourceHalted as contradiction:
                rpc.distrust(str(contradiction))
                halting.append((rpc, contradiction))
                continue
            except Transient as trouble:
                if isinstance(trouble, NotAChain):
                    rpc.distrust(str(trouble))
                troubles.append(trouble)
                continue
            if isinstance(view.step, Rewind):
                against.append(view)
                continue
            weighing = against or halting
            step = None if weighing else await self._confirmed(view, state)
            if step is not None:
                return step
            with_us.append(view if weighing else replace(view, step=None))
        confirming = len(with_us) + len(against) + sum(map(_vouches, troubles))
        if len(halting) > confirming:
            raise halting[0][1]
        if not with_us and not against:
            raise _worst(troubles)
        if with_us:
            _quarantine(halting)
        return await self._confirmed(self._weighed(with_us, against), state)

    async def _confirmed(self, view: View, state: SourceState) -> Batch | Rewind | None:
        """What is left of a view's step when others have been heard about it."""
        step = view.step
        if isinstance(step, Batch):
            await self._unsaid.seconded(view.rpc, self._rpc, step.events)
            await self._bonds.seconded(view.rpc, self._rpc, view.logs, step.events)
            step = await self._witness.confirmed(view, step, state)
        if isinstance(step, Batch):
            self._unread.add(view.unreadable)
        return step

    def _weighed(self, with_us: Sequence[View], against: Sequence[View]) -> View:
        """The view that decides a round.

        A rewind is believed only of more than hold our cursor, or of as many if those stand still.
        Whoever loses is distrusted, so that the next round does not begin on its fork.
        """
        highest = max((view.head for view in with_us), default=-1)
        other = max(against, key=lambda view: view.head, default=None)
        goes_on = (
            other is not None
            and other.head - self._settings.confirmations > highest
            and all(view.rpc.still_for() >= self._settings.stale_after for view in with_us)
        )
        outvoted = len(against) > len(with_us)
        if other is not None and (outvoted or (goes_on and len(against) == len(with_us))):
            for view in with_us:
                view.rpc.distrust(f"its fork ends at block {view.head}, another one goes on")
            return other
        for view in against:
            view.rpc.distrust(f"it is on a fork at block {view.head}, where another confirms ours")
        return next((view for view in with_us if view.step is not None), with_us[-1])


def _quarantine(halting: list[tuple[Rpc, SourceHalted]]) -> None:
    """Blame those that contradict what was final: as many others confirm it."""
    for rpc, why in halting:
        rpc.quarantine(str(why))


def _vouches(trouble: Transient) -> bool:
    """Whether it is of one that is behind us and holds our final block."""
    return isinstance(trouble, Behind) and trouble.past_final


def _worst(troubles: Sequence[Transient]) -> Transient:
    """What to tell when nobody stands where we do: who contradicts says more than who is silent."""
    for kind in (NotAChain, Behind):
        for trouble in troubles:
            if isinstance(trouble, kind):
                return trouble
    for trouble in troubles:
        return RpcUnavailable(str(trouble)) if isinstance(trouble, RpcError) else trouble
    return RpcUnavailable("the source has no endpoint")
