"""Our own contract, `contracts/src/Lease.sol`: plans and leases whose events are absolute facts.

What buyers write is hostile. What is not one SSH public key of sane length is taken as no key, with
a doubt that reaches the operator: a machine without a key locks nobody in, a text with a newline in
it would be a second line of authorized_keys, and one that Proxmox refuses would stop every step
that writes it.
"""

import base64
import binascii
from typing import Final

from eth_abi.abi import decode as abi_decode
from eth_abi.exceptions import DecodingError

from chainwatch.chain.decode import (
    WORD,
    Decoded,
    Malformed,
    address,
    boolean,
    expect,
    expect_words,
    seconds,
    uint,
    word,
)
from chainwatch.chain.profiles.erc721 import NONEXISTENT, Erc721Profile, decoders, ignored
from chainwatch.chain.wire import RawLog
from chainwatch.domain.events import (
    ActionRequested,
    ConnectionPublished,
    Delivered,
    KeysChanged,
    LeaseMinted,
    PlanChanged,
    PlanDefined,
    PlanTerms,
    UpgradeUpdated,
)

MAX_KEY_BYTES: Final = 1024
MAX_NAME_LENGTH: Final = 64
MAX_ACTION_BYTES: Final = 256
MAX_CONNECTION_BYTES: Final = 2048

_KEY_TYPES: Final = (
    "ssh-rsa",
    "ssh-dss",
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)

_PAIR: Final = (2 * WORD).to_bytes(WORD)
"""Where the first of two dynamic values begins: behind the places of both."""

_NO_KEYS: Final = b"".join(value.to_bytes(32) for value in (64, 96, 0, 0))


def _minted(log: RawLog) -> Decoded:
    expect(log, topics=4, words=2)
    _, token, plan, payer = log.topics
    return Decoded(
        LeaseMinted(
            token=int.from_bytes(token),
            plan=int.from_bytes(plan),
            payer=address(payer),
            seconds=word(log.data, 0),
            paid=word(log.data, 1),
        )
    )


def _plan_terms(log: RawLog) -> Decoded:
    expect(log, topics=2, words=4)
    data = log.data
    return Decoded(
        PlanTerms(
            plan=int.from_bytes(log.topics[1]),
            payment_token=address(data[:WORD]),
            price_per_second=word(data, 1),
            cap=uint(word(data, 2), 32),
            on_sale=boolean(word(data, 3)),
        )
    )


def _plan_defined(log: RawLog) -> Decoded:
    plan = _only_indexed(log)
    types = ("bytes", "uint8", "uint32", "uint32", "uint32", "uint64")
    name, kind, cores, memory_mib, disk_gib, grace = _dynamic(types, log.data)
    text = _bytes(name).decode(errors="replace")
    return Decoded(
        PlanDefined(
            plan=plan,
            name="".join(char for char in text if char.isprintable())[:MAX_NAME_LENGTH],
            kind=_int(kind),
            cores=_int(cores),
            memory_mib=_int(memory_mib),
            disk_gib=_int(disk_gib),
            grace=seconds(_int(grace)),
        )
    )


def _keys_changed(log: RawLog) -> Decoded:
    token = _only_indexed(log)
    if log.data == _NO_KEYS:
        return Decoded(KeysChanged(token, "", ""))
    ssh_key, encryption_key = _plain_pair(log.data) or _any_pair(log.data)
    ssh, ssh_doubt = _ssh_key(ssh_key)
    encryption, encryption_doubt = _encryption_key(encryption_key)
    doubts = [doubt for doubt in (ssh_doubt, encryption_doubt) if doubt is not None]
    return Decoded(KeysChanged(token, ssh, encryption), "; ".join(doubts) or None)


def _delivered(log: RawLog) -> Decoded:
    expect(log, topics=2, words=1)
    return Decoded(Delivered(int.from_bytes(log.topics[1]), seconds(uint(word(log.data, 0), 64))))


def _connection_published(log: RawLog) -> Decoded:
    token = _only_indexed(log)
    (raw,) = _dynamic(("bytes",), log.data)
    blob = _bytes(raw)
    if len(blob) > MAX_CONNECTION_BYTES:
        raise Malformed(f"its connection has {len(blob)} bytes, more than {MAX_CONNECTION_BYTES}")
    return Decoded(ConnectionPublished(token, f"0x{blob.hex()}"))


def _upgrade_updated(log: RawLog) -> Decoded:
    expect(log, topics=2, words=3)
    deadline = seconds(uint(word(log.data, 1), 64))
    return Decoded(UpgradeUpdated(int.from_bytes(log.topics[1]), word(log.data, 0), deadline))


def _plan_changed(log: RawLog) -> Decoded:
    expect(log, topics=3, words=0)
    return Decoded(PlanChanged(int.from_bytes(log.topics[1]), int.from_bytes(log.topics[2])))


def _action_requested(log: RawLog) -> Decoded:
    if len(log.topics) != 3:
        raise Malformed(f"expected 3 topics, got {len(log.topics)}")
    expect_words(log)
    _, token, kind = map(int.from_bytes, log.topics)
    (raw,) = _dynamic(("bytes",), log.data)
    data = _bytes(raw)
    if len(data) > MAX_ACTION_BYTES:
        raise Malformed(f"its data has {len(data)} bytes, more than {MAX_ACTION_BYTES}")
    return Decoded(ActionRequested(token, uint(kind, 8), f"0x{data.hex()}" if data else ""))


