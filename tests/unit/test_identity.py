"""What a description proves of a machine, and what it does not."""

import re
import uuid
from dataclasses import replace
from typing import Final

import pytest

from provisioner.identity import (
    LONGEST_NOTE,
    MARK,
    NOTE,
    Signer,
    access_stamp,
    settings_stamp,
    uuid_of,
)
from provisioner.model import Access, GuestSettings, Identity, Stamps
from provisioner.terms import DiskLimits

SIGNER: Final = Signer("here", b"k" * 32)
IDENTITY: Final = Identity("here", "eip155:1/erc721:0xc0/7", "ab" * 16, 20000)
STAMPS: Final = Stamps(
    configured="c", access="a", generation=3, started=True, suspended_at=1_700_000_000, ended=True
)
WORD: Final = SIGNER.describe(IDENTITY, STAMPS)
LINE: Final = next(line for line in WORD.splitlines() if line.startswith(MARK))


@pytest.mark.parametrize("stamps", [STAMPS, Stamps()])
def test_a_description_proves_what_was_written(stamps: Stamps) -> None:
    assert SIGNER.prove(SIGNER.describe(IDENTITY, stamps), 20000) == (IDENTITY, stamps)


def test_text_that_people_add_around_the_line_changes_nothing() -> None:
    assert SIGNER.prove(f"my server\n{WORD}\nkeep out", 20000) == (IDENTITY, STAMPS)


def test_a_clone_on_another_vmid_proves_nothing() -> None:
    assert SIGNER.prove(WORD, 20001) is None


@pytest.mark.parametrize(
    "other", [Signer("here", b"x" * 32), Signer("elsewhere", b"k" * 32)], ids=["secret", "name"]
)
def test_another_installation_proves_nothing_with_it(other: Signer) -> None:
    assert other.prove(WORD, 20000) is None


@pytest.mark.parametrize(
    ("said", "forged"),
    [("ab" * 16, "cd" * 16), ("0xc0/7", "0xc0/8"), ('"mac":"', '"mac":"0')],
    ids=["nonce", "key", "mac"],
)
def test_a_forged_identity_proves_nothing(said: str, forged: str) -> None:
    assert said in LINE
    assert SIGNER.prove(WORD.replace(said, forged), 20000) is None


@pytest.mark.parametrize(
    ("said", "forged"),
    [
        ('"started":true', '"started":false'),
        ("1700000000", "1600000000"),
        ('"ended":true', '"ended":false'),
        ('"generation":3', '"generation":0'),
        ('"configured":"c"', '"configured":null'),
        ('"access":"a"', '"access":"b"'),
        ('"sig":"', '"sig":"0'),
    ],
)
def test_edited_stamps_count_as_absent_and_the_identity_stands(said: str, forged: str) -> None:
    assert said in LINE
    assert SIGNER.prove(WORD.replace(said, forged), 20000) == (IDENTITY, Stamps())


def test_stamps_of_another_machine_of_ours_count_as_absent() -> None:
    other = SIGNER.describe(replace(IDENTITY, vmid=20001), replace(STAMPS, suspended_at=1))
    signature = other.split('"sig":"')[1].split('"')[0]
    mine = WORD.split('"sig":"')[1].split('"')[0]
    assert SIGNER.prove(WORD.replace(mine, signature), 20000) == (IDENTITY, Stamps())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a note",
        f"{WORD}\n{LINE}",
        f"{MARK}not json",
        f"{MARK}[]",
        f"{MARK}null",
        f"{MARK}{{}}",
        f'{MARK}{{"key":1,"nonce":"a","mac":"b"}}',
        LINE.replace(MARK, f"> {MARK}"),
    ],
    ids=["empty", "note", "twice", "no json", "list", "null", "bare", "types", "quoted"],
)
def test_a_description_without_exactly_one_whole_line_proves_nothing(text: str) -> None:
    assert SIGNER.prove(text, 20000) is None


@pytest.mark.parametrize(
    "stamps", ['{"started":1}', "[]", '"x"', '{"suspended_at":true}', '{"suspended_at":1e99}']
)
def test_stamps_that_are_none_count_as_absent(stamps: str) -> None:
    start = LINE.index('"stamps":') + len('"stamps":')
    forged = LINE[:start] + stamps + "}"
    assert SIGNER.prove(forged, 20000) in (None, (IDENTITY, Stamps()))


