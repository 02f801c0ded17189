"""What every profile has to hold, whatever kind of contract it reads."""

import base64
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from web3 import Web3

from chainwatch.artifacts import load
from chainwatch.chain import profiles
from chainwatch.chain.decode import LAST_SECOND, Profile, decode
from chainwatch.chain.profiles.lease import MAX_KEY_BYTES, MAX_NAME_LENGTH
from chainwatch.chain.wire import RawLog
from chainwatch.domain.events import (
    Event,
    ExpiryUpdated,
    KeysChanged,
    LeaseMinted,
    Logged,
    PlanDefined,
    PlanTerms,
    Transferred,
)
from chainwatch.errors import Fatal
from tests.support.chain_model import CONTRACT, RawEvent, encoded

CONTRACTS = {"lease": "Lease"}
"""Which compiled contract each profile reads."""

ADDRESSES = st.integers(0, 2**160 - 1).map(lambda number: f"0x{number:040x}")
TOKENS = st.integers(0, 2**256 - 1)
AMOUNTS = st.integers(0, 2**256 - 1)
TIMES = st.integers(0, 2**64 - 1)
U32 = st.integers(0, 2**32 - 1)
BLOB = "AAAAC3NzaC1lZDI1NTE5AAAAILXVTDnmZnHJcxufRx5YXYJizU9Ulj8Mkwgtjc8zTUx4"
LINES = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=64)
SSH_KEYS = st.just("") | LINES.map(lambda comment: f"ssh-ed25519 {BLOB} {comment}".strip())
KEYS = st.binary(max_size=64).map(lambda raw: f"0x{raw.hex()}" if raw else "")

EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.builds(Transferred, TOKENS, ADDRESSES, ADDRESSES),
    st.builds(LeaseMinted, TOKENS, TOKENS, ADDRESSES, AMOUNTS, AMOUNTS),
    st.builds(ExpiryUpdated, TOKENS, st.integers(0, LAST_SECOND)),
    st.builds(KeysChanged, TOKENS, SSH_KEYS, KEYS),
    st.builds(
        PlanDefined, TOKENS, LINES, st.integers(0, 255), U32, U32, U32, st.integers(0, LAST_SECOND)
    ),
    st.builds(PlanTerms, TOKENS, ADDRESSES, AMOUNTS, U32, st.booleans()),
)


@pytest.fixture(params=sorted(profiles.PROFILES))
def profile(request: pytest.FixtureRequest) -> Profile:
    return profiles.get(str(request.param))


def log_of(event: Event | RawEvent) -> RawLog:
    topics, data = encoded(event)
    return RawLog(
        CONTRACT,
        7,
        "0x" + "77" * 32,
        3,
        "0x" + "66" * 32,
        tuple(bytes.fromhex(topic[2:]) for topic in topics),
        bytes.fromhex(data[2:]),
    )


def only(profile: Profile, log: RawLog) -> tuple[Event | None, str | None]:
    """The event of a log and what was said against it."""
    events, unreadable = decode(profile, [log])
    return (
        events[0].event if events else None,
        unreadable[0].reason if unreadable else None,
    )


def _abi(profile: Profile, kind: str) -> Sequence[dict[str, object]]:
    return [entry for entry in load(CONTRACTS[profile.name]).abi if entry["type"] == kind]


def _topic(entry: dict[str, object]) -> bytes:
    inputs = entry["inputs"]
    assert isinstance(inputs, list)
    types = ",".join(str(argument["type"]) for argument in inputs)
    return bytes(Web3.keccak(text=f"{entry['name']}({types})"))


def test_every_event_of_the_contract_is_decoded_or_named_as_meaningless(profile: Profile) -> None:
    in_abi = {_topic(entry) for entry in _abi(profile, "event")}
    assert in_abi == set(profile.decoders) | profile.ignored
    assert not set(profile.decoders) & profile.ignored


def test_the_questions_at_latest_are_functions_of_the_contract(profile: Profile) -> None:
    selectors = {_topic(entry)[:4].hex() for entry in _abi(profile, "function")}
    assert profile.owner_call(5)[2:10] in selectors
    assert profile.expiry_call(5)[2:10] in selectors
    assert profile.owner_call(2**256 - 1).endswith("f" * 64)


def test_only_the_contracts_own_words_about_this_token_say_that_there_is_none(
    profile: Profile,
) -> None:
    error = bytes(Web3.keccak(text="ERC721NonexistentToken(uint256)"))[:4].hex()
    assert profile.says_no_such_token(f"0x{error}{5:064x}", 5)
    for data in ("", "0x", f"0x{error}", f"0x{error}{6:064x}", f"0x08c379a0{5:064x}"):
        assert not profile.says_no_such_token(data, 5)