def _ssh_key(raw: bytes) -> tuple[str, str | None]:
    if len(raw) > MAX_KEY_BYTES:
        return "", f"the SSH key has {len(raw)} bytes, more than {MAX_KEY_BYTES}: taken as none"
    text = raw.decode("ascii", errors="replace").strip(" ")
    if not (text.isascii() and text.isprintable()):
        return "", "the SSH key is not one line of printable ASCII: taken as none"
    if text and not is_public_key(text):
        return "", "the SSH key is not an SSH public key (type, blank, base64): taken as none"
    return text, None


def is_public_key(line: str) -> bool:
    """Whether Proxmox takes the line: its type, and a blob that begins with the same type.

    Options before the type, which authorized_keys allows, are no part of a key. The blob's strings
    carry their length in four bytes (RFC 4253, section 6.6).
    """
    kind, _, rest = line.partition(" ")
    try:
        blob = base64.b64decode(rest.partition(" ")[0], validate=True)
    except binascii.Error:
        return False
    return kind in _KEY_TYPES and blob.startswith(len(kind).to_bytes(4) + kind.encode())


def _encryption_key(raw: bytes) -> tuple[str, str | None]:
    if len(raw) > MAX_KEY_BYTES:
        reason = f"the encryption key has {len(raw)} bytes, more than {MAX_KEY_BYTES}"
        return "", f"{reason}: taken as none"
    return (f"0x{raw.hex()}" if raw else ""), None


def _only_indexed(log: RawLog) -> int:
    """The one indexed argument of an event with dynamic data."""
    if len(log.topics) != 2:
        raise Malformed(f"expected 2 topics, got {len(log.topics)}")
    expect_words(log)
    return int.from_bytes(log.topics[1])


def _plain_pair(data: bytes) -> tuple[bytes, bytes] | None:
    """Two `bytes` in the one encoding that compilers write; None for any other that is allowed.

    Cut out by hand and encoded again to compare: that is several times as fast as to decode it.
    """
    length = word(data, 2)
    if length > len(data):
        return None
    second = 3 * WORD + _padded(length)
    first, other = data[3 * WORD : 3 * WORD + length], data[second + WORD :]
    other = other[: int.from_bytes(data[second : second + WORD])]
    again = (_PAIR, second.to_bytes(WORD), _counted(first), _counted(other))
    return (first, other) if b"".join(again) == data else None


def _counted(raw: bytes) -> bytes:
    """Dynamic `bytes`: their number, and they themselves filled up to whole words."""
    return len(raw).to_bytes(WORD) + raw.ljust(_padded(len(raw)), b"\0")


def _padded(length: int) -> int:
    return -(-length // WORD) * WORD


def _any_pair(data: bytes) -> tuple[bytes, bytes]:
    first, other = _dynamic(("bytes", "bytes"), data)
    return _bytes(first), _bytes(other)


def _dynamic(types: tuple[str, ...], data: bytes) -> tuple[object, ...]:
    try:
        return tuple(abi_decode(types, data))
    except (DecodingError, OverflowError) as wrong:
        raise Malformed(f"its data is not ({', '.join(types)}): {wrong!s:.120}") from wrong


def _bytes(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise Malformed(f"expected bytes, got {value!r:.60}")
    return value


def _int(value: object) -> int:
    if not isinstance(value, int):
        raise Malformed(f"expected a number, got {value!r:.60}")
    return value


PROFILE: Final = Erc721Profile(
    name="lease",
    decoders=decoders(
        {
            "LeaseMinted(uint256,uint256,address,uint256,uint256)": _minted,
            "KeysChanged(uint256,string,bytes)": _keys_changed,
            "LeaseDelivered(uint256,uint64)": _delivered,
            "ConnectionPublished(uint256,bytes)": _connection_published,
            "UpgradeUpdate(uint256,uint256,uint64,uint256)": _upgrade_updated,
            "PlanChanged(uint256,uint256)": _plan_changed,
            "ActionRequested(uint256,uint8,bytes)": _action_requested,
            "PlanDefined(uint256,string,uint8,uint32,uint32,uint32,uint64)": _plan_defined,
            "PlanTerms(uint256,address,uint256,uint32,bool)": _plan_terms,
        }
    ),
    ignored=ignored(
        "RoleAdminChanged(bytes32,bytes32,bytes32)",
        "RoleGranted(bytes32,address,address)",
        "RoleRevoked(bytes32,address,address)",
        "SalesPaused(bool)",
        "PlanPromises(uint256,uint64,uint16)",
        "LeaseRenewed(uint256,address,uint64,uint256)",
        "RenewalsAllowed(uint256,bool)",
        "EscrowUpdate(uint256,uint256,uint64)",
        "Refunded(uint256,address,uint256,uint256)",
        "CreditUpdate(address,address,uint256)",
        "MetadataUpdate(uint256)",
        "BatchMetadataUpdate(uint256,uint256)",
        "Withdrawn(address,address,uint256)",
    ),
    absent=(NONEXISTENT,),
    plans_on_chain=True,
    expiry_needs_token=True,
    contiguous=True,
    tells_all=True,
    delivers=True,
)
