"""How a machine proves whose it is: identity and stamps, signed, in its description.

The description of a machine holds one line `chainwatch:1:{json}` with an identity authenticated by
HMAC-SHA-256 over (installation, key, nonce, VMID) and stamps signed together with it. A clone of
our machine has another VMID and so proves nothing; edited stamps count as absent; a description
without the line proves nothing at all. The SMBIOS uuid follows from the identity, so that both have
to be forged together. A machine of the command line has a second line, `provisioner:1:{json}`, with
its card, signed over the identity too; whoever does not know of it reads the first one as ever.
"""

import base64
import hashlib
import hmac
import json
import uuid
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Final

from provisioner.model import Access, Card, GuestSettings, Identity, Stamps
from provisioner.moments import utc

MARK: Final = "chainwatch:1:"
CARD_MARK: Final = "provisioner:1:"
NOTE: Final = "chainwatch-backup:1:"
#: A note on a backup has 1024 characters at most.
LONGEST_NOTE: Final = 1024
#: Stamps that came later: while they say nothing they are left out of what is signed, so that
#: machines from before keep theirs.
LATER: Final = {"ordered": 0, "applied": None, "gecos": None, "begun": 0}
SETTLED: Final = ("settled", True)
_NAMESPACE: Final = uuid.UUID("6f9619ff-4c1b-5e0a-9b1c-2f1d3a5b7c90")


@lru_cache(maxsize=1 << 14)
def uuid_of(identity: Identity) -> str:
    """Return the SMBIOS uuid that a machine with this identity has (RFC 9562 version 5)."""
    return str(uuid.uuid5(_NAMESPACE, _canonical(_flat(identity))))


@lru_cache(maxsize=1 << 14)
def access_stamp(access: Access) -> str:
    """Return the stamp of having let in exactly `access` and nobody else.

    What is settled is not said, so that machines from before it was keep their stamps.
    """
    said = {name: value for name, value in _flat(access).items() if (name, value) != SETTLED}
    return hashlib.sha256(_canonical(said).encode()).hexdigest()[:32]


def gecos_stamp(gecos: str) -> str:
    """Return the stamp of an account that says `gecos`."""
    return hashlib.sha256(gecos.encode()).hexdigest()[:32]


def says(stamps: Stamps, gecos: str) -> bool:
    """Whether the account is known to say `gecos`; nothing is said where nothing is wanted."""
    return not gecos or stamps.gecos == gecos_stamp(gecos)


def settings_stamp(settings: GuestSettings) -> str:
    """Return the stamp of having written `settings`.

    A disk without limits is not said, so that stamps from before there were any stay what they are.
    """
    said = {name: getattr(settings, name) for name in GuestSettings.__slots__}
    limits = asdict(said.pop("disk_limits"))
    plain = {k: sorted(v) if isinstance(v, frozenset) else v for k, v in said.items()}
    if any(limits.values()):
        plain["disk_limits"] = limits
    return hashlib.sha256(_canonical(plain).encode()).hexdigest()[:32]


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Signer:
    """Writes and proves identities of one installation with one secret key."""

    installation: str
    secret: bytes = field(repr=False)

    def describe(self, identity: Identity, stamps: Stamps, card: Card | None = None) -> str:
        """Return the description of a machine: a sentence for people and the signed lines."""
        body = {
            "installation": identity.installation,
            "key": identity.key,
            "nonce": identity.nonce,
            "mac": self._identity_mac(identity),
            "stamps": _said(stamps),
            "sig": self._stamps_mac(identity, stamps),
        }
        first = f"{MARK}{_canonical(body)}"
        if card is None:
            return (
                f"{identity.key}\n\n"
                "Made by chainwatch, which undoes changes to this text. To keep this machine, "
                f"put its lease on hold.\n\n{first}"
            )
        signed = {**asdict(card), "sig": self._card_mac(identity, card)}
        return (
            f"{identity.key}\n\nMade by `provisioner create`; paid until {utc(card.expires_at)}. "
            "The lines below are signed: do not edit them. To keep this machine, protect it."
            f"\n\n{first}\n\n{CARD_MARK}{_canonical(signed)}"
        )

    def card(self, description: str, identity: Identity) -> Card | None:
        """Return the card that `description` proves for `identity`, None if it proves none."""
        body = _signed_line(description, CARD_MARK)
        if body is None:
            return None
        card, signature = _parse_card(body), body.get("sig")
        if card is None or not isinstance(signature, str):
            return None
        return card if _same(signature, self._card_mac(identity, card)) else None

    def prove(self, description: str, vmid: int) -> tuple[Identity, Stamps] | None:
        """Return what `description` proves about the machine `vmid`, None if nothing.

        Stamps whose signature does not hold come back empty.
        """
        body = _signed_line(description, MARK)
        if body is None:
            return None
        key, nonce, mac = body.get("key"), body.get("nonce"), body.get("mac")
        if not (isinstance(key, str) and isinstance(nonce, str) and isinstance(mac, str)):
            return None
        identity = Identity(self.installation, key, nonce, vmid)
        if not _same(mac, self._identity_mac(identity)):
            return None
        return identity, self._stamps(identity, body)

    def unedited(self, description: str, vmid: int) -> bool:
        """Say whether the stamps of a description that proves something are the ones we signed."""
        proof, body = self.prove(description, vmid), _signed_line(description, MARK)
        if proof is None or body is None:
            return False
        signature = body.get("sig")
        return isinstance(signature, str) and _same(signature, self._stamps_mac(*proof))

    def note(self, identity: Identity, stamps: Stamps, at: int) -> str:
        """Return the note on a backup of a machine, made at chain time `at`: one line, no braces.

        Proxmox shows only the first line of a note, and takes braces in it for placeholders.
        """
        body = {
            "installation": identity.installation,
            "key": identity.key,
            "nonce": identity.nonce,
            "stamps": _said(stamps),
            "at": at,
            "mac": self._note_mac(identity, stamps, at),
        }
        packed = base64.urlsafe_b64encode(_canonical(body).encode()).decode().rstrip("=")
        return f"{NOTE}{packed}"

    def prove_note(self, note: str, vmid: int) -> tuple[Identity, Stamps, int] | None:
        """Return what the note on a backup of VMID `vmid` proves, None if nothing."""
        body = _packed_line(note)
        if body is None:
            return None
        key, nonce, mac = body.get("key"), body.get("nonce"), body.get("mac")
        raw, at = body.get("stamps"), body.get("at")
        if not (isinstance(key, str) and isinstance(nonce, str) and isinstance(mac, str)):
            return None
        if not (isinstance(raw, dict) and isinstance(at, int)):
            return None
        identity, stamps = Identity(self.installation, key, nonce, vmid), _parse_stamps(raw)
        if not _same(mac, self._note_mac(identity, stamps, at)):
            return None
        return identity, stamps, at

    def _note_mac(self, identity: Identity, stamps: Stamps, at: int) -> str:
        return self._mac("backup", [_flat(identity), _said(stamps), at])

    def _stamps(self, identity: Identity, body: dict[str, object]) -> Stamps:
        raw, signature = body.get("stamps"), body.get("sig")
        if not (isinstance(raw, dict) and isinstance(signature, str)):
            return Stamps()
        stamps = _parse_stamps(raw)
        return stamps if _same(signature, self._stamps_mac(identity, stamps)) else Stamps()

    def _identity_mac(self, identity: Identity) -> str:
        return self._mac("identity", _flat(identity))

    def _stamps_mac(self, identity: Identity, stamps: Stamps) -> str:
        return self._mac("stamps", [_flat(identity), _said(stamps)])

    def _card_mac(self, identity: Identity, card: Card) -> str:
        return self._mac("card", [asdict(identity), asdict(card)])

    def _mac(self, purpose: str, value: object) -> str:
        message = _canonical([purpose, value]).encode()
        return hmac.new(self.secret, message, hashlib.sha256).hexdigest()


