"""What the profile of our own contract makes of what buyers wrote: hostile until proven a key."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from web3 import Web3

from chainwatch.chain import profiles
from chainwatch.chain.decode import LAST_SECOND
from chainwatch.chain.profiles.lease import MAX_KEY_BYTES, MAX_NAME_LENGTH
from chainwatch.chain.wire import RawLog
from chainwatch.domain.events import (
    ActionRequested,
    Delivered,
    Event,
    KeysChanged,
    LeaseMinted,
    PlanChanged,
    PlanDefined,
    PlanTerms,
)
from tests.support.chain_model import RawEvent, encoded
from tests.support.telling import ADDRESSES, AMOUNTS, TOKENS, U32, cut_short, log_of, only

LEASE = profiles.get("lease")
BLOB = "AAAAC3NzaC1lZDI1NTE5AAAAILXVTDnmZnHJcxufRx5YXYJizU9Ulj8Mkwgtjc8zTUx4"
LINES = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=64)
SSH_KEYS = st.just("") | LINES.map(lambda comment: f"ssh-ed25519 {BLOB} {comment}".strip())
KEYS = st.binary(max_size=64).map(lambda raw: f"0x{raw.hex()}" if raw else "")

EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.builds(LeaseMinted, TOKENS, TOKENS, ADDRESSES, AMOUNTS, AMOUNTS),
    st.builds(KeysChanged, TOKENS, SSH_KEYS, KEYS),
    st.builds(Delivered, TOKENS, st.integers(0, LAST_SECOND)),
    st.builds(PlanChanged, TOKENS, TOKENS),
    st.builds(ActionRequested, TOKENS, st.integers(0, 255), KEYS),
    st.builds(
        PlanDefined, TOKENS, LINES, st.integers(0, 255), U32, U32, U32, st.integers(0, LAST_SECOND)
    ),
    st.builds(PlanTerms, TOKENS, ADDRESSES, AMOUNTS, U32, st.booleans()),
)


@given(event=EVENTS)
def test_what_the_contract_encodes_is_read_back(event: Event) -> None:
    assert only(LEASE, log_of(event)) == (event, None)


@given(event=EVENTS, cut=st.integers(1, 31))
def test_data_that_is_cut_short_is_never_an_event(event: Event, cut: int) -> None:
    found, reason = only(LEASE, cut_short(log_of(event), cut))
    assert found is None
    assert reason is not None


@pytest.mark.parametrize(
    "text", [b"ssh-ed25519 AAAA\ncommand=evil", b"\xff\xfe", b"a\x00b", b"\x7f"]
)
def test_an_ssh_key_that_is_not_one_printable_line_is_no_key_and_reported(
    text: bytes,
) -> None:
    event, reason = only(LEASE, _keys_log(text))
    assert event == KeysChanged(1, "", "0x01")
    assert reason is not None
    assert "not one line of printable ASCII" in reason


@pytest.mark.parametrize(
    "text",
    [
        "garbage",
        "my key",
        BLOB,
        "ssh-ed25519",
        "ssh-ed25519 ",
        "ssh-ed25519  " + BLOB,
        "ssh-ed25519 " + BLOB[:-1],
        "ssh-ed25519 " + BLOB[:12],
        "ssh-ed25519 " + BLOB.replace("x", "-"),
        "ssh-ed25519 " + BLOB.lower(),
        "ssh-rsa " + BLOB,
        "SSH-ED25519 " + BLOB,
        'command="rm -rf /" ssh-ed25519 ' + BLOB,
        "no-pty ssh-ed25519 " + BLOB,
        "# ssh-ed25519 " + BLOB,
    ],
)
def test_a_line_that_is_no_ssh_public_key_is_no_key_and_reported(
    text: str,
) -> None:
    event, reason = only(LEASE, _keys_log(text.encode()))
    assert event == KeysChanged(1, "", "0x01")
    assert reason is not None
    assert "not an SSH public key" in reason


@pytest.mark.parametrize("kind", ["ssh-rsa", "ecdsa-sha2-nistp521", "sk-ssh-ed25519@openssh.com"])
@pytest.mark.parametrize("comment", ["", " a@b", " a b  c"])
def test_an_ssh_public_key_is_taken_as_it_is_with_its_comment(kind: str, comment: str) -> None:
    blob = base64.b64encode(len(kind).to_bytes(4) + kind.encode() + bytes(40)).decode()
    text = f"{kind} {blob}{comment}"
    assert only(LEASE, _keys_log(text.encode())) == (KeysChanged(1, text, "0x01"), None)


def test_keys_that_are_longer_than_any_key_are_no_keys_and_reported() -> None:
    event, reason = only(LEASE, _keys_log(b"a" * (MAX_KEY_BYTES + 1), b"b" * 5000))
    assert event == KeysChanged(1, "", "")
    assert reason is not None
    assert "SSH key has 1025 bytes" in reason
    assert "encryption key has 5000 bytes" in reason


def _keys_log(ssh_key: bytes, encryption_key: bytes = b"\x01") -> RawLog:
    words = [64, 96 + _padded(len(ssh_key)), len(ssh_key)]
    data = b"".join(word.to_bytes(32) for word in words)
    data += ssh_key.ljust(_padded(len(ssh_key)), b"\0")
    data += len(encryption_key).to_bytes(32)
    data += encryption_key.ljust(_padded(len(encryption_key)), b"\0")
    topics, _ = encoded(KeysChanged(1, "", ""))
    return log_of(RawEvent(topics, "0x" + data.hex()))


def _padded(length: int) -> int:
    return (length + 31) // 32 * 32


def test_a_plans_name_is_one_short_printable_line_whatever_was_written() -> None:
    event, _ = only(LEASE, log_of(PlanDefined(1, "ti\nny\x1b[31m" + "x" * 200, 0, 1, 1, 1, 1)))
    assert isinstance(event, PlanDefined)
    assert event.name == ("tiny[31m" + "x" * 200)[:MAX_NAME_LENGTH]


@pytest.mark.parametrize(
    "data",
    [f"0x{1:064x}{1:064x}{1:064x}{2:064x}", f"0x{2**160:064x}" + f"{1:064x}" * 3],
)
def test_terms_that_their_types_cannot_hold_are_reported(data: str) -> None:
    topic = "0x" + bytes(Web3.keccak(text="PlanTerms(uint256,address,uint256,uint32,bool)")).hex()
    event, reason = only(LEASE, log_of(RawEvent((topic, f"0x{1:064x}"), data)))
    assert event is None
    assert reason is not None
    assert "holds" in reason
