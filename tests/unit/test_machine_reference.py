"""The page about what machines carry is a promise: here it is held against the code."""

import hashlib
import hmac
import json
import re
import uuid
from dataclasses import fields
from pathlib import Path

from chainwatch.domain.lease import nonce_of
from provisioner import identity
from provisioner.identity import CARD_MARK, MARK, Signer, uuid_of
from provisioner.model import Card, Identity, Stamps

PAGE = (Path(__file__).parents[2] / "docs/reference/machine.md").read_text()
SECRET = b"k" * 32
WHO = Identity("berlin-1", "eip155:1/erc721:0x00/7", nonce_of("0x" + "ab" * 32, 7), 20007)


def section(title: str) -> set[str]:
    """Return the first column of the table under a heading."""
    text = PAGE.split(f" {title}\n", 1)[1].split("\n#", 1)[0]
    return set(re.findall(r"^\| `([a-z_]+)` \|", text, re.MULTILINE))


def signed_line() -> dict[str, object]:
    text = Signer("berlin-1", SECRET).describe(WHO, Stamps(started=True, suspended_at=5))
    (line,) = [line for line in text.splitlines() if line.startswith(MARK)]
    body = json.loads(line.removeprefix(MARK))
    assert isinstance(body, dict)
    return body


def as_documented(purpose: str, value: object) -> str:
    """Sign `value` as the page says, without the code's help."""
    message = json.dumps([purpose, value], sort_keys=True, separators=(",", ":"))
    return hmac.new(SECRET, message.encode(), hashlib.sha256).hexdigest()


def test_the_page_names_every_field_of_the_signed_line_and_no_other() -> None:
    assert section("Description") == set(signed_line())
    assert section("Stamps") == {field.name for field in fields(Stamps)}


def test_a_line_can_be_verified_from_the_page_alone() -> None:
    line = signed_line()
    who = {"installation": "berlin-1", "key": WHO.key, "nonce": WHO.nonce, "vmid": 20007}
    assert line["mac"] == as_documented("identity", who)
    assert line["sig"] == as_documented("stamps", [who, line["stamps"]])


def test_a_card_can_be_verified_from_the_page_alone() -> None:
    text = Signer("berlin-1", SECRET).describe(WHO, Stamps(), Card("0x00", 1, 2, tags=("a",)))
    (line,) = [line for line in text.splitlines() if line.startswith(CARD_MARK)]
    body = json.loads(line.removeprefix(CARD_MARK))
    assert section("Card") == set(body)
    assert CARD_MARK in PAGE
    who = {"installation": "berlin-1", "key": WHO.key, "nonce": WHO.nonce, "vmid": 20007}
    signature = body.pop("sig")
    assert signature == as_documented("card", [who, body])


def test_the_uuid_follows_from_the_identity_as_the_page_says() -> None:
    (namespace,) = re.findall(r"namespace `([0-9a-f-]{36})`", PAGE)
    who = {"installation": "berlin-1", "key": WHO.key, "nonce": WHO.nonce, "vmid": 20007}
    name = json.dumps(who, sort_keys=True, separators=(",", ":"))
    assert uuid_of(WHO) == str(uuid.uuid5(uuid.UUID(namespace), name))


def test_the_nonce_follows_from_the_minting_transaction_as_the_page_says() -> None:
    seed = bytes.fromhex("ab" * 32) + (7).to_bytes(32, "big")
    assert WHO.nonce == hashlib.sha256(seed).hexdigest()[:32]
    assert identity.MARK in PAGE