def _flat(words: Identity | Stamps | Access) -> dict[str, object]:
    """Return what `asdict` would of words that hold no other words, without copying any."""
    return {each: getattr(words, each) for each in words.__slots__}


def _said(stamps: Stamps) -> dict[str, object]:
    return {
        name: value
        for name, value in _flat(stamps).items()
        if name not in LATER or value != LATER[name]
    }


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())


def _signed_line(description: str, mark: str) -> dict[str, object] | None:
    lines = [line for line in description.splitlines() if line.startswith(mark)]
    if len(lines) != 1:
        return None
    try:
        body = json.loads(lines[0].removeprefix(mark))
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _packed_line(note: str) -> dict[str, object] | None:
    line = note.strip()
    if not line.startswith(NOTE) or len(line) > LONGEST_NOTE:
        return None
    packed = line.removeprefix(NOTE)
    try:
        body = json.loads(base64.b64decode(packed + "=" * (-len(packed) % 4), b"-_", validate=True))
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _parse_stamps(raw: dict[str, object]) -> Stamps:
    configured, access, suspended_at = (
        raw.get("configured"),
        raw.get("access"),
        raw.get("suspended_at"),
    )
    applied, gecos = raw.get("applied"), raw.get("gecos")
    generation, ordered = raw.get("generation"), raw.get("ordered", 0)
    begun = raw.get("begun", 0)
    return Stamps(
        generation=generation if isinstance(generation, int) else None,
        configured=configured if isinstance(configured, str) else None,
        access=access if isinstance(access, str) else None,
        started=raw.get("started") is True,
        suspended_at=suspended_at if isinstance(suspended_at, int) else None,
        ended=raw.get("ended") is True,
        ordered=ordered if isinstance(ordered, int) else 0,
        applied=applied if isinstance(applied, str) else None,
        gecos=gecos if isinstance(gecos, str) else None,
        begun=begun if isinstance(begun, int) else 0,
    )


def _parse_card(raw: dict[str, object]) -> Card | None:
    """Return what looks like a card; its signature is looked at next."""
    owner, user, purpose = raw.get("owner"), raw.get("user"), raw.get("purpose")
    created_at, expires_at, nft = raw.get("created_at"), raw.get("expires_at"), raw.get("nft")
    tags, ssh_key = raw.get("tags"), raw.get("ssh_key", "")
    if not (isinstance(owner, str) and isinstance(user, str) and isinstance(purpose, str)):
        return None
    if not (isinstance(created_at, int) and isinstance(expires_at, int)):
        return None
    if not (nft is None or isinstance(nft, int)) or not isinstance(tags, list):
        return None
    if not isinstance(ssh_key, str):
        return None
    return Card(
        owner=owner,
        created_at=created_at,
        expires_at=expires_at,
        nft=nft,
        user=user,
        purpose=purpose,
        tags=tuple(map(str, tags)),
        throttled=raw.get("throttled") is True,
        used=raw.get("used") is True,
        ssh_key=ssh_key,
    )
