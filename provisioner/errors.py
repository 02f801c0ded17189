"""What can go wrong with a machine, as a manual for whoever catches it.

Every error says which of four things to do next: try again later (`Transient`), give the machine
up until an operator looks (`Permanent`), look before anything else happens (`UnknownOutcome`), or
stop trusting the hypervisor as a whole (`HypervisorDown`). The reconciler has one handler for each;
nothing else may decide by the text of an error.
"""

from typing import Final

#: What is said to whoever bought a container where none can be made.
NO_CONTAINERS: Final = (
    "this lease bought a container, and no container can be made here: set machines.os_template "
    "and machines.container_storage, restart, then retry"
)
#: What is said to whoever wants the disk of a container limited.
NO_DISK_LIMITS: Final = "Proxmox has no limits for the disk of a container"


class ProvisionError(Exception):
    """Base of everything this package raises on purpose."""


class Transient(ProvisionError):
    """It did not happen, and may well happen next time: a lock, a full worker queue, a timeout.

    What to do: nothing; the pass is tried again with backoff.
    """


class Locked(Transient):
    """The machine carries a lock or an unfinished task; judging it now would be a mistake.

    What to do: nothing; the next pass looks again.
    """


class Changed(Transient):
    """The machine is not any more as it was looked at, and nothing was begun: it may be another.

    What to do: nothing; the next pass looks whose it is now.
    """


class Withdrawn(Locked):
    """The order that a step was to be taken for was withdrawn meanwhile; nothing was begun.

    What to do: nothing.
    """


class Crowded(Transient):
    """As many clones run as may run at once; it is this one's turn when one of them has ended.

    What to do: nothing.
    """


class NodeDown(Transient):
    """One node of the cluster does not answer; what stands there waits, everything else goes on.

    What to do: bring the node back; one alarm is raised for it, and no lease is blamed.
    """

    def __init__(self, node: str, why: str) -> None:
        super().__init__(f"node {node} is away ({why}): what stands there waits; bring it back")
        self.node = node


class NoRoom(Transient):
    """No VMID, no storage or no node has room.

    What to do: add capacity; the lease waits with an alarm and goes on by itself.
    """


class BackupFailed(Transient):
    """The backup that a destroy waits for was not made; the machine stays until there is one.

    What to do: read the task's log; make room on the backup storage, or bring it back. It is tried
    again by itself, seldom, because each try takes long.
    """


class Permanent(ProvisionError):
    """It will not happen however often it is tried: a refused parameter, a missing template.

    What to do: read the sentence, mend the cause, then `chainwatch retry LEASE`.
    """


class Declined(Permanent):
    """What was asked for is not done, because of what is there: a name that is taken, a protection.

    What to do: read the sentence, and ask for something else.
    """


class NotOurs(Permanent):
    """The machine cannot prove that it is ours, so nothing may be done to it.

    What to do: look at it with `chainwatch orphans`; adopt or remove it by hand.
    """


class UnknownOutcome(ProvisionError):
    """The call may or may not have happened: the reply was lost on the way.

    What to do: nothing; the next pass observes before it does anything else.
    """


class AgentSilent(ProvisionError):
    """The guest agent does not answer; nothing was changed inside the guest."""


class HypervisorDown(ProvisionError):
    """Nothing can be said or done about any machine: unreachable, refused, no quorum.

    What to do: mend the cluster or the token; one alarm is raised, and no lease is parked for it.
    """


class Untrusted(HypervisorDown):
    """The cluster answers, but what it shows is not evidence: no quorum, or an empty list.

    What to do: restore quorum or the token's permissions; until then nothing is created or
    destroyed.
    """
