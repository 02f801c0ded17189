"""What the configuration says of the hot key, and what is said to who wrote it wrong."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from eth_account import Account

from chainwatch.config import Config, load
from chainwatch.errors import Fatal

EXAMPLE = Path(__file__).parents[2] / "docs" / "reference" / "chainwatch.toml"
KEY = bytes.fromhex("5e" * 31 + "61")
PASSWORD = "correct horse battery"
CHAIN = "\n[[sender.chains]]\nchain_id = 8453\nmost_fee_gwei = 2.5\n"
OTHER = bytes.fromhex("0a" * 31 + "61")
ELSEWHERE = """
[[source]]
name = "elsewhere"
chain_id = 100
contract = "0x00000000000000000000000000000000000000aa"
start_block = 1
http = ["https://node.example/"]
"""
SECOND = "\n[[sender.chains]]\nchain_id = 100\nmost_fee_gwei = 20.0\n"
OWN = 'keystore_file = "{folder}/other-keystore"\npassword_file = "{folder}/password"\n'
BARE = '[sender]\nkey_file = "{folder}/bare"\n'
STORED = '[sender]\nkeystore_file = "{folder}/keystore"\npassword_file = "{folder}/password"\n'
#: How any of it may be written down.
SECRETS = (KEY.hex(), OTHER.hex(), PASSWORD, "ciphertext")

Reading = Callable[..., Config]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    keystore = Account.encrypt(KEY, PASSWORD, kdf="pbkdf2", iterations=10)
    other = Account.encrypt(OTHER, PASSWORD, kdf="pbkdf2", iterations=10)
    for name, text in {
        "proxmox-token": "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3JldA",
        "identity-key": "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3JldA",
        "bare": KEY.hex(),
        "keystore": json.dumps(keystore),
        "other-keystore": json.dumps(other),
        "other-key": OTHER.hex(),
        "password": PASSWORD,
        "wrong-password": "incorrect horse",
        "short": KEY.hex()[:40],
    }.items():
        (tmp_path / name).touch(0o600)
        (tmp_path / name).write_text(text + "\n")
    return tmp_path


@pytest.fixture
def reading(folder: Path) -> Reading:
    """The documented example with more written below, and systemd's credentials."""

    def read(more: str = "", *, named: tuple[str, ...] = ()) -> Config:
        files = {"key": "bare"} | {f"{each}-100": f"other-{each}" for each in ("key", "keystore")}
        for name in named:
            (folder / f"sender-{name}").touch(0o600)
            text = (folder / files.get(name, name.removesuffix("-100"))).read_bytes()
            (folder / f"sender-{name}").write_bytes(text)
        path = folder / "chainwatch.toml"
        path.write_text(EXAMPLE.read_text() + more.replace("{folder}", str(folder)))
        return load(path, {"CREDENTIALS_DIRECTORY": str(folder)})

    return read


def test_without_the_table_there_is_no_key(reading: Reading) -> None:
    assert reading().sender is None


@pytest.mark.parametrize("table", [BARE, STORED])
def test_a_bare_key_and_a_keystore_are_the_same_key(reading: Reading, table: str) -> None:
    config = reading(table + CHAIN).sender
    assert config is not None
    (chain,) = config.chains
    assert config.key_of(chain).reveal() == KEY
    assert (chain.chain_id, chain.ceiling, chain.least_balance) == (8453, 25 * 10**8, 10**16)


@pytest.mark.parametrize("named", [("key",), ("keystore", "password")])
def test_credentials_stand_in_for_the_files(reading: Reading, named: tuple[str, ...]) -> None:
    config = reading(CHAIN, named=named).sender
    assert config is not None
    assert config.key_of(config.chains[0]).reveal() == KEY


