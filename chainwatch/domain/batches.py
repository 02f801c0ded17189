"""What the chain side hands to the store: one step of reading, whole or not at all.

A `Batch` extends what is stored, a `Rewind` takes back what turned out not to be canonical. Each is
committed in one transaction together with the leases it folds and the keys it makes dirty; the
cursor never moves over a block whose events are not in the same batch.
"""

from dataclasses import dataclass

from chainwatch.domain.events import Block, Logged


@dataclass(frozen=True, slots=True)
class Source:
    """A chain, a contract on it and how its logs are read; the database refuses another one.

    `credential` is a second contract, whose tokens say who owns the leases of the first; '' where
    there is none.
    """

    name: str
    chain_id: int
    contract: str
    start_block: int
    profile: str
    credential: str = ""

    @property
    def watched(self) -> str | tuple[str, str]:
        """The address whose logs are read, or both of them, in lower case."""
        first = self.contract.lower()
        return (first, self.credential.lower()) if self.credential else first


@dataclass(frozen=True, slots=True)
class SourceState:
    """How far a source has been read.

    `cursor` is the last block whose events are stored (its timestamp is the chain time), `final`
    the last finalized one at or below it, `head` the node's head as it was at the last step.
    `halted` is the sentence that says why the source stopped, if it did. `reread_to` is how far it
    had been read when an operator had it read again, and `reread_final` how far it was final then;
    both are None once it has come as far as that in both.
    """

    cursor: Block | None = None
    final: Block | None = None
    head: int = 0
    halted: str | None = None
    reread_to: int | None = None
    reread_final: int | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Blocks `after+1 … cursor` of one source, with every event of its contract in them.

    `blocks` are the headers worth keeping (the unfinalized window, blocks with events, the
    cursor, the last finalized one); `caught_up` says that the cursor is the confirmed head.
    """

    after: Block | None
    cursor: Block
    final: Block | None
    head: int
    blocks: tuple[Block, ...]
    events: tuple[Logged, ...]
    caught_up: bool


@dataclass(frozen=True, slots=True)
class Rewind:
    """The chain no longer holds what is above `ancestor`; None takes back everything.

    Never reaches below the finalized block: that is not a rewind but a halt.
    """

    ancestor: Block | None
    head: int


@dataclass(frozen=True, slots=True)
class LatestLease:
    """A lease as an endpoint shows it at its very last block, asked just before a destroy.

    `owner` is None when the contract says that there is no such token; `block` is the number of
    the block that the answer was given at.
    """

    block: int
    timestamp: int
    owner: str | None
    expires_at: int
