"""Holds the backups that there are against the policy that has them made: a part of the judge.

Nothing is destroyed without one of its last suspension; none goes before its time, while its
machine is there or while anybody pays; none stays for longer. What comes back has in it what was in
it. As the judge, it borrows nothing of the daemon but the key that notes are signed with. How it
fails: without a policy there must not be a single backup.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from provisioner.model import MAKING
from provisioner.simulator.guests import Guest
from provisioner.simulator.state import CallRecord, StoredFile
from tests.support.realm import Realm
from tests.support.tenancies import Tenancy, View

#: What is written into every machine that runs, into each another number.
NUMBER: Final = "/root/number"


@dataclass(frozen=True, slots=True)
class Kept:
    """One backup: whose it is, of which suspension, and when it was ordered (chain time).

    `made_at` is when it was made by the clock; `number` is what was written into the machine.
    """

    token: int
    name: str
    vmid: int
    suspended_at: int | None
    at: int
    made_at: int
    number: str | None


@dataclass(slots=True)
class Vault:
    """`known` are all backups that there ever were, `void` those that nobody comes back from.

    `done` counts what was seen to happen: who plays can see whether there was anything to judge.
    """

    world: Realm
    known: dict[str, Kept] = field(default_factory=dict)
    void: set[str] = field(default_factory=set)
    done: Counter[str] = field(default_factory=Counter)
    _there: set[tuple[int, str]] = field(default_factory=set)
    _dropped: set[str] = field(default_factory=set)
    _looked_at: float = 0

    # -------------------------------------------------------------------------- what must never be

    def look(
        self, calls: Sequence[CallRecord], views: tuple[View, View], protected: Collection[int]
    ) -> None:
        """Hold the backups against what must never be.

        `calls` are ours since the last look, `views` the confirmed and the final one, `protected`
        the tokens that nothing may be taken from.
        """
        files = self._files()
        for volid in files.keys() - self.known.keys():
            self.known[volid] = self._proven(files[volid])
            self.done["backed up"] += 1
        for call in calls:
            volid = call.path.partition("/content/")[2]
            if call.method == "DELETE" and volid in self.known:
                self._may_go(volid, call, views, protected)
                self._dropped.add(volid)
        lost = self.known.keys() - files.keys() - self._dropped
        assert not lost, f"backups went that nobody deleted: {lost}"
        self._looked_at = self.world.cluster.now
        self._come_back()

    def saved(self, name: str, vmid: int, suspended_at: int | None) -> None:
        """See that a machine that is destroyed has a backup of its last suspension."""
        if self.world.config.policy.backups is None:
            return
        last = [self.known[volid] for volid in self._files()]
        found = [(kept.name, kept.vmid, kept.suspended_at) for kept in last]
        assert (name, vmid, suspended_at) in found, f"{vmid} was destroyed without a backup"
        self.done["destroyed"] += 1

    def made_anew(self, tokens: Collection[int]) -> None:
        """Note whose machines are ordered to be made anew: they come back from no backup of now."""
        self.void |= {volid for volid, kept in self.known.items() if kept.token in tokens}

    def _files(self) -> dict[str, StoredFile]:
        files = self.world.cluster.state.files
        return {volid: file for volid, file in files.items() if file.backup is not None}

    def _proven(self, file: StoredFile) -> Kept:
        assert self.world.config.policy.backups is not None, f"nobody wants {file.volid}"
        signer = self.world.daemon.reconciler.site.signer
        proof = signer.prove_note(file.notes, file.vmid)
        assert proof is not None, f"{file.volid} does not prove whose it is"
        assert file.backup is not None
        identity, stamped, at = proof
        token = int(identity.key.rpartition("/")[2])
        name = f"lease-{token}-{identity.nonce[:8]}"
        number = file.backup.system.files.get(NUMBER)
        return Kept(token, name, file.vmid, stamped.suspended_at, at, file.ctime, number)

    def _may_go(
        self,
        volid: str,
        call: CallRecord,
        views: tuple[View, View],
        protected: Collection[int],
    ) -> None:
        """See that a backup may be deleted; what was asked for earlier may arrive when it is late.

        Who renews between the two cannot be heard any more.
        """
        (now, past), kept = views, self.known[volid]
        early = self._until(kept) - past.at
        assert early <= 0, f"{volid} was deleted {early} s early"
        assert not _pays(past, kept), f"{volid} was deleted, and its lease is paid for"
        if call.at >= self._looked_at:
            assert not _pays(now, kept), f"{volid} was deleted, and its lease is paid for again"
            assert kept.token not in protected, f"{volid} was deleted: held"
            there = {name for _, name in self._there}
            assert kept.name not in there, f"{volid} was deleted, and its machine is there"
        self.done["dropped"] += 1

    def _until(self, kept: Kept) -> int:
        policy = self.world.config.policy.backups
        return kept.at + (policy.keep if policy else 0)

    def _come_back(self) -> None:
        """See that what came back is what was kept; who runs and has no number yet gets one."""
        guests = self.world.guests()
        whole = {(v, g.name) for v, g in guests.items() if g.lock not in MAKING and g.name}
        for vmid, _ in whole - self._there:
            self._is_itself(vmid, guests[vmid])
        self._there = whole
        for vmid, guest in guests.items():
            if guest.running and (vmid, guest.name) in whole:
                guest.os.files.setdefault(NUMBER, str(guest.started_at))

    def _is_itself(self, vmid: int, guest: Guest) -> None:
        files = self._files()
        mine = [
            kept
            for volid, kept in self.known.items()
            if kept.name == guest.name and volid in files and volid not in self.void
        ]
        last = max(mine, key=lambda kept: kept.made_at, default=None)
        if last is not None and last.number is not None:
            number = guest.os.files.get(NUMBER)
            assert number == last.number, f"{vmid} came back and is another inside: {number}"
            self.done["restored"] += 1

    # --------------------------------------------------------------------------- what should be

    def rest(self, views: tuple[View, View], protected: Collection[int]) -> None:
        """Hold the backups of a quiet world against the policy: all that it wants, and no other."""
        now, past = views
        files = self._files()
        kept = {volid: self.known[volid] for volid in files}
        twice = Counter((each.name, each.suspended_at) for each in kept.values())
        assert not [each for each, count in twice.items() if count > 1], twice
        there = {guest.name for guest in self.world.guests().values()}
        for volid, each in kept.items():
            assert files[volid].protected, f"{volid} may be pruned by anybody"
            asleep = each.name not in there and each.token not in protected
            if asleep and not (_pays(now, each) or _pays(past, each)):
                late = past.at - self._until(each)
                assert late < 0, f"{volid} is kept for {late} s too long"


def _pays(view: View, kept: Kept) -> bool:
    tenancy: Tenancy | None = view.tenancies.get(kept.token)
    return tenancy is not None and tenancy.name == kept.name and tenancy.paid(view.at)