def keys(config: Config) -> dict[int, bytes]:
    """The key that signs on each chain."""
    assert config.sender is not None
    sender = config.sender
    return {each.chain_id: sender.key_of(each).reveal() for each in sender.chains}


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (BARE + CHAIN + SECOND + OWN, ()),
        (BARE + CHAIN + SECOND + 'key_file = "{folder}/other-key"\n', ()),
        (CHAIN.replace("8453", "100") + OWN + CHAIN + 'key_file = "{folder}/bare"\n', ()),
        (BARE + CHAIN + SECOND, ("key-100",)),
        (BARE + CHAIN + SECOND, ("keystore-100", "password-100")),
        (CHAIN + SECOND, ("key", "keystore-100", "password-100")),
        (BARE + CHAIN + SECOND + OWN, ("key-100",)),
    ],
)
def test_a_chain_has_its_own_key_and_every_other_one_the_common_key(
    reading: Reading, more: str, named: tuple[str, ...]
) -> None:
    assert keys(reading(ELSEWHERE + more, named=named)) == {8453: KEY, 100: OTHER}


def test_one_key_is_that_of_all_chains(reading: Reading) -> None:
    assert keys(reading(ELSEWHERE + BARE + CHAIN + SECOND)) == {8453: KEY, 100: KEY}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            SECOND + OWN + CHAIN,
            "sender.keystore_file: is missing; write it with password_file, or write key_file",
        ),
        (
            BARE + SECOND + 'keystore_file = "{folder}/other-keystore"\n',
            "sender.chains[0].password_file: is missing",
        ),
        (
            BARE + CHAIN + SECOND + OWN.replace("r}/password", "r}/wrong-password"),
            "sender.chains[1].keystore_file: does not open with this password",
        ),
        (
            BARE + CHAIN + SECOND + OWN + 'key_file = "{folder}/other-key"\n',
            "sender.chains[1].keystore_file: does not go with key_file",
        ),
    ],
)
def test_what_is_wrong_with_the_key_of_a_chain_is_said_by_its_place(
    reading: Reading, more: str, said: str
) -> None:
    with pytest.raises(Fatal) as refused:
        reading(ELSEWHERE + more)
    assert said in str(refused.value)
    assert not any(secret in str(refused.value) for secret in SECRETS)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("[sender]\n" + CHAIN, "sender.keystore_file: is missing; write it with password_file"),
        (
            '[sender]\nkeystore_file = "{folder}/keystore"\n' + CHAIN,
            "sender.password_file: is missing, and the keystore does not open without it",
        ),
        (
            STORED + 'key_file = "{folder}/bare"\n' + CHAIN,
            "sender.keystore_file: does not go with key_file; write one of them",
        ),
        (
            STORED.replace("folder}/password", "folder}/wrong-password") + CHAIN,
            "sender.keystore_file: does not open with this password",
        ),
        (
            STORED.replace("folder}/keystore", "folder}/bare") + CHAIN,
            "sender.keystore_file: is not a keystore",
        ),
        (
            BARE.replace("bare", "short") + CHAIN,
            "short is not a private key: 64 hexadecimal digits",
        ),
        (BARE.replace("bare", "none") + CHAIN, "sender.key_file: cannot be read"),
        (BARE + f'key = "{KEY.hex()}"\n' + CHAIN, "write key_file = with the path of a file"),
        (BARE, "sender.chains"),
        (BARE + CHAIN + CHAIN, "sender.chains: names a chain twice"),
        (BARE + CHAIN.replace("8453", "1"), "sender.chains[0].chain_id: is no source's chain"),
        (BARE + CHAIN.replace("2.5", "0"), "sender.chains[0].most_fee_gwei:"),
    ],
)
def test_what_is_wrong_is_said_by_its_key_and_shows_no_secret(
    reading: Reading, more: str, said: str
) -> None:
    with pytest.raises(Fatal) as refused:
        reading(more)
    assert said in str(refused.value)
    assert not any(secret in str(refused.value) for secret in SECRETS)


def test_a_key_that_everybody_may_read_is_refused(reading: Reading, folder: Path) -> None:
    (folder / "bare").chmod(0o644)
    with pytest.raises(Fatal, match="is open to everybody on this host"):
        reading(BARE + CHAIN)


@pytest.mark.parametrize("table", [BARE, STORED])
def test_a_configuration_that_is_shown_shows_no_key(reading: Reading, table: str) -> None:
    shown = repr(reading(ELSEWHERE + table + CHAIN + SECOND + OWN))
    assert not any(secret in shown for secret in (*SECRETS, repr(KEY)[2:-1], repr(OTHER)[2:-1]))