@given(event=EVENTS)
def test_what_the_contract_encodes_is_read_back(event: Event) -> None:
    log = log_of(event)
    events, unreadable = decode(profiles.get("lease"), [log])
    assert events == [Logged(event, 7, log.block_hash, 3, log.tx_hash)]
    assert unreadable == []


@given(
    topics=st.lists(st.binary(max_size=40), max_size=3),
    data=st.binary(max_size=300),
    topic0=st.sampled_from(sorted(profiles.get("lease").decoders)),
)
def test_any_bytes_under_a_known_topic_are_an_event_or_reported(
    topics: list[bytes], data: bytes, topic0: bytes
) -> None:
    log = RawLog(CONTRACT, 7, "0x" + "77" * 32, 3, "0x" + "66" * 32, (topic0, *topics), data)
    event, reason = only(profiles.get("lease"), log)
    assert event is not None or reason is not None


@given(event=EVENTS, cut=st.integers(1, 31))
def test_data_that_is_cut_short_is_never_an_event(event: Event, cut: int) -> None:
    log = log_of(event)
    short = RawLog(
        log.address,
        log.block,
        log.block_hash,
        log.log_index,
        log.tx_hash,
        log.topics if log.data else log.topics[:-1],
        log.data[:-cut] if log.data else b"",
    )
    found, reason = only(profiles.get("lease"), short)
    assert found is None
    assert reason is not None


@pytest.mark.parametrize(
    "text", [b"ssh-ed25519 AAAA\ncommand=evil", b"\xff\xfe", b"a\x00b", b"\x7f"]
)
def test_an_ssh_key_that_is_not_one_printable_line_is_no_key_and_reported(
    profile: Profile, text: bytes
) -> None:
    event, reason = only(profile, _keys_log(text))
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
    profile: Profile, text: str
) -> None:
    event, reason = only(profile, _keys_log(text.encode()))
    assert event == KeysChanged(1, "", "0x01")
    assert reason is not None
    assert "not an SSH public key" in reason


@pytest.mark.parametrize("kind", ["ssh-rsa", "ecdsa-sha2-nistp521", "sk-ssh-ed25519@openssh.com"])
@pytest.mark.parametrize("comment", ["", " a@b", " a b  c"])
def test_an_ssh_public_key_is_taken_as_it_is_with_its_comment(
    profile: Profile, kind: str, comment: str
) -> None:
    blob = base64.b64encode(len(kind).to_bytes(4) + kind.encode() + bytes(40)).decode()
    text = f"{kind} {blob}{comment}"
    assert only(profile, _keys_log(text.encode())) == (KeysChanged(1, text, "0x01"), None)


def test_keys_that_are_longer_than_any_key_are_no_keys_and_reported(profile: Profile) -> None:
    event, reason = only(profile, _keys_log(b"a" * (MAX_KEY_BYTES + 1), b"b" * 5000))
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


def test_a_plans_name_is_one_short_printable_line_whatever_was_written(profile: Profile) -> None:
    event, _ = only(profile, log_of(PlanDefined(1, "ti\nny\x1b[31m" + "x" * 200, 0, 1, 1, 1, 1)))
    assert isinstance(event, PlanDefined)
    assert event.name == ("tiny[31m" + "x" * 200)[:MAX_NAME_LENGTH]


@given(until=st.integers(LAST_SECOND, 2**64 - 1))
def test_times_beyond_all_clocks_are_kept_where_sums_still_fit(until: int) -> None:
    event, reason = only(profiles.get("lease"), log_of(ExpiryUpdated(1, until)))
    assert event == ExpiryUpdated(1, LAST_SECOND)
    assert reason is None


@pytest.mark.parametrize(
    ("signature", "data"),
    [
        ("SubscriptionUpdate(uint256,uint64)", f"0x{2**64:064x}"),
        ("PlanTerms(uint256,address,uint256,uint32,bool)", f"0x{1:064x}{1:064x}{1:064x}{2:064x}"),
        ("PlanTerms(uint256,address,uint256,uint32,bool)", f"0x{2**160:064x}" + f"{1:064x}" * 3),
    ],
)
def test_a_value_that_its_type_cannot_hold_is_reported(
    profile: Profile, signature: str, data: str
) -> None:
    topic = "0x" + bytes(Web3.keccak(text=signature)).hex()
    event, reason = only(profile, log_of(RawEvent((topic, f"0x{1:064x}"), data)))
    assert event is None
    assert reason is not None
    assert "holds" in reason


def test_a_profile_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(Fatal, match=r"no profile 'leese': write one of lease"):
        profiles.get("leese")
