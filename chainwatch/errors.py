"""What can go wrong in the daemon, as a manual for whoever catches it.

Four kinds, and each says what happens next: `Transient` is tried again by whoever asked,
`Permanent` parks one lease until an operator says so, `Fatal` ends the process with a sentence
that says what to write instead, `OperatorError` is shown to the person who typed the command.
Machine errors keep their own taxonomy (`provisioner.errors`); the reconciler maps both.
"""


class ChainwatchError(Exception):
    """Base of everything the daemon raises on purpose."""


class Transient(ChainwatchError):
    """It failed now and may work later; nothing has been decided by it."""


class RpcUnavailable(Transient):
    """No endpoint of a source gave a usable answer; time stands still for its leases."""


class NotAChain(Transient):
    """A node's own answers do not fit together; drop them and ask again."""


class Permanent(ChainwatchError):
    """It will not work until somebody changes something; the lease is parked with this text."""


class SourceHalted(ChainwatchError):
    """A source contradicts what it called final: it stops, and nothing of it is deleted.

    What to do: compare the two hashes in the alarm with a node you trust.
    """


class Fatal(ChainwatchError):
    """The daemon cannot run like this; the text says what to write or to do instead."""


class OperatorError(ChainwatchError):
    """A command cannot be carried out as asked; the text says what to ask instead."""


class Refused(ChainwatchError):
    """A guard does not allow a step now. `recheck` says what will change that."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Held(Refused):
    """An operator holds this lease."""


class Paused(Refused):
    """An operator has paused every effect, or every destroy."""


class OverBudget(Refused):
    """The destroy budget of this hour is spent."""


class OneAtATime(Refused):
    """Another destroy is being decided; this one is decided after it."""


class ChainDisagrees(Refused):
    """The chain at `latest`, or its finalized view, does not (yet) say what the step needs."""


class SourceBehind(Refused):
    """The lease's source has not read up to the confirmed head, is stale or halted."""
