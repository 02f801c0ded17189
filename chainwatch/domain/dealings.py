"""What was said on the chain, and what we want said there, about the delivery of one lease.

Everything here comes out of the journal and out of our own intents, in one view. So what is owed on
the chain is a level, as a machine is: whoever looks again finds the same, and what is wanted
already is not wanted twice. How it fails: a lost database has forgotten its intents, and the
journal, which is read again, still says what came of them.
"""

from dataclasses import dataclass

from chainwatch.domain.sendings import Kind


@dataclass(frozen=True, slots=True)
class Upgrade:
    """A larger plan, asked for by transaction `tx` and paid, until chain time `deadline`."""

    plan: int
    deadline: int
    tx: str

    def cause(self, purchase: str) -> str:
        """Return what tells it from any other of a purchase (its nonce), whatever a reorg moves."""
        return f"{purchase} {self.plan} until {self.deadline} of {self.tx}"


@dataclass(frozen=True, slots=True)
class Dealt:
    """Something that we want, or wanted, said, since `wanted_at`; `data` is the call's.

    `failed` says that it is not to be expected: it ended in vain, or was given up. `block` is where
    it was seen mined, if it was.
    """

    kind: Kind
    cause: str
    data: str
    failed: bool = False
    wanted_at: int = 0
    id: int = 0
    block: int | None = None


@dataclass(frozen=True, slots=True)
class Dealings:
    """How far it is with one lease.

    `keys_by` is the transaction that gave the lease its present keys, '' before any did;
    `published` the connection (0x hex) that was said last since then, in block `published_in`,
    which we read at `published_seen` (wall seconds); `upgrade` the one that is
    asked for; `dealt` is what we said ourselves, the newest first.
    `credential` is the token of a second contract that says who owns the lease, None before it was
    minted, or where there is no such contract; `next_credential` is one above all that were seen.
    """

    keys_by: str = ""
    published: str | None = None
    upgrade: Upgrade | None = None
    dealt: tuple[Dealt, ...] = ()
    credential: int | None = None
    next_credential: int = 0
    published_in: int = 0
    published_seen: int = 0

    def has(self, kind: Kind, cause: str) -> bool:
        """Say whether something is wanted already, or was, whose cause begins with these words."""
        words = f"{cause} "
        return any(each.kind is kind and f"{each.cause} ".startswith(words) for each in self.dealt)

    def wants(self, kind: Kind, purchase: str) -> bool:
        """Say whether this is wanted of a purchase (its nonce), or was done: not if it failed.

        A reorg may have given the token of one purchase to another.
        """
        said = (each for each in self.dealt if each.kind is kind and not each.failed)
        return any(each.cause.split(" ", 1)[0] == purchase for each in said)

    def cancels(self, purchase: str) -> bool:
        """Say whether we want all that was paid for it to go back."""
        return self.wants(Kind.CANCEL, purchase)

    def shows(self, each: Dealt) -> bool:
        """Say whether what is published is what this one said."""
        inside = (self.published or "").removeprefix("0x")
        return bool(inside) and inside in each.data


#: A lease of which nothing was said.
NOTHING: Dealings = Dealings()