def test_the_secret_is_neither_in_the_description_nor_in_what_a_signer_shows() -> None:
    assert "kkkk" not in WORD + repr(SIGNER)


def test_a_uuid_follows_from_the_whole_identity() -> None:
    uuids = {
        uuid_of(IDENTITY),
        uuid_of(replace(IDENTITY, vmid=20001)),
        uuid_of(replace(IDENTITY, nonce="cd" * 16)),
        uuid_of(replace(IDENTITY, key="cli:x")),
        uuid_of(replace(IDENTITY, installation="elsewhere")),
    }
    assert len(uuids) == 5
    assert all(uuid.UUID(each).version == 5 for each in uuids)
    assert uuid_of(IDENTITY) == uuid_of(replace(IDENTITY))


def test_an_access_stamp_follows_from_owner_key_and_generation() -> None:
    access = Access(0, "0xa1", "ssh-ed25519 AAAA")
    others = (
        replace(access, generation=2),
        replace(access, owner="0xb0"),
        replace(access, ssh_key=""),
    )
    assert access_stamp(access) not in map(access_stamp, others)
    assert access_stamp(access) == access_stamp(replace(access))


# ------------------------------------------------------------------------------ notes of backups

NOTED: Final = SIGNER.note(IDENTITY, STAMPS, 1_700_000_100)


def test_the_note_on_a_backup_proves_whose_it_is_and_of_when() -> None:
    assert SIGNER.prove_note(NOTED, 20000) == (IDENTITY, STAMPS, 1_700_000_100)


def test_the_longest_identity_there_is_fits_into_a_note_of_one_plain_line() -> None:
    key = f"eip155:{2**64}/erc721:0x{'ab' * 20}/{2**256 - 1}"
    who = Identity("i" * 64, key, "ab" * 16, 999_999_999)
    full = replace(STAMPS, configured="c" * 32, access="a" * 32, ordered=2**40)
    note = SIGNER.note(who, full, 2**40)
    assert len(note) <= LONGEST_NOTE
    assert re.fullmatch(r"chainwatch-backup:1:[A-Za-z0-9_-]+", note)


@pytest.mark.parametrize(
    ("note", "vmid"),
    [
        (NOTED, 20001),
        (NOTED[:-4], 20000),
        (f"{NOTE}bm90IG91cnM", 20000),
        (f"{NOTE}W10", 20000),
        (f"{NOTE}ÿ", 20000),
        (f"{NOTED}\nmore", 20000),
        (NOTED + "A" * LONGEST_NOTE, 20000),
        ("mine", 20000),
        ("", 20000),
    ],
)
def test_another_note_proves_nothing(note: str, vmid: int) -> None:
    assert SIGNER.prove_note(note, vmid) is None
    assert Signer("here", b"x" * 32).prove_note(NOTED, 20000) is None


def test_settings_from_before_disks_were_limited_keep_their_stamp() -> None:
    settings = GuestSettings(
        name="lease-42",
        cores=2,
        memory_mib=2048,
        bridge="vmbr0",
        mac="02:C4:A1:00:00:05",
        ipconfig="ip=203.0.113.15/24,gw=203.0.113.1",
        nameserver="192.0.2.53",
        user="debian",
        ssh_keys="ssh-ed25519 AAAA a",
        uuid="5a0f6d3e-8d6c-5a7e-9f35-2b1c3d4e5f60",
        tags=frozenset({"a", "b"}),
        onboot=True,
        protection=False,
        link_up=True,
        agent=True,
    )
    assert settings_stamp(settings) == "4657b0be519d4aa886f096fbc34687b3"
    limited = replace(settings, disk_limits=DiskLimits(iops_read=5))
    assert settings_stamp(limited) != settings_stamp(settings)


def test_stamps_from_before_there_were_orders_are_still_believed() -> None:
    assert '"ordered"' not in WORD
    assert '"ordered":7' in SIGNER.describe(IDENTITY, replace(STAMPS, ordered=7))
