"""Every table's home, over one open database."""

from collections.abc import Callable
from dataclasses import dataclass

from chainwatch.store.alarms import Alarms
from chainwatch.store.audit import Audit
from chainwatch.store.database import Database
from chainwatch.store.holds import Holds
from chainwatch.store.journal import Journal
from chainwatch.store.leases import Leases
from chainwatch.store.operations import Operations
from chainwatch.store.rereads import Rereads
from chainwatch.store.samples import Samples
from chainwatch.store.sendings import Sendings
from chainwatch.store.standings import Standings
from chainwatch.store.wishes import Wishes
from chainwatch.store.workqueue import WorkQueue


@dataclass(frozen=True, slots=True)
class Stores:
    """The repositories of one database."""

    db: Database
    journal: Journal
    leases: Leases
    standings: Standings
    operations: Operations
    work: WorkQueue
    holds: Holds
    alarms: Alarms
    audit: Audit
    rereads: Rereads
    samples: Samples
    wishes: Wishes
    sendings: Sendings

    @classmethod
    def over(cls, db: Database, wall: Callable[[], int]) -> "Stores":
        """Open every repository over `db`; `wall` tells wall seconds."""
        return cls(
            db,
            Journal(db),
            Leases(db),
            Standings(db),
            Operations(db, wall),
            WorkQueue(db),
            Holds(db),
            Alarms(db),
            Audit(db),
            Rereads(db),
            Samples(db),
            Wishes(db),
            Sendings(db),
        )
