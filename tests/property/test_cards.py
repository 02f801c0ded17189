"""A card says what was signed or nothing, whoever wrote into the description, and fits in one."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioner.errors import Declined
from provisioner.identity import CARD_MARK, MARK, Signer
from provisioner.model import Card, Identity, Kind, MachineSpec, Stamps
from provisioner.names import LONGEST, checked, key_of, name_of, place_of, shown
from provisioner.simulator.configrules import DNS_NAME
from provisioner.verbs.order import Gecos, Order

SIGNER = Signer("berlin-1", b"k" * 32)
#: What Proxmox takes for a description at most.
DESCRIPTION = 8192
NAMES = st.from_regex(r"\A[a-zA-Z0-9][a-zA-Z0-9._-]{0,127}\Z")
MOMENTS = st.integers(0, 253_402_300_799)
SPEC = MachineSpec(Kind.VM, 1, 1024, 10)
WALLET = "0x" + "aB" * 20

cards = st.builds(
    Card,
    owner=st.just(WALLET),
    created_at=MOMENTS,
    expires_at=MOMENTS,
    nft=st.none() | st.integers(0, 2**256 - 1),
    user=st.from_regex(r"\A[a-z_][a-z0-9_-]{0,31}\Z"),
    purpose=st.text(max_size=200).filter(str.isprintable),
    tags=st.lists(st.from_regex(r"\A[a-z0-9_][a-z0-9_.+-]{0,31}\Z"), max_size=16).map(tuple),
    throttled=st.booleans(),
    used=st.booleans(),
)
stamps = st.builds(
    Stamps,
    configured=st.none() | st.just("c" * 32),
    access=st.none() | st.just("a" * 32),
    generation=st.none() | st.integers(0, 2**64),
    started=st.booleans(),
    suspended_at=st.none() | MOMENTS,
    ended=st.booleans(),
)


@given(NAMES, cards, stamps)
def test_what_was_signed_is_what_is_read_and_it_fits(name: str, card: Card, told: Stamps) -> None:
    identity = Identity("berlin-1", key_of(name), "0" * 32, 20000)
    text = SIGNER.describe(identity, told, card)
    assert SIGNER.prove(text, 20000) == (identity, told)
    assert SIGNER.card(text, identity) == card
    assert len(text.encode()) <= DESCRIPTION


@given(NAMES, cards, st.data())
def test_a_card_that_was_touched_says_nothing(name: str, card: Card, data: st.DataObject) -> None:
    identity = Identity("berlin-1", key_of(name), "0" * 32, 20000)
    head, _, line = SIGNER.describe(identity, Stamps(), card).rpartition(CARD_MARK)
    body = json.loads(line)
    key = data.draw(st.sampled_from(sorted(body)))
    other = data.draw(st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text()))
    touched = {**body, key: other}
    read = SIGNER.card(f"{head}{CARD_MARK}{json.dumps(touched)}", identity)
    assert read is None or read == card
    for elsewhere in (
        Identity("berlin-1", key_of(name), "0" * 32, 20001),
        Identity("berlin-1", key_of(name), "1" * 32, 20000),
        Identity("berlin-1", "cli:other-one", "0" * 32, 20000),
    ):
        if elsewhere != identity:
            assert SIGNER.card(f"{head}{CARD_MARK}{line}", elsewhere) is None


@given(st.text(max_size=300))
def test_a_description_that_anybody_wrote_proves_nothing_and_breaks_nothing(text: str) -> None:
    identity = Identity("berlin-1", "cli:x", "0" * 32, 20000)
    for written in (text, f"{CARD_MARK}{text}", f"{MARK}{text}", f"{CARD_MARK}{'[' * 10_000}"):
        assert SIGNER.card(written, identity) is None
        assert SIGNER.prove(written, 20000) is None


@given(stamps)
def test_the_daemons_descriptions_are_as_they_were(told: Stamps) -> None:
    identity = Identity("berlin-1", "eip155:1/erc721:0x00/7", "0" * 32, 20000)
    text = SIGNER.describe(identity, told)
    assert CARD_MARK not in text
    assert SIGNER.prove(text, 20000) == (identity, told)
    assert SIGNER.card(text, identity) is None


@given(NAMES)
def test_every_name_has_a_form_that_proxmox_takes(name: str) -> None:
    assert DNS_NAME.fullmatch(shown(name))
    assert name_of(key_of(name)) == name
    assert 0 <= place_of(name, 7) < 7


@given(NAMES, NAMES)
def test_two_names_are_never_shown_as_one(one: str, other: str) -> None:
    assert (shown(one) == shown(other)) == (one == other)


@given(st.text(max_size=200))
def test_what_is_no_name_is_refused(text: str) -> None:
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    good = text[:1] in list(letters) and all(each in letters + "._-" for each in text)
    if good and len(text) <= LONGEST:
        assert checked(text) == text
    else:
        with pytest.raises(Declined):
            checked(text)


@given(st.text(max_size=80))
def test_nothing_that_is_no_wallet_reaches_a_guest(text: str) -> None:
    for wallet, user in ((text, "admin"), (WALLET, text)):
        try:
            gecos = Gecos(wallet, 7, user)
        except Declined:
            continue
        assert not set(gecos.text + gecos.user) & set(":\n\0'\"\\$` ")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("owner", "0x" + "a" * 39),
        ("owner", f"{WALLET},nft=1"),
        ("owner", f"{WALLET}\n"),
        ("nft", -1),
        ("nft", 2**256),
        ("user", "Root"),
        ("user", "a;b"),
        ("user", "-c"),
        ("purpose", "a\nprovisioner:1:{}"),
        ("purpose", "x" * 201),
        ("tags", ("a;b",)),
        ("tags", ("UPPER",)),
        ("tags", tuple(f"t{n}" for n in range(17))),
        ("ssh_key", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA\nssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAA"),
        ("ssh_key", 'command="x" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA'),
        ("ssh_key", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILXVTDnmZnHJcxufRx5YXYJizU9Ulj8"),
        ("ssh_key", "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAILXVTDnmZnHJcxufRx5YXYJizU9Ulj8Mkwgtjc8zTUx4"),
        ("ip", "10.0.0.1/8"),
        ("ip", "::1"),
        ("ipv6", "10.0.0.1"),
        ("node", "../pve"),
        ("node", "pve/qemu"),
        ("days", -1),
        ("days", 10**9),
        ("expires_at", 10**18),
        ("name", "--apply"),
        ("name", "a/b"),
    ],
)
def test_a_hostile_word_is_refused_before_anything_is_done(field: str, value: object) -> None:
    given_: dict[str, object] = {"name": "web", "owner": WALLET, "spec": SPEC, field: value}
    with pytest.raises(Declined):
        Order(**given_)  # type: ignore[arg-type]  # the very point
